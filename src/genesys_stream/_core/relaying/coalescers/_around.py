"""The strategies around another one: they send earlier than it would, or keep it within bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from attrs import define, field

from ...._errors import InvalidArgument
from ...._values import Batch
from ..text import last_cut
from ._checks import at_least, coalescer, optional, seconds, whole_characters
from ._members import Cut, Member, Outbox, earliest
from ._protocol import Coalescer
from ._sparse import FinalOnly


@define(eq=False)
class _Around:
    """One member, an outbox, and no opinion."""

    inner: Coalescer = field(validator=coalescer)
    _member: Member = field(init=False, repr=False)
    _outbox: Outbox = field(init=False, factory=Outbox, repr=False)

    def __attrs_post_init__(self) -> None:
        self._member = Member(self.inner)

    @property
    def due(self) -> float | None:
        """When the inner strategy is due."""
        return self._member.due

    def feed(self, text: str, now: float) -> Sequence[Batch]:
        """Hand a delta on, and send what is complete."""
        return self._send(self._member.feed(self._outbox.buffer.add(text, now), now), now)

    def tick(self, now: float) -> Sequence[Batch]:
        """Let time pass, and send what is due."""
        return self._send(self._member.tick(now), now)

    def close(self, now: float) -> Sequence[Batch]:
        """Send what is left."""
        cuts = self._member.feed(self._outbox.buffer.end(now), now)
        cuts += self._member.close(now)
        batches = self._take([*cuts, self._outbox.last_cut])
        self._outbox.sent = 0
        return batches

    def feedback(self, outcome: object, now: float) -> None:
        """Hand an outcome on to the inner strategy, if it learns."""
        self._member.feedback(outcome, now)

    def _send(self, cuts: list[Cut], now: float) -> list[Batch]:  # noqa: ARG002 - for those who look at the clock
        return self._take(cuts)

    def _take(self, cuts: list[Cut]) -> list[Batch]:
        return [batch for end, reason in cuts for batch in self._outbox.take(end, reason)]


@define(eq=False)
class ImmediateFirst(_Around):
    """Send the first text that can be seen at once, and leave the rest to another strategy.

    Args:
        inner: Decides about all that follows, and goes by its own clock from the first delta on.
        min_chars: How many characters, white space not counted, the first batch must have.

    Raises:
        InvalidArgument: If an argument is of the wrong kind.
    """

    min_chars: int = field(default=1, validator=at_least(1))
    _begun: bool = field(init=False, default=False, repr=False)

    def _send(self, cuts: list[Cut], now: float) -> list[Batch]:
        batches = super()._send(cuts, now)
        if self._begun:
            return batches
        self._begun = any(self._shows(batch.text) for batch in batches)
        text = self._outbox.buffer.peek()
        if not self._begun and self._shows(text):
            self._begun = True
            n = last_cut(text, len(text))
            n = n if self._shows(text[:n]) else len(text)
            batches += self._outbox.take(self._outbox.sent + n, "first")
        return batches

    def _shows(self, text: str) -> bool:
        return len("".join(text.split())) >= self.min_chars

    def close(self, now: float) -> Sequence[Batch]:
        """Send what is left."""
        self._begun = False
        return super().close(now)


@define(eq=False)
class Idle(_Around):
    """Send when the model falls silent, or when another strategy says so.

    Args:
        inner: The other strategy; by default there is none.
        idle: Seconds of silence after which everything is sent.
        max_wait: Seconds that text may wait while the model does not fall silent.

    Raises:
        InvalidArgument: If an argument is of the wrong kind.
    """

    inner: Coalescer = field(factory=FinalOnly, validator=coalescer)
    idle: float = field(default=0.15, validator=seconds, kw_only=True)
    max_wait: float = field(default=1.0, validator=seconds, kw_only=True)

    @property
    def due(self) -> float | None:
        """When it has been silent for long enough, text has waited for too long, or the inner strategy is due."""
        return earliest(self._member.due, self._patience())

    def _patience(self) -> float | None:
        first_at, last_at = self._outbox.buffer.first_at, self._outbox.buffer.last_at
        return None if first_at is None or last_at is None else min(first_at + self.max_wait, last_at + self.idle)

    def _send(self, cuts: list[Cut], now: float) -> list[Batch]:
        batches = super()._send(cuts, now)
        patience = self._patience()
        if patience is not None and now >= patience:
            n = self._outbox.buffer.ripe(now, min(self.idle, self.max_wait))
            batches += self._outbox.take(self._outbox.sent + n, "idle")
        return batches


def _within_latency(bounds: Any, _: object, value: float) -> None:
    if bounds.max_latency is not None and value > bounds.max_latency:
        raise InvalidArgument("min_interval", f"must not be more than max_latency, {bounds.max_latency}, got {value}")


@define(eq=False)
class _Bounded(_Around):
    max_latency: float | None = field(default=None, validator=optional(seconds))
    max_bytes: int | None = field(default=None, validator=optional(whole_characters))
    min_interval: float = field(default=0.0, validator=[seconds, _within_latency])
    _held: list[Cut] = field(init=False, factory=list, repr=False)
    _shut_until: float = field(init=False, default=-math.inf, repr=False)

    @property
    def due(self) -> float | None:
        return earliest(self._member.due, self._own_due())

    def _own_due(self) -> float | None:
        if self._held or self._full():
            return self._shut_until
        first_at = self._outbox.buffer.first_at
        if first_at is None or self.max_latency is None:
            return None
        return max(first_at + self.max_latency, self._shut_until)

    def _full(self) -> bool:
        return self.max_bytes is not None and self._outbox.buffer.size > self.max_bytes

    def _send(self, cuts: list[Cut], now: float) -> list[Batch]:
        cuts = [cut for cut in [*self._held, *cuts] if cut[0] > self._outbox.sent]
        if now < self._shut_until:
            self._held = cuts
            return []
        self._held = []
        due = self._own_due()
        if not cuts and (due is None or now < due):
            return []
        cuts += self._late(cuts, now + self.min_interval)
        batches = self._take(cuts[-1:] if self.min_interval else cuts)  # what has gathered goes out as one
        while self._full():
            batches += self._outbox.take(self._outbox.sent + self._fit(), "size")
        if self.min_interval:
            self._shut_until = now + self.min_interval
        return batches

    def _late(self, cuts: list[Cut], until: float) -> list[Cut]:
        """Find the cut behind what may not wait until then, unless the cuts that are made anyway are behind it."""
        sent, buffer = self._outbox.sent, self._outbox.buffer
        if self.max_latency is None or buffer.overdue(until, self.max_latency) + sent <= (
            cuts[-1][0] if cuts else sent
        ):
            return []
        return [(sent + buffer.ripe(until, self.max_latency), "time")]

    def _take(self, cuts: list[Cut]) -> list[Batch]:
        batches: list[Batch] = []
        for end, reason in cuts:
            while end - self._outbox.sent > self._fit():
                batches += self._outbox.take(self._outbox.sent + self._fit(), "size")
            batches += self._outbox.take(end, reason)
        return batches

    def _fit(self) -> int:
        buffer = self._outbox.buffer
        return len(buffer) if self.max_bytes is None else buffer.fit(self.max_bytes)

    def close(self, now: float) -> Sequence[Batch]:
        self._held, self._shut_until = [], -math.inf
        return super().close(now)


def bounded(
    inner: Coalescer, *, max_latency: float | None = None, max_bytes: int | None = None, min_interval: float = 0.0
) -> Coalescer:
    """Keep a strategy, one's own perhaps, within bounds.

    Args:
        inner: The strategy.
        max_latency: Seconds that text may wait; None for as long as the strategy likes.
        max_bytes: The largest batch, in UTF-8 bytes of text; None for any size.
        min_interval: Seconds between one send and the next, except for the last; what gathers goes out as one batch, or
            as several at the same time if it is larger than `max_bytes`.

    Returns:
        A coalescer.

    Raises:
        InvalidArgument: If an argument is of the wrong kind, or `min_interval` is more than `max_latency`.
    """
    return _Bounded(inner, max_latency, max_bytes, min_interval)
