"""Characters that JSON cut in two are one again, and nothing else changes."""

import pytest
from hypothesis import given, strategies as st
from tests.strategies import cuts, deltas, texts

from genesys_stream._core.reading.surrogates import SurrogateJoiner
from genesys_stream._wire import join_surrogates

HIGH, LOW = "\ud83d", "\ude00"


def joined(pieces):
    joiner = SurrogateJoiner()
    return [*(joiner.feed(piece) for piece in pieces), joiner.close()]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([], [""]),
        (["", ""], ["", "", ""]),
        (["Hi", " you"], ["Hi", " you", ""]),
        ([HIGH, LOW], ["", "😀", ""]),
        (["a" + HIGH, "", LOW + "b"], ["a", "", "😀b", ""]),
        ([HIGH + LOW], ["😀", ""]),
        (["😀"], ["😀", ""]),
        ([HIGH], ["", "\ufffd"]),
        ([LOW], ["\ufffd", ""]),
        ([HIGH, HIGH, LOW], ["", "\ufffd", "😀", ""]),
        ([HIGH, "a"], ["", "\ufffda", ""]),
        ([LOW + HIGH, LOW], ["\ufffd", "😀", ""]),
    ],
)
def test_cut_in_two(pieces, expected):
    """A first half waits for its second one; a half that stays alone is replaced."""
    assert expected == joined(pieces)


@given(texts.flatmap(cuts) | deltas().map(lambda pairs: [text for text, _ in pairs]))
def test_any_cut(pieces):
    """Any text, cut anywhere, comes out as the whole does, and every piece can be encoded."""
    out = joined(pieces)

    assert "".join(out) == join_surrogates("".join(pieces))
    assert all(piece.encode() is not None for piece in out)


@given(st.lists(texts))
def test_no_piece_waits(pieces):
    """No more than half a character is ever held back."""
    joiner = SurrogateJoiner()
    came = out = 0
    for piece in pieces:
        came += len(piece.encode("utf-16-le", "surrogatepass"))
        out += len(joiner.feed(piece).encode("utf-16-le"))
        assert out >= came - 2


def test_close_twice():
    """The end is the end."""
    joiner = SurrogateJoiner()
    joiner.feed(HIGH)

    assert [joiner.close(), joiner.close()] == ["\ufffd", ""]
