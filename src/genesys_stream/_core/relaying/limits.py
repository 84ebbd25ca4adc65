"""Rate limits: how many pushes a device, or a credential, may be sent; told the time.

A token bucket of `burst` tokens that fills with `per_second` lets at most `burst + seconds * per_second` pushes through
in any span of time, wherever the span begins; it is kept as the one number of the generic cell rate algorithm (ITU-T
I.371): the time at which the bucket would be full again.
Tokens are booked ahead: whoever finds a bucket empty is given the time of its turn, so that relays that share a bucket
take turns. A turn changes in two cases only: a push that has become the last of its stream may use the token that is
kept for it, and after a 429 the turns that were given before are worth nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

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

    Raises:
        InvalidArgument: The device's is no rate, or the window no time.
    """

    device: Rate
    window: float = 0.5
    final_only: bool = False

    def __attrs_post_init__(self) -> None:
        check_kind("device", self.device, Rate)
        check_seconds("window", self.window)


ANDROID_FOREGROUND = Profile(Rate(100, 1.36))
"""FCM: 240 pushes a minute and 5,000 an hour to one device; 100 + 60 * 1.36 and 100 + 3600 * 1.36 are below both."""

ANDROID_BACKGROUND = Profile(Rate(20, 1 / 180), window=30.0, final_only=True)
"""A sleeping phone: FCM lets 20 collapsible messages through, and one more every three minutes."""

APNS_ALERT = Profile(Rate(4, 1 / 60), window=15.0)
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
    """One rate's account.

    Args:
        rate: The rate.
    """

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._interval = 1.0 / rate.per_second
        self._full_at = float("-inf")
        self.shut_until = float("-inf")

    def earliest(self, now: float, *, reserve: int = 0) -> float:
        """When a push may go out, in the clock's seconds, `now` at the earliest.

        Args:
            now: The clock's time.
            reserve: How many tokens must be left in the bucket, for pushes that are worth more.
        """
        return max(now, self._conforming(self._full_at, reserve))

    def _conforming(self, full_at: float, reserve: int) -> float:
        return full_at - max(0, self.rate.burst - 1 - reserve) * self._interval

    def book(self, at: float) -> float:
        """Spend a token at a time that `earliest` named.

        Returns:
            What the bucket was before, for `earliest_of` and `refund`.
        """
        before = self._full_at
        self._full_at = max(before, at) + self._interval
        return before

    def earliest_of(self, before: float) -> float:
        """When a push that is booked may go out if it uses the reserve, in the clock's seconds.

        Args:
            before: What `book` returned.
        """
        return max(self.shut_until, self._conforming(before, 0))

    def is_full(self, now: float) -> bool:
        """Whether nothing is left of what was spent."""
        return self._full_at <= now

    def refund(self, at: float, before: float) -> None:
        """Give back a token that was booked and not needed, unless others count on its having been spent.

        Args:
            at: For when it was booked.
            before: What `book` returned.
        """
        if self._full_at == max(before, at) + self._interval:
            self._full_at = before

    def note_use(self, at: float) -> None:
        """Note that a token was used at a time later than that for which it was booked."""
        self._full_at = max(self._full_at, at + self._interval)

    def empty_until(self, until: float) -> None:
        """Let nothing through before `until`, and no burst then: the service says that its own account is empty."""
        self._full_at = max(self._full_at, until + (self.rate.burst - 1) * self._interval)
        self.shut_until = max(self.shut_until, until)


class RateLimits:
    """The token buckets of one credential, and of the devices that it pushes to.

    Args:
        credential: The rate of the credential; None when it has no limit.
        lock: Held while buckets are looked at or changed, where several threads use them.
    """

    def __init__(self, credential: Rate | None = None, lock: AbstractContextManager[object] | None = None) -> None:
        self.credential = None if credential is None else TokenBucket(credential)
        self.lock = nullcontext() if lock is None else lock
        self._devices: dict[tuple[str, Rate], TokenBucket] = {}
        self._sweep_at = _SWEEP

    def limiter(self, targets: Iterable[str] = (), device: Rate | None = None) -> Limiter:
        """Make the limiter of one sink.

        Args:
            targets: The device tokens.
            device: The rate of each of these devices; None when it has no limit.
        """
        return _SinkLimiter(self, tuple(targets), device)

    def count(self, now: float) -> None:
        """Spend a token of the credential for a request that waits for no turn, so that others leave room for it."""
        with self.lock:
            if self.credential is not None:
                self.credential.book(self.credential.earliest(now))

    def devices(self, targets: Iterable[str], device: Rate | None, now: float) -> list[TokenBucket]:
        """Return the buckets of some devices; to be called with the lock held."""
        if device is None:
            return []
        if len(self._devices) >= self._sweep_at:
            # Forget those that are full: a new one is full as well.
            self._devices = {key: bucket for key, bucket in self._devices.items() if not bucket.is_full(now)}
            self._sweep_at = max(_SWEEP, 2 * len(self._devices))
        return [self._devices.setdefault((target, device), TokenBucket(device)) for target in targets]


_SWEEP = 1024


class _SinkLimiter:
    def __init__(self, limits: RateLimits, targets: tuple[str, ...], device: Rate | None) -> None:
        self._limits = limits
        self._targets = targets
        self._device = device

    def turn(self) -> Turn:
        return _Turn(self._limits, self._targets, self._device)

    def block(self, until: float, scope: str) -> None:
        limits = self._limits
        with limits.lock:
            if scope != "credential":
                for bucket in limits.devices(self._targets, self._device, until):
                    bucket.empty_until(until)
            if scope != "device" and limits.credential is not None:
                limits.credential.empty_until(until)


class _Turn:
    """A turn at the devices first, and at the credential once that has come: nobody waits for another one's device."""

    def __init__(self, limits: RateLimits, targets: tuple[str, ...], device: Rate | None) -> None:
        self._limits = limits
        self._targets = targets
        self._device = device
        self._of_devices: _Reservation | None = None
        self._of_credential: _Reservation | None = None

    def request(self, now: float, *, final: bool) -> float:
        limits = self._limits
        with limits.lock:
            if self._of_devices is None:
                self._of_devices = _Reservation(limits.devices(self._targets, self._device, now))
            at = self._of_devices.time(now, final=final)
            if at > now:
                return at
            if self._of_credential is None:
                self._of_credential = _Reservation([] if limits.credential is None else [limits.credential])
            at = self._of_credential.time(now, final=final)
            if at <= now:
                self._of_devices.use(now)
            return at

    def cancel(self) -> None:
        with self._limits.lock:
            for reservation in (self._of_devices, self._of_credential):
                if reservation is not None:
                    reservation.cancel()


class _Reservation:
    """A token of each of some buckets, at one time."""

    def __init__(self, buckets: list[TokenBucket]) -> None:
        self._buckets = buckets
        self._before: list[float] | None = None
        self._at = float("-inf")

    def time(self, now: float, *, final: bool) -> float:
        """Return when the tokens may be used, as things are now."""
        if self._before is None or any(bucket.shut_until > self._at for bucket in self._buckets):
            # For the first time, or anew, because others met a 429 since.
            reserve = 0 if final else 1
            self._at = max((bucket.earliest(now, reserve=reserve) for bucket in self._buckets), default=now)
            self._before = [bucket.book(self._at) for bucket in self._buckets]
        elif final:
            soonest = map(TokenBucket.earliest_of, self._buckets, self._before)
            self._at = min(self._at, max([now, *soonest]))
        return self._at

    def use(self, now: float) -> None:
        """Note that the tokens are used now, which may be later than they could have been."""
        for bucket in self._buckets:
            bucket.note_use(now)

    def cancel(self) -> None:
        """Give the tokens back."""
        for bucket, before in zip(self._buckets, self._before or (), strict=False):
            bucket.refund(self._at, before)
        self._before = None
