"""What a coalescer is: deltas and the time go in, batches come out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from ...._values import Batch


@runtime_checkable
class Coalescer(Protocol):
    """Decides which deltas travel together; anything with these four members is one.

    `relay` calls it, for one stream, from one thread or task, and never two methods at once:

    - `feed` with every delta that has text,
    - `tick` when the clock has reached `due`; it may call it earlier, which gives nothing, or later,
    - `close` when the stream ends, however it ends, and possibly more than once.

    Each answers with the batches that are to be sent now, in order: usually none.
    The texts of all the batches, joined, are the texts of all the deltas, joined.
    The times are seconds of a clock that never goes back; a coalescer owns no clock and never sleeps.

    A strategy of one's own needs no base class.
    `TextBuffer` does the part that is easily got wrong: half characters, sizes, and where text may be cut.
    """

    @property
    def due(self) -> float | None:
        """When `tick` should be called next, in the clock's seconds; None while nothing waits for the clock."""
        ...

    def feed(self, text: str, now: float) -> Sequence[Batch]:
        """Take a delta.

        Args:
            text: What the model said; it may end, or begin, inside a character.
            now: The clock's time in seconds.

        Returns:
            The batches to send now.
        """
        ...

    def tick(self, now: float) -> Sequence[Batch]:
        """Let time pass.

        Args:
            now: The clock's time in seconds.

        Returns:
            The batches to send now; afterwards `due` is None or later than `now`.
        """
        ...

    def close(self, now: float) -> Sequence[Batch]:
        """Give out all that is left; afterwards the coalescer is as new, and can serve the next stream.

        Args:
            now: The clock's time in seconds.

        Returns:
            The last batches; none if there is no text left, so that a second call gives nothing.
        """
        ...


@runtime_checkable
class LearnsFromDelivery(Protocol):
    """A coalescer that adapts to what became of its batches; `relay` tells it, if it has this method."""

    def feedback(self, outcome: object, now: float) -> None:
        """Take note of what the sink did with a batch.

        Args:
            outcome: What the sink returned, such as a `PushReceipt`, or the exception that it raised.
            now: The clock's time in seconds.
        """
        ...
