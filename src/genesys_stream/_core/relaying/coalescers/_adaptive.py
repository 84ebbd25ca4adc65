"""The strategies that learn from what becomes of their batches."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from ...._errors import GenesysStreamError, InvalidArgument, RateLimited
from ...._values import Batch
from ..text import TextBuffer
from ._basic import TimeSize
from ._checks import seconds

# After so many successes in a row the interval shrinks, by this share of the first one.
_SUCCESSES = 8
_SHARE = 0.1

# The weight of the newest send time in the average of them all, and how much longer than it an interval is at least.
_NEWEST = 0.25
_ROOM = 1.2


def _no_less_than_minimum(adaptive: Adaptive, attribute: object, value: float) -> None:
    name: str = getattr(attribute, "name", "")
    if value < adaptive.minimum:
        raise InvalidArgument(name, f"must not be less than minimum, {adaptive.minimum}, got {value}")


def _no_less_than_initial(adaptive: Adaptive, _: object, value: float) -> None:
    if value < adaptive.initial:
        raise InvalidArgument("maximum", f"must not be less than initial, {adaptive.initial}, got {value}")


@define(eq=False, init=False)
class Adaptive(TimeSize):
    """Send at an interval that doubles when the service refuses for its rate, and shrinks slowly while it does not.

    This is TCP's rule, additive increase and multiplicative decrease, and it needs to know no limit beforehand.
    The interval is never shorter than 1.2 times what a send takes, on average.

    Args:
        initial: Seconds that text waits at first; after 8 successes in a row a tenth of it is taken off the interval.
        minimum: The shortest interval, in seconds.
        maximum: The longest interval, in seconds; no text waits longer.
        max_bytes: The largest batch, in UTF-8 bytes of text.

    Raises:
        InvalidArgument: If an argument is of the wrong kind, or the intervals are not in order.
    """

    minimum: float = field(default=0.2, validator=seconds)
    initial: float = field(default=0.25, validator=[seconds, _no_less_than_minimum])
    maximum: float = field(default=10.0, validator=[seconds, _no_less_than_initial])
    _successes: int = field(init=False, default=0, repr=False)
    _given_at: float | None = field(init=False, default=None, repr=False)
    _send_time: float = field(init=False, default=0.0, repr=False)

    def __init__(
        self, initial: float = 0.25, minimum: float = 0.2, maximum: float = 10.0, max_bytes: int = 3000
    ) -> None:
        super().__init__(0.0, max_bytes)
        self.minimum = minimum
        self.initial = initial
        self.maximum = maximum
        self._forget()

    def _forget(self) -> None:
        self.window = self.initial
        self._successes = 0
        self._given_at = None
        self._send_time = 0.0

    def feed(self, text: str, now: float) -> Sequence[Batch]:
        """Buffer a delta, and send what is full or due."""
        return self._note(super().feed(text, now), now)

    def tick(self, now: float) -> Sequence[Batch]:
        """Send what is buffered once the interval is over."""
        return self._note(super().tick(now), now)

    def _note(self, batches: Sequence[Batch], now: float) -> Sequence[Batch]:
        if batches and self._given_at is None:
            self._given_at = now
        return batches

    def close(self, now: float) -> Sequence[Batch]:
        """Send what is left, and forget what was learned."""
        batches = super().close(now)
        self._forget()
        return batches

    def feedback(self, outcome: object, now: float) -> None:
        """Learn: a refusal for the rate doubles the interval, a success may shrink it, another failure says nothing."""
        given_at, self._given_at = self._given_at, None
        if isinstance(outcome, RateLimited):
            self._successes = 0
            self.window = min(2 * self.window, self.maximum)
            return
        if isinstance(outcome, BaseException):
            self._successes = 0
            return
        if given_at is not None:
            took = now - given_at
            self._send_time = took if not self._send_time else self._send_time + _NEWEST * (took - self._send_time)
        self._successes += 1
        if self._successes >= _SUCCESSES:
            self._successes = 0
            self.window -= _SHARE * self.initial
        self.window = min(max(self.window, self.minimum, _ROOM * self._send_time), self.maximum)


@define(eq=False)
class InFlight:
    """Send whenever nothing is on its way: Nagle's rule, so that the sink's own speed sets the pace.

    `relay` sends one batch at a time anyway, and sends together what gathers in the meantime: there this strategy does
    no more than `PassThrough`, and less where pushes wait for their turn. It is for a loop of your own.

    Args:
        max_latency: Seconds that text may wait for word of the batch before it, which may never come.

    Raises:
        InvalidArgument: If it is not such a number.
    """

    max_latency: float = field(default=1.0, validator=seconds)
    _buffer: TextBuffer = field(init=False, factory=TextBuffer, repr=False)
    _on_its_way: bool = field(init=False, default=False, repr=False)

    @property
    def due(self) -> float | None:
        """At once when nothing is on its way any more; otherwise when text has waited for too long."""
        first_at = self._buffer.first_at
        if first_at is None:
            return None
        return first_at + self.max_latency if self._on_its_way else first_at

    def feed(self, text: str, now: float) -> Sequence[Batch]:
        """Give the delta back, if nothing is on its way."""
        self._buffer.add(text, now)
        return self.tick(now)

    def tick(self, now: float) -> Sequence[Batch]:
        """Send what has gathered, if nothing is on its way or it has waited for too long."""
        if self.due is None or now < self.due:
            return []
        self._on_its_way = True
        return [self._buffer.take(len(self._buffer), "boundary")]

    def close(self, now: float) -> Sequence[Batch]:
        """Send what is left."""
        self._on_its_way = False
        return self._buffer.drain(now)

    def feedback(self, outcome: object, now: float) -> None:  # noqa: ARG002 - the protocol's signature
        """Take note that the batch is no longer on its way, unless it will be sent again."""
        if not (isinstance(outcome, GenesysStreamError) and outcome.retryable):
            self._on_its_way = False
