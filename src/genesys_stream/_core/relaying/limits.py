"""Budgets: how many pushes a phone, or a credential, may be sent, told the time.

A token bucket of `burst` tokens that fills with `per_second` lets at most `burst + seconds * per_second` pushes through
in any span of time, wherever the span begins; it is kept as the one number of the generic cell rate algorithm (ITU-T
I.371): the time at which the bucket would be full again.
Pushes are booked ahead: whoever finds the bucket empty is given the time of its turn, so that relays that share a
bucket take turns.
A turn changes in two cases only: a push that has become the last of its stream may use the token that is kept for it,
and after a 429 the turns that were given before are worth nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
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


class Account(Protocol):
    """What pushes are paid from; a `Budget`, or one that several threads share."""

    def book(self, now: float, *, final: bool) -> float:
        """Book a push; returns when it may go out."""
        ...

    def turn(self, now: float, *, final: bool) -> float:
        """Look again at the last booking, which was not used yet; returns when it may go out, as things are now."""
        ...

    def refund(self) -> None:
        """Give back a booking that was not used."""
        ...

    def empty_until(self, until: float, scope: str) -> None:
        """Let nothing out before `until`, as far as the scope of the limit goes; see `RateLimited.scope`."""
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

    def empty_until(self, until: float) -> None:
        """Let nothing through before `until`, and no burst then: the service says that its own account is empty."""
        self._full_at = max(self._full_at, until + (self.rate.burst - 1) * self._interval)
        self.shut_until = max(self.shut_until, until)


class Ledger:
    """The token buckets of one credential and of the devices that it pushes to.

    Args:
        credential: The rate of the credential; None when it has no limit.
    """

    def __init__(self, credential: Rate | None = None) -> None:
        self.credential = None if credential is None else TokenBucket(credential)
        self._devices: dict[tuple[str, Rate], TokenBucket] = {}
        self._sweep_at = _SWEEP

    def buckets(self, targets: Iterable[str], device: Rate | None, now: float) -> list[TokenBucket]:
        """The buckets that a push to some devices takes a token from.

        Args:
            targets: The device tokens.
            device: The rate of each of these devices; None when it has no limit.
            now: The clock's time.
        """
        found = [] if self.credential is None else [self.credential]
        if device is not None:
            self._sweep(now)
            found += [self._devices.setdefault((target, device), TokenBucket(device)) for target in targets]
        return found

    def _sweep(self, now: float) -> None:
        """Forget the buckets that are full, once there are many: a new one is full as well."""
        if len(self._devices) >= self._sweep_at:
            self._devices = {key: bucket for key, bucket in self._devices.items() if not bucket.is_full(now)}
            self._sweep_at = max(_SWEEP, 2 * len(self._devices))


_SWEEP = 1024


class Budget:
    """What the pushes of one sink are paid from.

    Args:
        ledger: Keeps the buckets, for every sink of a client.
        targets: The device tokens.
        device: The rate of each of these devices; None when it has no limit.
    """

    def __init__(self, ledger: Ledger, targets: Iterable[str] = (), device: Rate | None = None) -> None:
        self._ledger = ledger
        self._targets = tuple(targets)
        self._device = device
        self._booked: list[tuple[TokenBucket, float]] = []
        self._turn = float("-inf")

    def book(self, now: float, *, final: bool) -> float:
        """Book a push.

        Args:
            now: The clock's time.
            final: Whether it is the last one, for which a token is kept in reserve.

        Returns:
            When it may go out.
        """
        buckets = self._ledger.buckets(self._targets, self._device, now)
        reserve = 0 if final else 1
        self._turn = max((bucket.earliest(now, reserve=reserve) for bucket in buckets), default=now)
        self._booked = [(bucket, bucket.book(self._turn)) for bucket in buckets]
        return self._turn

    def turn(self, now: float, *, final: bool) -> float:
        """Look again at the last booking, which was not used yet.

        Args:
            now: The clock's time.
            final: Whether it has become the last one.

        Returns:
            When it may go out, as things are now.
        """
        if any(bucket.shut_until > self._turn for bucket, _ in self._booked):
            return self.book(now, final=final)
        if final:
            soonest = (bucket.earliest_of(before) for bucket, before in self._booked)
            self._turn = min(self._turn, max([now, *soonest]))
        return self._turn

    def refund(self) -> None:
        """Give back the last booking, which was not used."""
        for bucket, before in self._booked:
            bucket.refund(self._turn, before)
        self._booked = []

    def empty_until(self, until: float, scope: str) -> None:
        """Take note of a 429 after the last booking: nothing more goes out before `until`.

        Args:
            until: The clock's time.
            scope: Whose limit was exceeded: "device", "credential", or "" where nobody knows, which may be either.
        """
        for bucket, _ in self._booked:
            if scope in {"", "credential" if bucket is self._ledger.credential else "device"}:
                bucket.empty_until(until)
