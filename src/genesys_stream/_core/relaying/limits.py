"""Rate limits: how many pushes a device, or a credential, may be sent; told the time.

A token bucket of `burst` tokens that fills with `per_second` lets at most `burst + seconds * per_second` pushes through
in any span of time, wherever the span begins; it is kept as the one number of the generic cell rate algorithm (ITU-T
I.371): the time at which the bucket would be full again.

A push takes one token of each of its devices and one of the credential, all at the moment when it goes out and none
before, so that the rates hold however late a turn is used, and a turn that is cancelled has taken nothing.
A turn that has to wait has a place in the queue of each of its buckets, and a time. Whoever comes later leaves the
tokens of that time alone, and may use those before it: so nobody waits for another one's device, and nobody is
overtaken for ever.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple, Protocol

from attrs import frozen

from ..._errors import InvalidArgument
from ..._values._checks import check_kind, check_seconds, check_whole, shown

_FASTEST, _SLOWEST = 1e9, 1e-9  # pushes a second, of which no interval is too short or too long for a clock


@frozen
class Rate:
    """A rate limit.

    Attributes:
        burst: How many pushes may go out at once, after a rest.
        per_second: How many more each second brings.

    Raises:
        InvalidArgument: The burst is not a whole number from 1, or a second brings nothing, or beyond counting.
    """

    burst: int
    per_second: float

    def __attrs_post_init__(self) -> None:
        check_whole("burst", self.burst)
        rate = self.per_second
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not _SLOWEST <= rate <= _FASTEST:
            problem = f"must be a number of pushes from {_SLOWEST} to {_FASTEST:.0f}, not {shown(rate)}"
            raise InvalidArgument("per_second", problem)


@frozen
class Profile:
    """What a kind of device bears; plain data, so that one of your own is as good as ours.

    Attributes:
        device: The rate of pushes to one device.
        window: How long text is gathered at the least between two pushes, in seconds, where the relay is not told.
        final_only: Whether only the final payload is worth a push.
        visible: Whether every payload shows a notification, where `client.push.to` is not told by `alert`.

    Raises:
        InvalidArgument: The device's is no rate, the window no time, or `visible` no boolean.
    """

    device: Rate
    window: float = 0.5
    final_only: bool = False
    visible: bool = False

    def __attrs_post_init__(self) -> None:
        check_kind("visible", self.visible, bool)
        check_kind("device", self.device, Rate)
        check_seconds("window", self.window)


ANDROID_FOREGROUND = Profile(Rate(100, 1.36))
"""FCM: 240 pushes a minute and 5,000 an hour to one device; 100 + 60 * 1.36 and 100 + 3600 * 1.36 are below both."""

ANDROID_BACKGROUND = Profile(Rate(20, 1 / 180), window=30.0, final_only=True)
"""A sleeping phone: FCM lets 20 collapsible messages through, and one more every three minutes."""

APNS_ALERT = Profile(Rate(4, 1 / 60), window=15.0, visible=True)
"""Visible notifications: the beginning, a few in between, and the end."""

APNS_BACKGROUND = Profile(Rate(2, 2 / 3600), window=60.0, final_only=True)
"""Apple: no more than two or three background notifications an hour."""

LIVE_ACTIVITY = Profile(Rate(4, 1 / 15), window=15.0)
"""Live Activities: an undocumented budget, which an update every 3 s is known to exhaust and one every 15 s is not."""

GENESYS = Rate(40, 4.0)
"""Genesys Cloud: 300 requests a minute for one client-credentials token; 20 of them are left for completions."""


class Turn(Protocol):
    """One push's place among all that share a limit; whoever asked for it owns it."""

    def request(self, now: float, *, final: bool) -> float | Awaitable[float]:
        """Ask when the push may go out, for the first time or again.

        Args:
            now: The clock's time in seconds.
            final: Whether it is the last push of its stream, for which one token is kept in reserve.

        Returns:
            When to ask again, in the clock's seconds; `now` or before if the push may go out at once, which spends the
            turn. In an async relay it may be awaitable, as where a limiter is shared by many processes.
        """
        ...

    def cancel(self) -> None:
        """Give the turn back, unused."""
        ...


class Limiter(Protocol):
    """What the pushes of a sink wait for; it may be shared by any number of relays."""

    def turn(self) -> Turn:
        """Return a turn for one push, which is asked for with its `request`."""
        ...

    def block(self, until: float, scope: str) -> None:
        """Let nothing out before a time, after a push was answered with 429.

        Args:
            until: The clock's time in seconds.
            scope: Whose limit was exceeded: "device", "credential", or "" where nobody knows; see `RateLimited.scope`.
        """
        ...


class TokenBucket:
    """The tokens of one rate, and the turns that wait for them.

    Args:
        rate: The rate.
    """

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._interval = 1.0 / rate.per_second
        self._full_at = float("-inf")
        self._waiting: dict[Turn, _Place] = {}

    def earliest(self, at: float, *, final: bool = True, ahead: Iterable[float] = ()) -> float:
        """Return when a push may go out that is to go out at a time, or as soon as possible after it.

        Args:
            at: The clock's time in seconds.
            final: Whether it may use the token that is kept in reserve.
            ahead: When pushes that come first will go out, in ascending order.
        """
        full_at = self._full_at
        at = max(at, self._conforming(full_at, final=final))
        for other in ahead:
            if at + self._interval <= other:
                break  # this push can go out before the other one, without delaying it
            full_at = max(full_at, other) + self._interval
            at = max(at, self._conforming(full_at, final=final))
        return at

    def _conforming(self, full_at: float, *, final: bool) -> float:
        reserve = 0 if final else 1
        return full_at - max(0, self.rate.burst - 1 - reserve) * self._interval

    def spend(self, now: float) -> None:
        """Spend a token, whether there is one or not."""
        self._full_at = max(self._full_at, now) + self._interval

    def block(self, until: float) -> None:
        """Let nothing out before a time, and no burst then: the service says that its own account is empty."""
        self._full_at = max(self._full_at, until + (self.rate.burst - 1) * self._interval)

    def is_idle(self, now: float) -> bool:
        """Return whether it is full and nobody waits for it, as a new one."""
        return self._full_at <= now and not self._waiting

    def wait(self, turn: Turn, place: _Place) -> None:
        """Note when a turn will be requested again."""
        self._waiting[turn] = place

    def leave(self, turn: Turn) -> None:
        """Forget a turn, if it waits."""
        self._waiting.pop(turn, None)

    def ahead_of(self, order: int, now: float, *, final: bool) -> list[float]:
        """Return when the pushes will go out that come before one, in ascending order.

        Args:
            order: The order of the push.
            now: The clock's time in seconds.
            final: Whether the push may use the reserve; then it comes before all that may not.
        """
        waiting = self._waiting
        if not waiting:
            return []
        for turn in [turn for turn, place in waiting.items() if place.at + _LATE < now]:
            del waiting[turn]
        only_final = final and self.rate.burst > 1
        return sorted(
            [place.at for place in waiting.values() if place.order < order and (place.final or not only_final)]
        )


class _Place(NamedTuple):
    """The place of a turn that waits.

    Attributes:
        order: Which one it is of all that were requested.
        at: When it will be requested again.
        final: Whether it is that of a final push.
    """

    order: int
    at: float
    final: bool


_LATE = 1.0
"""For how many seconds after its time others leave a turn its tokens; it may be that nobody requests it any more."""


class RateLimits:
    """The token buckets of one credential, and of the devices that it pushes to.

    Args:
        credential: The rate of the credential; None when it has no limit.
        lock: Held while buckets are looked at or changed, where several threads use them.

    Raises:
        InvalidArgument: The credential's is no rate.
    """

    def __init__(self, credential: Rate | None = None, lock: AbstractContextManager[object] | None = None) -> None:
        check_kind("credential", credential, Rate, optional=True)
        self._credential = None if credential is None else TokenBucket(credential)
        self._lock = nullcontext() if lock is None else lock
        self._devices: dict[tuple[str, Rate], TokenBucket] = {}
        self._sweep_at = _SWEEP
        self._requested = 0

    def __repr__(self) -> str:
        rate = None if self._credential is None else self._credential.rate
        return f"<RateLimits credential={rate} devices={len(self._devices)}>"

    def limiter(self, targets: Iterable[str] = (), device: Rate | None = None) -> Limiter:
        """Make the limiter of one sink.

        Args:
            targets: The device tokens.
            device: The rate of each of these devices; None when it has no limit.

        Raises:
            InvalidArgument: The targets are a single string, or the device's is no rate.
        """
        if isinstance(targets, (str, bytes)):
            raise InvalidArgument("targets", "must be a list of device tokens; write [token] for a single one")
        check_kind("device", device, Rate, optional=True)
        return _SinkLimiter(self, tuple(dict.fromkeys(targets)), device)

    def count(self, now: float) -> None:
        """Spend a token of the credential for a request that waits for no turn, so that others leave room for it."""
        with self._lock:
            if self._credential is not None:
                self._credential.spend(now)

    def request(self, turn: _Turn, now: float, *, final: bool) -> float:
        """Return when a push may go out; `now` if it goes out now, for which the tokens are spent."""
        with self._lock:
            self._sweep(now)
            if turn.place is None:
                self._requested += 1
            order = self._requested if turn.place is None else turn.place.order
            buckets = self._buckets(turn.limiter)
            ahead = [bucket.ahead_of(order, now, final=final) for bucket in buckets]
            at = now
            while True:
                times = zip(buckets, ahead, strict=True)
                later = max((bucket.earliest(at, final=final, ahead=others) for bucket, others in times), default=at)
                if later <= at:
                    break
                at = later
            if at <= now:
                self._leave(turn)
                for bucket in buckets:
                    bucket.spend(now)
            else:
                turn.place = _Place(order, at, final)
                for bucket in buckets:
                    bucket.wait(turn, turn.place)
            return at

    def cancel(self, turn: _Turn) -> None:
        """Forget a turn."""
        with self._lock:
            self._leave(turn)

    def block(self, limiter: _SinkLimiter, until: float, scope: str) -> None:
        """Let nothing out before a time; see `Limiter.block`."""
        with self._lock:
            for bucket in self._buckets(limiter):
                is_credential = bucket is self._credential
                if scope not in {"device", "credential"} or (scope == "credential") is is_credential:
                    bucket.block(until)

    def _leave(self, turn: _Turn) -> None:
        if turn.place is not None:
            turn.place = None
            for bucket in self._buckets(turn.limiter):
                bucket.leave(turn)

    def _buckets(self, limiter: _SinkLimiter) -> list[TokenBucket]:
        """Return all that a push takes a token of."""
        buckets: list[TokenBucket] = []
        device = limiter.device
        if device is not None:
            for target in limiter.targets:
                bucket = self._devices.get((target, device))
                if bucket is None:
                    bucket = self._devices[target, device] = TokenBucket(device)
                buckets.append(bucket)
        if self._credential is not None:
            buckets.append(self._credential)
        return buckets

    def _sweep(self, now: float) -> None:
        """Forget the devices whose bucket is full again, once there are many."""
        if len(self._devices) >= self._sweep_at:
            self._devices = {key: bucket for key, bucket in self._devices.items() if not bucket.is_idle(now)}
            self._sweep_at = max(_SWEEP, 2 * len(self._devices))


_SWEEP = 1024


class _SinkLimiter:
    def __init__(self, limits: RateLimits, targets: tuple[str, ...], device: Rate | None) -> None:
        self.limits = limits
        self.targets = targets
        self.device = device

    def __repr__(self) -> str:
        return f"<Limiter device={self.device} targets={len(self.targets)}>"

    def turn(self) -> Turn:
        return _Turn(self)

    def block(self, until: float, scope: str) -> None:
        self.limits.block(self, until, scope)


class _Turn:
    def __init__(self, limiter: _SinkLimiter) -> None:
        self.limiter = limiter
        self.place: _Place | None = None

    def __repr__(self) -> str:
        return "<Turn>" if self.place is None else f"<Turn at={self.place.at} final={self.place.final}>"

    def request(self, now: float, *, final: bool) -> float:
        return self.limiter.limits.request(self, now, final=final)

    def cancel(self) -> None:
        self.limiter.limits.cancel(self)
