"""The strategy that knows a rate limit, for sinks that do not."""

from __future__ import annotations

from collections.abc import Sequence

from ...._errors import InvalidArgument
from ...._values import Batch
from ...._values._checks import shown
from ..limits import Rate, TokenBucket
from ..text import TextBuffer


class RateBudget:
    """Send everything that waits, as soon as each of some rates allows a push: for a sink of your own with a limit.

    `client.push.to(...)` does without it: it has a budget, which all relays of its client share.

    One token of each rate is kept for the last batch, which never waits; so the rates hold in any span of time, where
    their burst is at least 2. What was spent stays spent when the stream ends, for the next one to the same sink.

    Args:
        *rates: What the sink bears, at least one, such as `Rate(100, 1.36)`.

    Raises:
        InvalidArgument: If one of them is not a `Rate`, or if there is none.
    """

    def __init__(self, *rates: Rate) -> None:
        if not rates:
            raise InvalidArgument("rates", "must be at least one")
        for i, rate in enumerate(rates):
            if not isinstance(rate, Rate):
                raise InvalidArgument(f"rates[{i}]", f"must be a Rate, got {shown(rate)}")
        self.rates = rates
        self._buckets = [TokenBucket(rate) for rate in rates]
        self._buffer = TextBuffer()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.rates))})"

    @property
    def due(self) -> float | None:
        """When the rates allow the next push; None while nothing is buffered."""
        first_at = self._buffer.first_at
        return None if first_at is None else max(bucket.earliest(first_at, reserve=1) for bucket in self._buckets)

    def feed(self, text: str, now: float) -> Sequence[Batch]:
        """Buffer a delta, and send everything if a push is allowed."""
        self._buffer.add(text, now)
        return self.tick(now)

    def tick(self, now: float) -> Sequence[Batch]:
        """Send everything if a push is allowed."""
        if self.due is None or now < self.due:
            return []
        return self._spend([self._buffer.take(len(self._buffer), "budget")], now)

    def close(self, now: float) -> Sequence[Batch]:
        """Send what is left."""
        return self._spend(self._buffer.drain(now), now)

    def _spend(self, batches: list[Batch], now: float) -> list[Batch]:
        for bucket in self._buckets if batches else ():
            bucket.book(now)
        return batches
