"""What the composites are made of: coalescers that are only asked where they would cut.

Every member is fed the whole text and goes on by itself, whatever became of its cuts.
The composite keeps the text, and cuts it where it decides to: at the members' cuts, some of them, or between them.
A cut inside what was already sent cuts nothing.
So no member is ever reset or told of the others, and none can lose text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from attrs import define, field

from ...._values import Batch
from ..text import TextBuffer
from ._protocol import Coalescer, LearnsFromDelivery

Cut: TypeAlias = tuple[int, str]
"""Where to cut, in characters from the beginning of the stream, and why."""


@define(eq=False)
class Member:
    """A coalescer inside another."""

    coalescer: Coalescer
    end: int = 0

    @property
    def due(self) -> float | None:
        """When it should be ticked."""
        return self.coalescer.due

    def feed(self, text: str, now: float) -> list[Cut]:
        """Say where it cuts, now that there is more text."""
        return self._cuts(self.coalescer.feed(text, now)) if text else []

    def tick(self, now: float) -> list[Cut]:
        """Say where it cuts, now that it is later."""
        return self._cuts(self.coalescer.tick(now))

    def close(self, now: float) -> list[Cut]:
        """Say where it cuts what is left; it is as new."""
        cuts = self._cuts(self.coalescer.close(now))
        self.end = 0
        return cuts

    def feedback(self, outcome: object, now: float) -> None:
        """Hand an outcome on, if the coalescer learns from it."""
        if isinstance(self.coalescer, LearnsFromDelivery):
            self.coalescer.feedback(outcome, now)

    def _cuts(self, batches: Sequence[Batch]) -> list[Cut]:
        cuts: list[Cut] = []
        for batch in batches:
            self.end += len(batch.text)
            cuts.append((self.end, batch.reason))
        return cuts


@define(eq=False)
class Outbox:
    """The text that a composite has not sent."""

    buffer: TextBuffer = field(factory=TextBuffer)
    sent: int = 0

    def take(self, end: int, reason: str) -> list[Batch]:
        """Send up to `end`, in characters from the beginning of the stream; nothing if that was sent before."""
        n = min(end - self.sent, len(self.buffer))
        if n <= 0:
            return []
        self.sent += n
        return [self.buffer.take(n, reason)]

    @property
    def last_cut(self) -> Cut:
        """The cut behind everything."""
        return self.sent + len(self.buffer), "final"


def earliest(*times: float | None) -> float | None:
    """Find the first of the times that there are; None if there is none."""
    return min((time for time in times if time is not None), default=None)
