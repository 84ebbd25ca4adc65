"""When the next push may be tried: its turn at the limiter, and the wait after a failure."""

from __future__ import annotations

from ... import _errors
from ..._errors import GenesysStreamError
from ..http.retry import Retry, RetryState
from .limits import Limiter, Turn


class Pace:
    """Waits between the pushes to one sink.

    Attributes:
        hold_until: Until when a failure holds pushes back, in the clock's seconds; None where none does.
        turn_at: When to ask the limiter again; None where it has not been asked.
        granted: Whether the limiter lets the next push go.
        held_seconds: For how long failures held pushes back so far.
        paced_seconds: For how long the limiter did.
        last_error: The failure since the last success.
    """

    def __init__(self, retry: Retry, limiter: Limiter | None) -> None:
        self._retry = retry
        self._retries = RetryState(retry)
        self._limiter = limiter
        self._turn: Turn | None = None
        self._asked_at = 0.0
        self._waits = False
        self.turn_at: float | None = None
        self.granted = limiter is None
        self.paced_seconds = 0.0
        self.hold_until: float | None = None
        self.held_seconds = 0.0
        self.last_error: GenesysStreamError | None = None
        self._held_from = 0.0
        self._asked = 0.0
        self._failing_since = 0.0

    @property
    def due(self) -> float:
        """When a push may be tried, or the limiter asked; minus infinity for at once."""
        waits = [at for at in (self.hold_until, self.turn_at) if at is not None]
        return max(waits) if waits else float("-inf")

    def turn(self, now: float) -> Turn:
        """Return the turn of the next push, which is to be requested now."""
        assert self._limiter is not None  # noqa: S101 - without one every push is granted
        if self._turn is None:
            self._turn = self._limiter.turn()
            self._asked_at = now
        return self._turn

    def note_turn(self, at: float, now: float) -> None:
        """Note what the limiter answered: when the push may go, or when to ask again.

        Args:
            at: The clock's time in seconds; `now` or before for at once.
            now: The clock's time in seconds.
        """
        if at > now:
            self.turn_at, self._waits = at, True
            return
        if self._waits:
            self.paced_seconds += now - self._asked_at
        self._turn, self.turn_at, self._waits, self.granted = None, None, False, True

    def ask_again(self) -> None:
        """Have the limiter asked again, because the push has become the last one of its stream."""
        if self._turn is not None:
            self.turn_at = None

    def cancel_turn(self) -> None:
        """Give the turn back, if there is one."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn, self.turn_at, self._waits = None, None, False

    def begin(self, now: float) -> None:
        """Note that a push is tried now."""
        self.release(now)
        self.granted = self._limiter is None

    def release(self, now: float) -> None:
        """End the wait after a failure, if there is one."""
        if self.hold_until is not None:
            self.held_seconds += min(now, self.hold_until) - self._held_from
            self.hold_until = None

    def succeed(self) -> None:
        """Note that a push was taken."""
        if self.last_error is not None:
            self.last_error = None
            self._retries.reset()

    def fail(self, error: GenesysStreamError, now: float) -> None:
        """Note that a push failed, and hold back the next one."""
        if self.last_error is None:
            self._failing_since = now
        self.last_error = error
        self._asked = max(0.0, error.retry_after or 0.0)
        if isinstance(error, _errors.RateLimited) and self._limiter is not None:
            self._limiter.block(now + self._asked, error.scope)
        self._held_from = now
        # A rate limit ends by itself, however often it is met.
        self.hold_until = now + self._retries.backoff(error, counts=not isinstance(error, _errors.RateLimited))

    def restore(self) -> None:
        """Let the end of the stream have all of the attempts."""
        self._retries.failures = 0

    def exhausted(self, now: float, *, since: float, give_up_after: float) -> bool:
        """Whether to try no longer: the sink asks for a longer wait than allowed, or has failed too often or too long.

        Args:
            now: The clock's time in seconds.
            since: The time from which on `give_up_after` counts.
            give_up_after: Seconds.
        """
        if self.last_error is None or self.hold_until is None:
            return False
        left = self._asked - (now - self._held_from)
        over = max(self.hold_until, now) - max(since, self._failing_since) > give_up_after
        return left > self._retry.retry_after_max or self._retries.failures >= self._retry.attempts or over
