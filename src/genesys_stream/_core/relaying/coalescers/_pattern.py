"""The strategy that sends up to a place in the text, and the bounds that keep it from waiting for one for ever."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from attrs import define, field

from ...._errors import InvalidArgument
from ...._values import Batch
from ...._wire import type_name
from ..text import TextBuffer, last_cut, prefix_length
from ._checks import seconds, whole_characters

Finder: TypeAlias = Callable[[str], int]
"""Told the text since the last cut, says how many characters of it are complete; 0 for none yet."""


def _as_finder(find: Any) -> Finder:
    if isinstance(find, str):
        try:
            find = re.compile(find)
        except re.error as error:
            raise InvalidArgument("find", f"must be a regular expression: {error}") from None
    if isinstance(find, re.Pattern):
        return _after(find)
    if callable(find):
        return find  # type: ignore[no-any-return]  # what it returns is checked when it returns it
    raise InvalidArgument("find", f"must be a regular expression or a callable, got {type_name(find)}")


def _after(pattern: re.Pattern[str]) -> Finder:
    def find(text: str) -> int:
        match = pattern.search(text)
        # A match that touches the end of the text may grow with the next delta.
        return match.end() if match and match.end() < len(text) else 0

    return find


@define(eq=False)
class Pattern:
    """Send up to the end of a pattern: the strategy to build one's own upon, as `Sentence` and `Line` are.

    The batches depend on the text alone, however it was cut into deltas, as long as neither bound is reached, and as
    long as what `find` says of a text stays true when the text grows.
    A bound that is reached sends whole words where it can, and whole characters otherwise.

    Args:
        find: A regular expression, after whose first match the text is cut once something follows it;
            or a function that is told the text since the last cut and says how many characters of it to send, 0 for
            none yet. It is asked again with the rest after each cut, and after each delta.
        max_latency: Seconds that text may wait.
        max_bytes: The largest batch, in UTF-8 bytes of text.

    Raises:
        InvalidArgument: If an argument is of the wrong kind, or a bound is too small.
    """

    find: Finder = field(converter=_as_finder, repr=False)
    max_latency: float = field(default=1.0, validator=seconds, kw_only=True)
    max_bytes: int = field(default=900, validator=whole_characters, kw_only=True)
    _buffer: TextBuffer = field(init=False, factory=TextBuffer, repr=False)

    @property
    def due(self) -> float | None:
        """When the first buffered text will have waited for `max_latency`; None while nothing is buffered."""
        first_at = self._buffer.first_at
        return None if first_at is None else first_at + self.max_latency

    def feed(self, text: str, now: float) -> Sequence[Batch]:
        """Buffer a delta, and send what is complete, full or due."""
        self._buffer.add(text, now)
        batches: list[Batch] = []
        while cut := self._next_cut():
            batches.append(self._take(*cut))
        return [*batches, *self.tick(now)]

    def _take(self, n: int, reason: str) -> Batch:
        return self._buffer.take(n, reason)

    def _next_cut(self) -> tuple[int, str] | None:
        text = self._buffer.peek(self.max_bytes + 1)
        fits = prefix_length(text, self.max_bytes)
        # One character more than fits: with it the pattern sees what it would have seen of any other deltas.
        text = text[: fits + 1]
        n = self.find(text) if text else 0
        if 0 < n <= fits and (n := last_cut(text, n)):
            return n, "boundary"
        if fits < len(text):
            n = _between_words(text, fits)
            # A word as long as half a batch is cut, or else the rest of the batch would hardly be worth a push.
            return (n if 2 * n >= fits else last_cut(text, fits)) or fits, "size"
        return None

    def tick(self, now: float) -> Sequence[Batch]:
        """Send what is buffered, to the end of a word if the rest may still wait, once `max_latency` is over."""
        if self.due is None or now < self.due:
            return []
        n = _between_words(self._buffer.peek(), len(self._buffer))
        if not n or n < self._buffer.overdue(now, self.max_latency):
            n = self._buffer.ripe(now, self.max_latency)
        return [self._take(n, "time")]

    def close(self, now: float) -> Sequence[Batch]:
        """Send what is left."""
        return self._buffer.drain(now, self.max_bytes)


def _between_words(text: str, n: int) -> int:
    """Find the last place, at most `n`, with white space before or after it; 0 if there is none."""
    head = text[:n]
    if not (head[-1].isspace() or text[n : n + 1].isspace()):
        n -= len(head.rsplit(None, 1)[-1])
    return last_cut(text, n)
