"""Where text may be cut, and what a buffer does with it."""

import subprocess
import sys

import pytest
import regex
from hypothesis import given, strategies as st
from tests.strategies import deltas, unicode_texts

from genesys_stream._core import text as text_module
from genesys_stream._core.text import TextBuffer, last_cut, prefix_length, utf8_size
from genesys_stream._errors import InvalidArgument
from genesys_stream._wire import join_surrogates

whole_texts = unicode_texts.map(join_surrogates)


def boundaries(text):
    """UAX #29's, by the package that we trust with them."""
    return [0, *(match.end() for match in regex.finditer(r"\X", text))]


@given(text=whole_texts, n=st.integers(0, 80))
def test_cuts_are_cluster_boundaries(text, n):
    """Inside a text, the last cut is the last boundary of `\\X` that is not beyond `n`."""
    n = min(n, max(0, len(text) - 1))
    expected = max(b for b in boundaries(text) if b <= n)

    assert expected == last_cut(text, n)


@given(text=whole_texts, more=whole_texts)
def test_a_cut_holds_whatever_follows(text, more):
    """At the end of a text the cut is a boundary that no further text removes, ASCII letters with accents excepted."""
    cut = last_cut(text, len(text))

    assert cut == len(text) or cut in boundaries(text + more)
    assert cut < len(text) or not text or text[-1].isascii()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("plain", 5),
        ("line\r", 4),
        ("\r", 0),
        ("\r\n", 2),
        ("caf\u00e9", 3),
        ("cafe\u0301", 3),
        ("\u4f60\u597d", 1),
        ("go \U0001f469", 3),
        ("\U0001f469\u200d\U0001f4bb", 0),
        ("a\U0001f1e9\U0001f1ea", 1),
        ("\u0915\u094d", 0),
    ],
)
def test_a_cluster_that_may_grow_is_held_back(text, expected):
    """The last cluster stays, unless it is an ASCII letter."""
    assert expected == last_cut(text, len(text))


@pytest.mark.parametrize(
    "cluster",
    [
        "\r\n",
        "e\u0301",
        "\u1112\u1161\u11ab",
        "\u0915\u094d\u0937\u093f",
        "\U0001f1e9\U0001f1ea",
        "\U0001f44d\U0001f3fd",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "1\ufe0f\u20e3",
        "\u06001",
    ],
)
def test_clusters_are_never_cut(cluster):
    """CRLF, accents, Hangul, Indic conjuncts, flags, skin tones, families, keycaps, and signs that go before."""
    text = f"ab{cluster}cd"

    assert [2] * (len(cluster) - 1) == [last_cut(text, 2 + n) for n in range(1, len(cluster))]
    assert 2 + len(cluster) == last_cut(text, 2 + len(cluster))


def test_the_blocks_decided_without_regex_are_plain():
    """Each of their characters is a cluster of its own, before and after every other of them, CR LF apart."""
    plain = [chr(n) for n in range(0x110000) if text_module._plain().match(chr(n))]
    controls = {"\r", "\n"}

    assert len(plain) > 25_000
    for char in plain:
        assert regex.match(r"[\p{GCB=Other}\p{GCB=Control}\p{GCB=CR}\p{GCB=LF}]", char), hex(ord(char))
        assert char in controls or [char, char] == regex.findall(r"\X", char + char), hex(ord(char))
        assert ["a", char] == regex.findall(r"\X", "a" + char)
        assert ["\u2026", char, "\u2026"] == regex.findall(r"\X", f"\u2026{char}\u2026")


def test_ascii_never_imports_regex():
    """Nor does European, Chinese or Japanese text."""
    script = """
import sys
from genesys_stream._core.relaying.coalescers import Sentence, TimeSize
for text in ("Hello\\r\\n", "Gr\\u00fc\\u00dfe, \\u041f\\u0440\\u0438\\u0432\\u0435\\u0442.", "\\u4f60\\u597d\\u3002"):
    for coalescer in (TimeSize(0.2, 9), Sentence(5)):
        coalescer.feed(text * 20, 0.0), coalescer.tick(9.0), coalescer.close(9.0)
assert "regex" not in sys.modules
TimeSize(0.2, 9).feed("\\U0001f469\\u200d\\U0001f4bb" * 20, 0.0)
assert "regex" in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@given(text=whole_texts, n=st.integers(0, 100))
def test_prefixes_are_measured_in_bytes(text, n):
    """The longest prefix that fits, in whole characters."""
    length = prefix_length(text, n)

    assert utf8_size(text[:length]) <= n
    assert length == len(text) or utf8_size(text[: length + 1]) > n


@given(deltas=deltas(), cuts=st.lists(st.integers(1, 9)))
def test_what_goes_in_comes_out(deltas, cuts):
    """Sizes, times and counts are right at every moment, and the text is the deltas' text, pairs joined."""
    buffer = TextBuffer()
    cuts = iter(cuts)
    out = []
    for text, now in deltas:
        buffer.add(text, now)
        n = next(cuts, 0)
        if n and buffer:
            out.append(buffer.take(n, "size"))
        left = buffer.peek()
        assert (len(left), utf8_size(left)) == (len(buffer), buffer.size)
        assert (buffer.first_at is None) == (buffer.last_at is None) == (not left)
        assert bool(buffer.deltas) == bool(left)
    out += buffer.drain(1e9, 7)

    assert join_surrogates("".join(text for text, _ in deltas)) == "".join(batch.text for batch in out)
    assert (len(buffer), buffer.size, buffer.deltas, buffer.last_at) == (0, 0, 0, None)
    assert buffer.drain(2e9, 7) == []


@given(text=whole_texts, max_bytes=st.integers(4, 40))
def test_fitting_whole_clusters(text, max_bytes):
    """As many clusters as fit; a part of the first if it alone is too large."""
    buffer = TextBuffer()
    buffer.add(text, 0.0)
    n = buffer.fit(max_bytes)
    fitting = [b for b in boundaries(text) if utf8_size(text[:b]) <= max_bytes]

    assert n == (max(fitting) or prefix_length(text, max_bytes))


def test_half_a_character_waits():
    """It is joined with the other half, with no half at all it becomes U+FFFD, and it has no size of its own."""
    buffer = TextBuffer()
    buffer.add("a\ud83d", 1.0)
    sizes = [buffer.size]
    buffer.add("", 2.0)
    buffer.add("\ude00b\ud83d", 3.0)
    sizes.append(buffer.size)
    buffer.add("\ud83dc\ude00", 4.0)
    buffer.end(5.0)

    assert sizes == [1, 6]
    assert buffer.peek() == "a\U0001f600b\ufffd\ufffdc\ufffd"


def test_a_batch_knows_its_times():
    """The times of its first and its last character, and the deltas that it has a part of."""
    buffer = TextBuffer()
    for i, text in enumerate(["one ", "two ", "three"]):
        buffer.add(text, float(i))
    batches = [buffer.take(3, "size"), buffer.take(6, "size"), buffer.take(99, "final")]

    assert [batch.text for batch in batches] == ["one", " two t", "hree"]
    assert [(b.first_at, b.last_at, b.deltas) for b in batches] == [(0.0, 0.0, 1), (0.0, 2.0, 3), (2.0, 2.0, 1)]


def test_an_open_cluster_waits_as_long_as_text_may():
    """It is left out of a batch, but not when it has waited itself."""
    buffer = TextBuffer()
    buffer.add("go ", 0.0)
    buffer.add("\U0001f469", 0.5)

    assert (buffer.ripe(1.0, 1.0), buffer.ripe(1.5, 1.0)) == (3, 4)
    assert (buffer.overdue(0.9, 1.0), buffer.overdue(1.0, 1.0), buffer.overdue(2.0, 1.0)) == (0, 3, 4)


def test_characters_know_when_they_arrived():
    """Each that is there, counted from the first that was not taken."""
    buffer = TextBuffer()
    buffer.add("ab", 1.0)
    buffer.add("c", 2.0)
    buffer.take(1, "size")

    assert (buffer.arrived_at(0), buffer.arrived_at(1)) == (1.0, 2.0)
    with pytest.raises(InvalidArgument):
        buffer.arrived_at(2)


@pytest.mark.parametrize(("text", "n"), [("", 1), ("abc", 0), ("abc", -1)])
def test_nothing_cannot_be_taken(text, n):
    """A batch has text; who takes none of it is told so, and the buffer stays as it was."""
    buffer = TextBuffer()
    buffer.add(text, 1.0)

    with pytest.raises(InvalidArgument, match="n must be"):
        buffer.take(n, "size")
    assert buffer.peek() == text


def test_a_large_delta_is_joined_once():
    """Cutting 3 000 batches from 1.4 MB copies no more than what is cut."""
    buffer = TextBuffer()
    buffer.add("\u4f60\u597d, world. " * 100_000, 0.0)
    buffer.peek(1)
    joined = buffer._text
    batches = [buffer.take(buffer.fit(500), "size") for _ in range(3_000)]

    assert buffer._text is joined
    assert all(490 < len(batch.text.encode()) <= 500 for batch in batches)
