"""Relays in virtual time: the library's own desks, a sink with a fixed round trip, and no clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean

from attrs import define, field, frozen
from optimum import least_waiting
from traces import Reply, Trace

from genesys_stream import Batch, Coalescer, RateLimited, Retry
from genesys_stream._core.relaying.relay import Account, Desk
from genesys_stream._core.text import prefix_length

ROUND_TRIP = 0.05
PAYLOAD_BYTES = 3300
"""How much text a payload of 3,584 bytes carries, roughly."""

CALM = Retry(attempts=8, jitter=lambda bound: bound / 2)


@define
class Service:
    """A service that lets `limit` requests through in each fixed window, and answers 429 to the rest.

    Attributes:
        limit: How many; None for all.
        window: Seconds.
        start: When a window begins, so that the others begin `window` seconds apart from it.
    """

    limit: int | None = None
    window: float = 60.0
    start: float = 0.0
    refused: list[float] = field(factory=list)
    asked: list[float] = field(factory=list)
    _counted: dict[int, int] = field(factory=dict)

    def ask(self, now: float) -> RateLimited | None:
        """Count a request, of whatever kind; answers it."""
        self.asked.append(now)
        number = int((now - self.start) // self.window)
        self._counted[number] = self._counted.get(number, 0) + 1
        if self.limit is None or self._counted[number] <= self.limit:
            return None
        self.refused.append(now)
        wait = self.start + (number + 1) * self.window - now
        return RateLimited("slow down", status=429, retry_after=wait)


@define
class Line:
    """One relay: what is said to it, its desk, and what goes out."""

    said: Reply
    desk: Desk
    service: Service
    round_trip: float = ROUND_TRIP
    sent: list[tuple[float, Batch]] = field(factory=list)
    _read: int = 0
    _in_flight: tuple[float, Batch, RateLimited | None] | None = None

    def next_at(self, now: float) -> float | None:
        """When something happens next."""
        times = [] if self._in_flight is None else [self._in_flight[0]]
        if self._read < len(self.said):
            times.append(self.said[self._read][0])
        if (due := self.desk.due) is not None:
            times.append(max(due, now))
        return min(times, default=None)

    def step(self, now: float) -> None:
        """Let happen what is due."""
        desk = self.desk
        if self._in_flight is not None and self._in_flight[0] <= now:
            _, batch, refusal = self._in_flight
            self._in_flight = None
            if refusal is None:
                desk.delivered(batch, None, now)
            else:
                desk.failed(batch, refusal, now)
        while self._read < len(self.said) and self.said[self._read][0] <= now:
            desk.arrive(self.said[self._read][1], now)
            self._read += 1
            if self._read == len(self.said):
                desk.end("complete", now, finish_reason="stop")
        batch_ = desk.take(now)
        if batch_ is not None:
            refusal = self.service.ask(now)
            if refusal is None:
                self.sent.append((now, batch_))
            self._in_flight = (now + self.round_trip, batch_, refusal)


def run(lines: Sequence[Line]) -> None:
    """Run relays next to each other until all are done."""
    queue = [(line.said[0][0], number) for number, line in enumerate(lines)]
    heapq.heapify(queue)
    while queue:
        now, number = heapq.heappop(queue)
        lines[number].step(now)
        at = lines[number].next_at(now)
        if at is not None:
            heapq.heappush(queue, (at, number))


def relayed(
    trace: Trace,
    make: Callable[[], tuple[Coalescer, Account | None]],
    *,
    service: Service | None = None,
    round_trip: float = ROUND_TRIP,
) -> list[Line]:
    """Relay a trace, each reply by a relay of its own, to one sink.

    Args:
        trace: What is said.
        make: Makes a coalescer for each reply, and what its pushes are paid from.
        service: What the pushes reach.
        round_trip: How long the sink takes for a push, in seconds.
    """
    service = service or Service()
    lines: list[Line] = []
    for number, said in enumerate(trace):
        coalescer, budget = make()
        desk = Desk(coalescer, stream_id=f"{number}", fit=_fit, retry=CALM, budget=budget)
        lines.append(Line(said, desk, service, round_trip))
    run(lines)
    return lines


def _fit(batch: Batch) -> int:
    return prefix_length(batch.text, PAYLOAD_BYTES)


def most_within(times: Iterable[float], seconds: float) -> int:
    """The pushes of the fullest span of so many seconds, wherever it begins."""
    ordered = sorted(times)
    most = begin = 0
    for end, at in enumerate(ordered):
        while ordered[begin] <= at - seconds:
            begin += 1
        most = max(most, end - begin + 1)
    return most


@frozen
class Figures:
    """What came of a trace.

    Attributes:
        pushes: How many there were.
        peak_minute: In the fullest 60 s.
        peak_hour: In the fullest hour.
        first: Seconds from a reply's first token to its first push, on average.
        mean: Seconds that a character waited, on average.
        p95: Seconds that 95 % of the characters waited at the most.
        ratio: The mean against that of the best partition into as many pushes; None where that has no waiting.
    """

    pushes: int
    peak_minute: int
    peak_hour: int
    first: float
    mean: float
    p95: float
    ratio: float | None


def waits(lines: Iterable[Line]) -> list[tuple[float, int]]:
    """How long how many characters waited, from their arrival until they were sent."""
    found: list[tuple[float, int]] = []
    for line in lines:
        pieces = iter(line.said)
        at, left = 0.0, 0
        for sent_at, batch in line.sent:
            need = len(batch.text)
            while need:
                while not left:
                    at, text = next(pieces)
                    left = len(text)
                count = min(need, left)
                found.append((sent_at - at, count))
                need, left = need - count, left - count
    return found


def figures(lines: Sequence[Line]) -> Figures:
    """Measure relays that are done."""
    times = [at for line in lines for at, _ in line.sent]
    waited = sorted(waits(lines))
    characters = sum(count for _, count in waited)
    total = sum(wait * count for wait, count in waited)
    arrivals = sorted((at, len(text)) for line in lines for at, text in line.said)
    best = least_waiting(arrivals, len(times))
    return Figures(
        pushes=len(times),
        peak_minute=most_within(times, 60.0),
        peak_hour=most_within(times, 3600.0),
        first=fmean(line.sent[0][0] - line.said[0][0] for line in lines),
        mean=total / characters,
        p95=_percentile(waited, 0.95 * characters),
        ratio=total / best if best else None,
    )


def _percentile(waited: list[tuple[float, int]], characters: float) -> float:
    seen = 0
    for wait, count in waited:
        seen += count
        if seen >= characters:
            return wait
    return 0.0
