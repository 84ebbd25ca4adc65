"""The strategies for when every push counts: at growing intervals, at marks, or at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import define, field

from ...._errors import InvalidArgument
from ...._values import Batch
from ...._values._checks import shown
from ...._wire import type_name
from ..text import TextBuffer
from ._basic import TimeSize
from ._checks import seconds

INTERVALS = (0.2, 0.3, 0.5, 0.8, 1.3, 2.0, 3.0)


def _intervals(_: object, attribute: Any, value: object) -> None:
    if not isinstance(value, tuple) or not value:
        raise InvalidArgument(
            attribute.name, f"must be a sequence of seconds, with at least one, got {type_name(value)}"
        )
    for interval in value:
        seconds(_, attribute, interval)


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@define(eq=False, init=False)
class Schedule(TimeSize):
    """Send at intervals that grow: an answer starts fast and then costs few pushes.

    Args:
        intervals: Seconds that text waits before the first, the second, ... send; the last stays.
        max_bytes: The largest batch, in UTF-8 bytes of text.

    Raises:
        InvalidArgument: If an argument is of the wrong kind, or too small.
    """

    intervals: tuple[float, ...] = field(default=INTERVALS, validator=_intervals)
    _sent: int = field(init=False, default=0, repr=False)

    def __init__(self, intervals: Sequence[float] = INTERVALS, max_bytes: int = 3000) -> None:
        super().__init__(0.0, max_bytes)
        self.intervals = _as_tuple(intervals)
        self.window = self.intervals[0]
        self._sent = 0

    def tick(self, now: float) -> Sequence[Batch]:
        """Send what is buffered once the interval is over, and go on to the next."""
        batches = super().tick(now)
        if batches:
            self._sent += 1
            self.window = self.intervals[min(self._sent, len(self.intervals) - 1)]
        return batches

    def close(self, now: float) -> Sequence[Batch]:
        """Send what is left."""
        self._sent, self.window = 0, self.intervals[0]
        return super().close(now)


class Milestones:
    """Send when so many characters were said, and at the end: the fewest pushes that still show progress.

    Args:
        marks: Characters of the whole text; `Milestones(1, 500, 2000)` sends at once, twice on the way, and at the end.

    Raises:
        InvalidArgument: If a mark is not a positive whole number.
    """

    def __init__(self, *marks: int) -> None:
        for mark in marks:
            if isinstance(mark, bool) or not isinstance(mark, int) or mark < 1:
                raise InvalidArgument("marks", f"must be positive whole numbers, got {shown(mark)}")
        self.marks = tuple(sorted(marks))
        self._buffer = TextBuffer()
        self._sent = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, self.marks))})"

    @property
    def due(self) -> None:
        """Nothing waits for the clock."""
        return

    def feed(self, text: str, now: float) -> Sequence[Batch]:
        """Buffer a delta, and send everything if a mark was reached."""
        self._buffer.add(text, now)
        # The buffer is looked into only when it is long enough, or a long answer would be joined for each delta.
        if not self._reached(len(self._buffer)) or not self._reached(n := self._buffer.settled()):
            return []
        self._sent += n
        return [self._buffer.take(n, "boundary")]

    def _reached(self, n: int) -> bool:
        return any(self._sent < mark <= self._sent + n for mark in self.marks)

    def tick(self, now: float) -> Sequence[Batch]:  # noqa: ARG002 - the protocol's signature
        """Give nothing."""
        return []

    def close(self, now: float) -> Sequence[Batch]:
        """Send what is left."""
        self._sent = 0
        return self._buffer.drain(now)


class FinalOnly(Milestones):
    """Send everything at the end: for channels that take two or three pushes an hour."""

    def __init__(self) -> None:
        super().__init__()
