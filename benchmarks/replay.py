"""Relays in virtual time: the library's own relay states, a sink with a fixed round trip, and no clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import cast

from attrs import define, field, frozen
from optimum import least_waiting
from traces import Reply, Trace

from genesys_stream import Batch, Coalescer, Profile, RateLimited, RateLimits, Retry
from genesys_stream._core.relaying.delivery import Push
from genesys_stream._core.relaying.relay import RelayState, TurnRequest, end_of
from genesys_stream._core.relaying.sink import Channel

ROUND_TRIP = 0.05
PAYLOAD_BYTES = 3584
OVERHEAD = bytes(284)
"""What a payload has besides its text, roughly."""

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
    """One relay: what is said to it, its state, and what goes out."""

    said: Reply
    state: RelayState
    service: Service
    round_trip: float = ROUND_TRIP
    sent: list[tuple[float, Batch]] = field(factory=list)
    _read: int = 0
    _in_flight: tuple[float, Push, RateLimited | None] | None = None

    def next_at(self, now: float) -> float | None:
        """When something happens next."""
        times = [] if self._in_flight is None else [self._in_flight[0]]
        if self._read < len(self.said):
            times.append(self.said[self._read][0])
        if (due := self.state.due) is not None:
            times.append(max(due, now))
        return min(times, default=None)

    def step(self, now: float) -> None:
        """Let happen what is due."""
        state = self.state
        if self._in_flight is not None and self._in_flight[0] <= now:
            _, push, refusal = self._in_flight
            self._in_flight = None
            if refusal is None:
                state.succeeded(push, None)
            else:
                state.failed(push, refusal, now)
        while self._read < len(self.said) and self.said[self._read][0] <= now:
            state.feed(self.said[self._read][1], now)
            self._read += 1
            if self._read == len(self.said):
                state.end(end_of(None, "stop", now))
        step = state.next(now)
        while isinstance(step, TurnRequest):
            state.turn_answered(cast(float, step.turn.request(now, final=step.final)), now)
            step = state.next(now)
        if step is not None:
            refusal = self.service.ask(now)
            if refusal is None:
                self.sent.append((now, step.batch))
            self._in_flight = (now + self.round_trip, step, refusal)


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
    make: Callable[[], tuple[Coalescer | None, Channel]],
    *,
    service: Service | None = None,
    round_trip: float = ROUND_TRIP,
) -> list[Line]:
    """Relay a trace, each reply by a relay of its own, to one sink.

    Args:
        trace: What is said.
        make: Makes the coalescer for each reply, None for that of the channel, and the channel.
        service: What the pushes reach.
        round_trip: How long the sink takes for a push, in seconds.
    """
    service = service or Service()
    lines: list[Line] = []
    for number, said in enumerate(trace):
        coalescer, channel = make()
        chosen = coalescer or channel.default_coalescer()
        state = RelayState(chosen, stream_id=f"{number}", channel=channel, retry=CALM)
        lines.append(Line(said, state, service, round_trip))
    run(lines)
    return lines


def channel_of(limits: RateLimits, profile: Profile | None = None, target: str = "device") -> Channel:
    """Make the channel to one device, as that of `client.push.to`, with payloads that are as large as real ones."""
    return Channel(
        encode=lambda batch: OVERHEAD + batch.text.encode(),
        max_bytes=PAYLOAD_BYTES,
        window=None if profile is None else profile.window,
        final_only=profile is not None and profile.final_only,
        limiter=limits.limiter([target], None if profile is None else profile.device),
    )


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
