"""Batches for pipelines without a relay: text and the time go in, batches come out."""

from __future__ import annotations

from ..._errors import InvalidArgument
from ..._values import Batch, CompletionChunk
from ..._values._checks import check_kind, shown
from ..._wire import type_name
from .coalescers.checks import check_coalescer
from .coalescers.protocol import Coalescer
from .queue import TextQueue

LONGEST_TIME = 1e15
"""The largest time of a clock, in seconds, in either direction: thirty million years."""


class Batcher:
    """Turns text that comes in pieces into the batches of a coalescer; it has no clock and does no I/O.

    The texts of all batches, joined, are the texts of all deltas, joined; halves of surrogate pairs are joined, and a
    half that stays alone becomes U+FFFD.

    Args:
        coalescer: Says where to cut.

    Raises:
        InvalidArgument: It is no coalescer.
    """

    def __init__(self, coalescer: Coalescer) -> None:
        check_coalescer("coalescer", coalescer)
        self._queue = TextQueue(coalescer)

    @property
    def due(self) -> float | None:
        """When to call `tick` if no text comes before, in the clock's seconds; None while nothing waits for that."""
        return self._queue.due

    def feed(self, text: str, now: float) -> list[Batch]:
        """Take a delta.

        Args:
            text: What was said; it may begin or end inside of a character.
            now: The clock's time in seconds.

        Returns:
            The batches to send now.

        Raises:
            InvalidArgument: An argument is of the wrong kind, or the coalescer cuts where no text is.
            Exception: What the coalescer raises. No mistake of it loses text: `close` returns what is left, when it is
                called again if need be.
        """
        check_kind("text", text, str)
        if not isinstance(now, (int, float)) or not abs(now) <= LONGEST_TIME:
            raise InvalidArgument("now", f"must be a number of seconds, not {shown(now)}")
        self._queue.feed(text, now)
        return self._ready()

    def tick(self, now: float) -> list[Batch]:
        """Let time pass; to be called when `due` has come, harmless at any other time.

        Args:
            now: The clock's time in seconds.

        Returns:
            The batches to send now.
        """
        self._queue.tick(now)
        return self._ready()

    def close(self, now: float) -> list[Batch]:
        """Mark the input as ended. Idempotent.

        Args:
            now: The clock's time in seconds.

        Returns:
            The last batches, with all that is left.
        """
        self._queue.close(now)
        return self._ready()

    def _ready(self) -> list[Batch]:
        return _batches(self._queue)


def _batches(queue: TextQueue) -> list[Batch]:
    return [Batch(*piece) for piece in queue.take_ready()]


class BatchState:
    """The state of `coalesce`: what a source yields goes in, batches come out, and the source's error after them.

    Args:
        coalescer: Says where to cut.

    Attributes:
        ended: Whether no more will come in.
        error: What ended the source before its end, or what the coalescer raised.
    """

    def __init__(self, coalescer: Coalescer) -> None:
        self._queue = TextQueue(coalescer)
        self.ended = False
        self.error: BaseException | None = None

    @property
    def due(self) -> float | None:
        """When to call `next`, in the clock's seconds; None while only the source can change anything."""
        if self.ended or self._queue.ready:
            return float("-inf")
        return self._queue.due

    @property
    def full(self) -> bool:
        """Whether so many batches wait to be taken that the source should not be read."""
        return self._queue.waiting.queued >= MAX_QUEUED

    def feed(self, item: object, now: float) -> bool:
        """Take what the source yields; returns whether `due` is sooner than before.

        Raises:
            InvalidArgument: The item is neither a chunk nor a string, or the coalescer cuts where no text is.
            Exception: What the coalescer raises.
        """
        text = item.text if isinstance(item, CompletionChunk) else item
        if not isinstance(text, str):
            raise InvalidArgument("the source", f"must yield CompletionChunk or str, not {type_name(item)}")
        before = self.due
        self._queue.feed(text, now)
        due = self.due
        return due is not None and (before is None or due < before)

    def end(self, error: BaseException | None, now: float) -> None:
        """Mark the source as ended. Idempotent."""
        if self.ended:
            return
        self.ended = True
        self.error = error
        try:
            self._queue.close(now)
        except Exception as mistake:  # noqa: BLE001 - it may be anybody's coalescer
            self.error = error or mistake

    def next(self, now: float) -> list[Batch]:
        """Return the batches to hand out now; none until `due`, or, once `ended`, none at all."""
        due = self._queue.due
        if due is not None and due <= now:
            try:
                self._queue.tick(now)
            except Exception as mistake:  # noqa: BLE001 - as above
                self.end(mistake, now)
        return _batches(self._queue)


MAX_QUEUED = 2**20
"""How many characters may wait to be taken before the source is no longer read."""
