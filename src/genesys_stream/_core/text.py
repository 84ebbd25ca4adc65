r"""Text, measured in UTF-8 bytes and cut only where a reader sees no cut.

Two rules hold for every cut that is made here.
No surrogate pair is split: the first half of one waits for the other, and a half that stays alone becomes U+FFFD.
No grapheme cluster (UAX #29, extended: what a reader takes for one character) is split, unless it alone is larger than
a batch may be, or its beginning has waited as long as text may wait.

Whether a cluster is over is known only when the next character is there, so `last_cut` holds back one that may still
grow: a last cluster that is not ASCII, or a CR whose LF may follow.
(An ASCII letter may be followed by a combining accent, too, but to wait for that would hold back every last letter.)

The boundaries are those of `\X` of the package `regex`, which is imported with the first text that needs it.
Its import takes 23 ms and its search 0.3 to 0.6 µs for each cluster, so the blocks in `_PLAIN`, which need neither,
are decided here: they hold English, European, Chinese and Japanese text.
A table of our own would have cost 1400 ranges, and a new release for each version of Unicode.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import takewhile
from typing import Any

# Blocks without a combining, joining or prepending character, and without emoji: between two of them there is a
# boundary (CR LF apart), and a search for boundaries may begin at any of them. The tests hold this against `regex`.
_PLAIN = (
    "[\x00-\x7f\u00a1-\u00a8\u00aa-\u00ac\u00af-\u02ff\u0370-\u0377\u0384-\u0482\u048a-\u052f\u1e00-\u1eff"
    "\u2010-\u2027\u2030-\u203b\u20a0-\u20bf\u3001-\u3029\u3041-\u3096\u309b-\u30ff\u3400-\u9fff\uff01-\uff9d]"
)


@cache
def _plain() -> re.Pattern[str]:
    return re.compile(_PLAIN)


@cache
def _clusters() -> Callable[[str, int], Iterator[re.Match[str]]]:
    import regex  # type: ignore[import-untyped, unused-ignore]  # its stubs are a package of their own, types-regex

    find: Any = regex.compile(r"\X").finditer  # its matches are like those of re, but of a class of their own
    return find  # type: ignore[no-any-return]  # see above


def utf8_size(text: str) -> int:
    """Count the UTF-8 bytes of text, which must hold no half of a surrogate pair."""
    return len(text) if text.isascii() else len(text.encode())


def prefix_length(text: str, max_bytes: int) -> int:
    """Count the characters (code points) of the longest prefix that has at most `max_bytes` UTF-8 bytes."""
    text = text[:max_bytes]
    return len(text) if text.isascii() else len(text.encode()[:max_bytes].decode(errors="ignore"))


def utf16_size(text: str) -> int:
    """Count the UTF-16 code units of text, which must hold no half of a surrogate pair."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def utf16_prefix_length(text: str, most: int) -> int:
    """Count the characters (code points) of the longest prefix that has at most `most` UTF-16 code units."""
    text = text[:most]
    return len(text) if text.isascii() else len(text.encode("utf-16-le")[: 2 * most].decode("utf-16-le", "ignore"))


def suffix_within(text: str, max_bytes: int) -> str:
    """Cut from the end of text what has at most `max_bytes` UTF-8 bytes."""
    return text.encode()[-max_bytes:].decode(errors="ignore") if max_bytes else ""


def last_cut(text: str, n: int) -> int:
    """Find the last place, at most `n`, where text may be cut whatever follows it.

    Args:
        text: From a place where it was cut before, or its beginning.
        n: Characters. The character at `n`, if there is one, tells whether the cluster before it is over.

    Returns:
        The number of characters before the cut; 0 if the first cluster goes beyond `n`, or may still grow.
    """
    if n >= len(text):
        if not text or (text[-1].isascii() and text[-1] != "\r"):
            return len(text)
        n = len(text) - 1  # nothing tells yet whether the last cluster is over, so the cut is before it at the latest
    if n <= 0:
        return 0
    if text[n - 1 : n + 1].isascii():
        return n if text[n] != "\n" or text[n - 1] != "\r" else n - 1
    if _is_plain(text, n - 1) and _is_plain(text, n):
        return n
    cut = n - 1
    while cut and not (_is_plain(text, cut - 1) and _is_plain(text, cut)):
        cut -= 1
    ends = (cluster.end() for cluster in _clusters()(text, cut))
    return max(takewhile(n.__ge__, ends), default=cut)


def _is_plain(text: str, at: int) -> bool:
    return _plain().match(text, at) is not None
