r"""Text between its arrival and its departure: measured in UTF-8 bytes, and cut only where a reader sees no cut.

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
from collections import deque
from collections.abc import Callable, Iterator
from functools import cache
from itertools import takewhile
from typing import Any

from ..._errors import InvalidArgument
from ..._values import Batch
from ..._wire import type_name
from ..reading.surrogates import SurrogateJoiner

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
    if text[n - 1] == "\r" and text[n] == "\n":
        return n - 1
    if _is_plain(text, n - 1) and _is_plain(text, n):
        return n
    cut = n - 1
    while cut and not (_is_plain(text, cut - 1) and _is_plain(text, cut)):
        cut -= 1
    ends = (cluster.end() for cluster in _clusters()(text, cut))
    return max(takewhile(n.__ge__, ends), default=cut)


def _is_plain(text: str, at: int) -> bool:
    return _plain().match(text, at) is not None


class TextBuffer:
    """The text that a coalescer holds: deltas go in with their times, batches come out.

    All that it does takes time in proportion to the text that goes in and comes out, however it is cut.
    """

    def __init__(self) -> None:
        self._text = ""  # joined; what is before _start has been taken
        self._start = 0
        self._parts: list[str] = []  # not yet joined to it
        self._joiner = SurrogateJoiner()
        self._deltas: deque[tuple[int, float]] = deque()  # characters left, arrival
        self._length = 0
        self._size = 0

    def __len__(self) -> int:
        """How many characters (code points) are buffered."""
        return self._length

    @property
    def size(self) -> int:
        """How many UTF-8 bytes are buffered."""
        return self._size

    @property
    def deltas(self) -> int:
        """How many deltas the buffered text came in."""
        return len(self._deltas)

    @property
    def first_at(self) -> float | None:
        """When the first buffered character arrived, in the clock's seconds; None when there is none."""
        return self._deltas[0][1] if self._deltas else None

    @property
    def last_at(self) -> float | None:
        """When the last buffered character arrived, in the clock's seconds; None when there is none."""
        return self._deltas[-1][1] if self._deltas else None

    def add(self, text: str, now: float) -> str:
        """Put text behind what is buffered; the first half of a surrogate pair at its end waits for the next delta.

        Args:
            text: A delta.
            now: The clock's time in seconds.

        Returns:
            What was put there, in whole characters.

        Raises:
            InvalidArgument: The text is not a string, or the time not a number.
        """
        if not isinstance(text, str):
            raise InvalidArgument("text", f"must be a string, not {type_name(text)}")
        if not isinstance(now, (int, float)):
            raise InvalidArgument("now", f"must be a number of seconds, not {type_name(now)}")
        return self._append(self._joiner.feed(text), now)

    def end(self, now: float) -> str:
        """Give up waiting for the other half of a surrogate pair, if one is waited for.

        Args:
            now: The clock's time in seconds.

        Returns:
            What was put in its place.
        """
        return self._append(self._joiner.close(), now)

    def _append(self, text: str, now: float) -> str:
        if text:
            self._parts.append(text)
            self._deltas.append((len(text), now))
            self._length += len(text)
            self._size += utf8_size(text)
        return text

    def peek(self, n: int | None = None) -> str:
        """Look at the first `n` characters, or at all of them, without taking them.

        Args:
            n: Characters; None for all of them.

        Returns:
            The text.
        """
        if self._parts:
            self._text = self._text[self._start :] + "".join(self._parts)
            self._parts.clear()
            self._start = 0
        return self._text[self._start : None if n is None else self._start + n]

    def arrived_at(self, n: int) -> float:
        """Say when a character arrived.

        Args:
            n: How many characters are before it in the buffer.

        Returns:
            The clock's seconds.

        Raises:
            InvalidArgument: There is no such character.
        """
        for length, at in self._deltas:
            n -= length
            if n < 0:
                return at
        raise InvalidArgument("n", "must be the place of a character that is buffered")

    def fit(self, max_bytes: int) -> int:
        """Count the characters, from the first on, that fit into `max_bytes`, in whole clusters where possible.

        Args:
            max_bytes: UTF-8 bytes; at least 4, so that any character fits.

        Returns:
            At least one character if there is any; all of them if all fit.
        """
        if self._size <= max_bytes:
            return self._length
        text = self.peek(max_bytes + 1)
        n = prefix_length(text, max_bytes)
        return last_cut(text[: n + 1], n) or n

    def settled(self) -> int:
        """Count the characters, from the first on, of the clusters that are over, whatever follows.

        Returns:
            How many characters.
        """
        return last_cut(self.peek(), self._length)

    def overdue(self, now: float, wait: float) -> int:
        """Count the characters, from the first on, that have waited long enough.

        Args:
            now: The clock's time in seconds.
            wait: Seconds.

        Returns:
            How many characters.
        """
        n = 0
        for length, at in self._deltas:
            if at + wait > now:
                break
            n += length
        return n

    def ripe(self, now: float, wait: float) -> int:
        """Count the characters to send once the first has waited for `wait` seconds: all of them.

        Without a last cluster that may still grow, though, unless that has waited for `wait` seconds as well.

        Args:
            now: The clock's time in seconds.
            wait: Seconds.

        Returns:
            How many characters.
        """
        settled = self.settled()
        return settled if settled >= self.overdue(now, wait) else self._length

    def take(self, n: int, reason: str) -> Batch:
        """Take the first `n` characters as a batch.

        Args:
            n: At least one; of more than there are, all are taken.
            reason: Why the batch is sent now, such as "time".

        Returns:
            The batch, with its times and the number of its deltas.

        Raises:
            InvalidArgument: There is nothing to take.
        """
        if n < 1 or not self._length:
            raise InvalidArgument("n", f"must be a number of characters from 1, of {self._length} that are buffered")
        text = self.peek(n)
        self._start += len(text)
        self._length -= len(text)
        self._size -= utf8_size(text)
        if not self._length:
            self._text, self._start = "", 0
        first_at = last_at = self._deltas[0][1]
        deltas, left = 0, len(text)
        while left:
            length, last_at = self._deltas.popleft()
            deltas += 1
            if length > left:
                self._deltas.appendleft((length - left, last_at))
            left -= min(left, length)
        return Batch(text=text, reason=reason, first_at=first_at, last_at=last_at, deltas=deltas)

    def drain(self, now: float, max_bytes: int | None = None) -> list[Batch]:
        """Take everything, in batches of at most `max_bytes`; the buffer is as new.

        Args:
            now: The clock's time in seconds.
            max_bytes: UTF-8 bytes; None for one batch of any size.

        Returns:
            Batches with the reason "size", and one with the reason "final"; nothing if nothing was buffered.
        """
        self.end(now)
        batches: list[Batch] = []
        while max_bytes is not None and self._size > max_bytes:
            batches.append(self.take(self.fit(max_bytes), "size"))
        if self._length:
            batches.append(self.take(self._length, "final"))
        return batches
