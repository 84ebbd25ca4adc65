"""The strategies that cut at places in the text: what they share, and `Pattern`, for places of one's own.

Each looks at every character once: a scanner is fed what is new, and notes the places where the text may be cut, in
characters from the beginning of the stream.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

from attrs import field, frozen

from ...._errors import InvalidArgument
from ...._wire import type_name
from ...text import last_cut, prefix_length
from ..queue import WaitingText
from .checks import at_least, seconds, whole_characters


class Scanner:
    """Finds the boundaries in text that comes in pieces.

    Attributes:
        seen: How many characters it was fed.
        ends: Where the text may be cut, in characters from the beginning of the stream, in order.
    """

    def __init__(self) -> None:
        self.seen = 0
        self.ends: deque[int] = deque()

    def feed(self, text: str) -> None:
        """Take the text that follows, and note the boundaries that it completes."""
        self.seen += len(text)


def first_boundary(ends: deque[int], waiting: WaitingText, max_bytes: int, min_chars: int = 1) -> int:
    """Return how many characters there are up to the first boundary that is one for a reader; 0 without one.

    A batch that ends there fits, has `min_chars` characters, and shows something; and it does not end inside of what
    a reader takes for one character. Boundaries for which that can never be are dropped.

    Args:
        ends: The boundaries, in characters from the beginning of the stream.
        waiting: The text.
        max_bytes: The largest batch, in UTF-8 bytes.
        min_chars: The smallest batch, in characters.
    """
    while ends:
        n = ends[0] - waiting.start
        if 4 * n > max_bytes and n > waiting.fit(max_bytes):
            return 0
        if n >= min_chars:
            text = waiting.peek(n + 1)
            if last_cut(text, n) == n and not text[:n].isspace():
                return n
        ends.popleft()
    return 0


class AtBoundaries:
    """Send up to the first boundary that a scanner finds, within bounds.

    A bound that is reached sends whole words where it can, and whole characters otherwise.
    """

    __slots__ = ()

    max_latency: float
    max_bytes: int
    min_chars: int = 1

    def _scanner(self) -> Scanner:
        """Return what finds the boundaries of one stream; this one finds none."""
        return Scanner()

    def cut(self, waiting: WaitingText, now: float) -> int:
        """Cut at the first boundary; without one, what is full or has waited for too long."""
        scanner = waiting.memory(self, self._scanner)
        seen = scanner.seen
        if seen < waiting.start + waiting.length:
            scanner.feed(waiting.since(seen))
        if scanner.ends and (n := first_boundary(scanner.ends, waiting, self.max_bytes, self.min_chars)):
            return n
        if waiting.size > self.max_bytes:
            return self._full(waiting)
        return 0 if now < waiting.first_at + self.max_latency else self._late(waiting, now)

    def due(self, waiting: WaitingText) -> float:
        """Wait until the first text has waited for `max_latency`."""
        return waiting.first_at + self.max_latency

    def _full(self, waiting: WaitingText) -> int:
        text = waiting.peek(self.max_bytes + 1)
        fits = prefix_length(text, self.max_bytes)
        n = _between_words(text[: fits + 1], fits)
        # A word as long as half a batch is cut, or else the rest of the batch would hardly be worth a push.
        return n if 2 * n >= fits else waiting.fit(self.max_bytes)

    def _late(self, waiting: WaitingText, now: float) -> int:
        n = _between_words(waiting.text, waiting.length)
        return n if n and n >= waiting.overdue(now, self.max_latency) else waiting.waited(now, self.max_latency)


def _between_words(text: str, n: int) -> int:
    """Find the last place, at most `n`, with white space before or after it; 0 if there is none."""
    head = text[:n]
    if not (head[-1].isspace() or text[n : n + 1].isspace()):
        n -= len(head.rsplit(None, 1)[-1])
    return last_cut(text, n)


Finder: TypeAlias = Callable[[str], int]
"""Told the text since the last cut, says how many characters of it are complete; 0 for none yet."""


def _as_find(find: Any) -> re.Pattern[str] | Finder:
    if isinstance(find, str):
        try:
            return re.compile(find)
        except re.error as error:
            raise InvalidArgument("find", f"must be a regular expression: {error}") from None
    if isinstance(find, re.Pattern) or callable(find):
        return find  # type: ignore[no-any-return]  # what a callable returns is checked when it returns it
    raise InvalidArgument("find", f"must be a regular expression or a callable, got {type_name(find)}")


class _Matches(Scanner):
    """Finds the ends of a pattern's matches.

    Args:
        pattern: The pattern.
        lookback: How many characters before the new text a match may begin.
    """

    def __init__(self, pattern: re.Pattern[str], lookback: int) -> None:
        super().__init__()
        self._pattern = pattern
        self._lookback = lookback
        self._before = ""  # twice `lookback` characters, so that assertions see what is before a match
        self._from = 0  # in that text

    def feed(self, text: str) -> None:
        region = self._before + text
        begin = self.seen - len(self._before)
        self.seen += len(text)
        at, open_at = self._from, len(region)
        for match in self._pattern.finditer(region, at):
            if match.end() == len(region):
                open_at = match.start()  # it may grow with the next delta
                break
            if match.end() > at:
                at = match.end()
                self.ends.append(begin + at)
        at = max(at, min(open_at, len(region) - self._lookback))
        kept = max(0, at - self._lookback)
        self._before, self._from = region[kept:], at - kept


@frozen
class Pattern(AtBoundaries):
    """Send up to the end of a pattern.

    The batches depend on the text alone, however it was cut into deltas, as long as no bound is reached, and as long
    as no match is longer than `lookback`, or what a function says of a text stays true when the text grows.

    Args:
        find: A regular expression, behind whose match the text is cut once something follows it;
            or a function that is told the text since the last cut and says how many characters of it to send, 0 for
            none yet; it is called with all of that text after each delta.
        max_latency: Seconds that text may wait.
        max_bytes: The largest batch, in UTF-8 bytes of text.
        lookback: How many characters before the newest delta a match may begin.

    Raises:
        InvalidArgument: An argument is of the wrong kind, or a bound is too small.
    """

    find: re.Pattern[str] | Finder = field(converter=_as_find, repr=False)
    max_latency: float = field(default=1.0, validator=seconds, kw_only=True)
    max_bytes: int = field(default=900, validator=whole_characters, kw_only=True)
    lookback: int = field(default=100, validator=at_least(1), kw_only=True)

    def _scanner(self) -> Scanner:
        return _Matches(self.find, self.lookback) if isinstance(self.find, re.Pattern) else AtBoundaries._scanner(self)

    def cut(self, waiting: WaitingText, now: float) -> int:
        """Cut at the end of the pattern; without one, what is full or has waited for too long."""
        if not isinstance(self.find, re.Pattern):
            text = waiting.peek(self.max_bytes + 1)
            fits = prefix_length(text, self.max_bytes)
            # One character more than fits: with it the function sees what it would have seen of any other deltas.
            text = text[: fits + 1]
            n = self.find(text)
            if 0 < n <= fits and (n := last_cut(text, n)):
                return n
        return AtBoundaries.cut(self, waiting, now)
