"""Batches for pipelines without a relay: text and the time go in, batches come out."""

from __future__ import annotations

from ..._errors import InvalidArgument
from ..._values import Batch
from ..._values._checks import check_kind
from ..._wire import kind
from .coalescers.protocol import Coalescer
from .queue import TextQueue


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
        if not isinstance(now, (int, float)):
            raise InvalidArgument("now", f"must be a number of seconds, not {kind(now)}")
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
            The last batches: all that is left.
        """
        self._queue.close(now)
        return self._ready()

    def _ready(self) -> list[Batch]:
        return [Batch(*piece) for piece in self._queue.take_ready()]


def check_coalescer(argument: str, value: object) -> None:
    """Refuse what is no coalescer, such as a strategy's class in the place of an instance."""
    if isinstance(value, type) or not isinstance(value, Coalescer):
        raise InvalidArgument(argument, f"must have the methods of Coalescer, cut and due; got {kind(value)}")
