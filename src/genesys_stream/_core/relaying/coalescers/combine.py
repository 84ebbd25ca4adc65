"""Strategies around others: they cut earlier than those would, or keep them within bounds."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

from ...._errors import InvalidArgument
from ..queue import WaitingText
from .basic import FinalOnly, first_shown
from .checks import check_coalescer, coalescer, optional, seconds, whole_characters
from .protocol import Coalescer


@frozen
class ImmediateFirst:
    """Send the first text that can be seen at once, and leave the rest to another strategy.

    Args:
        inner: Decides about all that follows.

    Raises:
        InvalidArgument: The argument is no coalescer.
    """

    inner: Coalescer = field(validator=coalescer)

    def cut(self, waiting: WaitingText, now: float) -> int:
        """Cut what the inner strategy would, or the first text that shows."""
        return self.inner.cut(waiting, now) or first_shown(waiting)

    def due(self, waiting: WaitingText) -> float | None:
        """Wait as long as the inner strategy does."""
        return self.inner.due(waiting)


@frozen
class Idle:
    """Send when the model falls silent, or when another strategy says so.

    Args:
        inner: The other strategy; by default there is none.
        idle: Seconds of silence after which everything is sent.
        max_wait: Seconds that text may wait while the model does not fall silent.

    Raises:
        InvalidArgument: An argument is of the wrong kind.
    """

    inner: Coalescer = field(factory=FinalOnly, validator=coalescer)
    idle: float = field(default=0.15, validator=seconds, kw_only=True)
    max_wait: float = field(default=1.0, validator=seconds, kw_only=True)

    def cut(self, waiting: WaitingText, now: float) -> int:
        """Cut what the inner strategy would, or everything after a silence."""
        n = self.inner.cut(waiting, now)
        if n or now < self._own_due(waiting):
            return n
        return waiting.waited(now, min(self.idle, self.max_wait))

    def _own_due(self, waiting: WaitingText) -> float:
        return min(waiting.first_at + self.max_wait, waiting.last_at + self.idle)

    def due(self, waiting: WaitingText) -> float | None:
        """Wait for a silence, or as long as the inner strategy does."""
        return _earlier(self.inner.due(waiting), self._own_due(waiting))


@frozen
class _AnyOf:
    coalescers: tuple[Coalescer, ...]

    def cut(self, waiting: WaitingText, now: float) -> int:
        first = 0
        for member in self.coalescers:
            n = member.cut(waiting, now)
            if n and (not first or n < first):
                first = n
        return first

    def due(self, waiting: WaitingText) -> float | None:
        due: float | None = None
        for member in self.coalescers:
            due = _earlier(due, member.due(waiting))
        return due


def any_of(*coalescers: Coalescer) -> Coalescer:
    """Cut wherever any of the strategies would: the earliest wins.

    Args:
        coalescers: At least one.

    Returns:
        A coalescer, whose bounds are the tightest of theirs.

    Raises:
        InvalidArgument: One of them is no coalescer, or there is none.
    """
    if not coalescers:
        raise InvalidArgument("coalescers", "must be at least one")
    for i, value in enumerate(coalescers):
        check_coalescer(f"coalescers[{i}]", value)
    return _AnyOf(coalescers)


def _within_latency(bounds: Any, _: object, value: float) -> None:
    if bounds.max_latency is not None and value > bounds.max_latency:
        raise InvalidArgument("min_interval", f"must not be more than max_latency, {bounds.max_latency}, got {value}")


@frozen
class _Bounded:
    inner: Coalescer = field(validator=coalescer)
    max_latency: float | None = field(validator=optional(seconds))
    max_bytes: int | None = field(validator=optional(whole_characters))
    min_interval: float = field(validator=[seconds, _within_latency])

    def cut(self, waiting: WaitingText, now: float) -> int:
        n = self.inner.cut(waiting, now)
        if not n and self.max_latency is not None:
            # What would be late before the next cut is allowed goes along with a cut that is made now.
            cuts_now = waiting.cut_at == now or now >= waiting.first_at + self.max_latency
            n = waiting.waited(now + self.min_interval if cuts_now else now, self.max_latency)
        if self.max_bytes is not None and waiting.size > self.max_bytes:
            fits = waiting.fit(self.max_bytes)
            n = min(n or fits, fits)
        if not self.min_interval:
            return n
        allowed = waiting.cut_at == now or now >= waiting.cut_at + self.min_interval or waiting.ended
        waiting.memory(self, _Held).held = n > 0 and not allowed
        return n if allowed else 0

    def due(self, waiting: WaitingText) -> float | None:
        own = None if self.max_latency is None else waiting.first_at + self.max_latency
        due = _earlier(self.inner.due(waiting), own)
        if not self.min_interval:
            return due
        allowed = waiting.cut_at + self.min_interval
        if waiting.memory(self, _Held).held:
            return allowed
        return due if due is None else max(due, allowed)


class _Held:
    """What a strategy with an interval between its cuts remembers: whether it would have cut, had it been allowed."""

    held = False


def bounded(
    inner: Coalescer, *, max_latency: float | None = None, max_bytes: int | None = None, min_interval: float = 0.0
) -> Coalescer:
    """Keep a strategy, one's own perhaps, within bounds.

    Args:
        inner: The strategy.
        max_latency: Seconds that text may wait; None for as long as the strategy likes.
        max_bytes: The largest batch, in UTF-8 bytes of text; None for any size.
        min_interval: Seconds between one send and the next, except for the last; what gathers meanwhile goes out at
            one time. What arrives at the very time of a send may go out with it.

    Returns:
        A coalescer.

    Raises:
        InvalidArgument: An argument is of the wrong kind, or `min_interval` is more than `max_latency`.
    """
    return _Bounded(inner, max_latency, max_bytes, min_interval)


def _earlier(one: float | None, other: float | None) -> float | None:
    """Return the earlier of two times; None if there is neither."""
    if one is None or (other is not None and other < one):
        return other
    return one
