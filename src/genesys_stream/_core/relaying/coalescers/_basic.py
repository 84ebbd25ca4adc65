"""The strategies that look at the clock and at the size, never at the words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import define, field

from ...._values import Batch
from ..text import TextBuffer
from ._checks import seconds, whole_characters


@define(eq=False)
class PassThrough:
    """Send every delta at once: no latency, and as many pushes as the model has tokens."""

    _buffer: TextBuffer = field(init=False, factory=TextBuffer, repr=False)

    @property
    def due(self) -> None:
        """Nothing ever waits for the clock."""
        return

    def feed(self, text: str, now: float) -> Sequence[Batch]:
        """Give the delta back, without half a character at its end."""
        self._buffer.add(text, now)
        return [self._buffer.take(len(self._buffer), "boundary")] if self._buffer else ()

    def tick(self, now: float) -> Sequence[Batch]:  # noqa: ARG002 - the protocol's signature
        """Give nothing."""
        return []

    def close(self, now: float) -> Sequence[Batch]:
        """Give U+FFFD for half a character that was left alone."""
        return self._buffer.drain(now)


@define(eq=False)
class TimeSize:
    """Send when the first buffered text has waited for `window`, or when `max_bytes` are there.

    Args:
        window: Seconds from the arrival of the first buffered text; no text waits longer.
        max_bytes: The largest batch, in UTF-8 bytes of text; a longer delta is split.

    Raises:
        InvalidArgument: If an argument is not such a number, or `max_bytes` is less than one character may have, 4.
    """

    window: float = field(default=0.2, validator=seconds)
    max_bytes: int = field(default=500, validator=whole_characters)
    _buffer: TextBuffer = field(init=False, factory=TextBuffer, repr=False)

    @property
    def due(self) -> float | None:
        """When the window closes; None while nothing is buffered."""
        first_at = self._buffer.first_at
        return None if first_at is None else first_at + self.window

    def feed(self, text: str, now: float) -> Sequence[Batch]:
        """Buffer a delta, and send what is full or due."""
        buffer = self._buffer
        buffer.add(text, now)
        first_at = buffer.first_at
        if buffer.size < self.max_bytes and (first_at is None or now < first_at + self.window):
            return []
        return [*self._full(), *self.tick(now)]

    def _full(self) -> Iterator[Batch]:
        while self._buffer.size >= self.max_bytes:
            n = self._buffer.fit(self.max_bytes)
            if n == len(self._buffer):
                n = self._buffer.settled()
            if not n:
                return  # one cluster that fills a batch and may still grow waits for its window
            yield self._buffer.take(n, "size")

    def tick(self, now: float) -> Sequence[Batch]:
        """Send what is buffered once the window has closed."""
        due = self.due
        if due is None or now < due:
            return []
        return [self._buffer.take(self._buffer.ripe(now, self.window), "time")]

    def close(self, now: float) -> Sequence[Batch]:
        """Send what is left."""
        return self._buffer.drain(now, self.max_bytes)
