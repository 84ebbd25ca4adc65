"""Budgets: how many pushes a phone, or a credential, may be sent, told the time.

A token bucket of `burst` tokens that fills with `per_second` lets at most `burst + seconds * per_second` pushes through
in any span of time, wherever the span begins; it is kept as the one number of the generic cell rate algorithm (ITU-T
I.371): the time at which the bucket would be full again.
Pushes are booked ahead: whoever finds the bucket empty is given the time of its turn, so that relays that share a
bucket take turns, and nobody has to ask again.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import field, frozen, validators


@frozen
class Rate:
    """A rate limit.

    Attributes:
        burst: How many pushes may go out at once, after a rest.
        per_second: How many more each second brings.
    """

    burst: int = field(validator=validators.ge(1))
    per_second: float = field(validator=validators.gt(0))


@frozen
class Profile:
    """What a kind of device bears; plain data, so that one of your own is as good as ours.

    Attributes:
        device: The rate of pushes to one device.
        window: How long text is gathered at the least between two pushes, in seconds, where the relay is not told.
        final_only: Whether only the final payload is worth a push.
    """

    device: Rate
    window: float = 0.5
    final_only: bool = False


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

GENESYS = Rate(55, 4.0)
"""Genesys Cloud: 300 requests a minute for one client-credentials token, completions and tokens included."""


class TokenBucket:
    """One rate's account.

    Args:
        rate: The rate.
    """

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._interval = 1.0 / rate.per_second
        self._full_at = float("-inf")

    def earliest(self, now: float, *, reserve: int = 0) -> float:
        """When a push may go out, in the clock's seconds, `now` at the earliest.

        Args:
            now: The clock's time.
            reserve: How many tokens must be left in the bucket, for pushes that are worth more.
        """
        spare = max(0, self.rate.burst - 1 - reserve)
        return max(now, self._full_at - spare * self._interval)

    def book(self, at: float) -> None:
        """Spend a token at a time that `earliest` named."""
        self._full_at = max(self._full_at, at) + self._interval

    def refund(self) -> None:
        """Give back a token that was booked and not needed."""
        self._full_at -= self._interval

    def empty_until(self, until: float) -> None:
        """Let nothing through before `until`, and no burst then: the service says that its own account is empty."""
        self._full_at = max(self._full_at, until + (self.rate.burst - 1) * self._interval)


class Budget:
    """The buckets that one sink's pushes are paid from: one for each device, one for the credential.

    Args:
        buckets: All of them; each push takes a token from each.
    """

    def __init__(self, buckets: Iterable[TokenBucket]) -> None:
        self._buckets = tuple(buckets)

    def book(self, now: float, *, final: bool) -> float:
        """Book a push.

        Args:
            now: The clock's time.
            final: Whether it is the last one, for which a token is kept in reserve.

        Returns:
            When it may go out.
        """
        at = max(
            (bucket.earliest(now, reserve=0 if final else 1) for bucket in self._buckets),
            default=now,
        )
        for bucket in self._buckets:
            bucket.book(at)
        return at

    def refund(self) -> None:
        """Give back a booking that was not used."""
        for bucket in self._buckets:
            bucket.refund()

    def empty_until(self, until: float) -> None:
        """Take note of a 429: nothing goes out before `until`."""
        for bucket in self._buckets:
            bucket.empty_until(until)
