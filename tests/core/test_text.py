"""Where text may be cut."""

import subprocess
import sys

import pytest
import regex
from hypothesis import given, strategies as st
from tests.strategies import unicode_texts

from genesys_stream._core import text as text_module
from genesys_stream._core.text import (
    last_cut,
    prefix_length,
    suffix_within,
    utf8_size,
    utf16_prefix_length,
    utf16_size,
)
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
from genesys_stream import Batcher, Sentence, TimeSize
for text in ("Hello\\r\\n", "Gr\\u00fc\\u00dfe, \\u041f\\u0440\\u0438\\u0432\\u0435\\u0442.", "\\u4f60\\u597d\\u3002"):
    for coalescer in (TimeSize(0.2, 9), Sentence(5)):
        batcher = Batcher(coalescer)
        batcher.feed(text * 20, 0.0), batcher.tick(9.0), batcher.close(9.0)
assert "regex" not in sys.modules
Batcher(TimeSize(0.2, 9)).feed("\\U0001f469\\u200d\\U0001f4bb" * 20, 0.0)
assert "regex" in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@given(text=whole_texts, n=st.integers(0, 100))
def test_prefixes_are_measured_in_bytes(text, n):
    """The longest prefix that fits, in whole characters."""
    length = prefix_length(text, n)

    assert utf8_size(text[:length]) <= n
    assert length == len(text) or utf8_size(text[: length + 1]) > n


@given(text=whole_texts, n=st.integers(0, 100))
def test_prefixes_are_measured_in_utf16(text, n):
    """An emoji counts twice, as in Java and JavaScript."""
    length = utf16_prefix_length(text, n)

    assert utf16_size(text[:length]) == sum(1 + (char > "\uffff") for char in text[:length]) <= n
    assert length == len(text) or utf16_size(text[: length + 1]) > n


@given(text=whole_texts, n=st.integers(0, 100))
def test_suffixes_are_measured_in_bytes(text, n):
    """The longest end that fits, in whole characters."""
    suffix = suffix_within(text, n)

    assert text.endswith(suffix)
    assert utf8_size(suffix) <= n
    assert suffix == text or utf8_size(text[-len(suffix) - 1 :]) > n
