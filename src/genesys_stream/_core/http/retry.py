"""Request flows: a request and its retries, as a generator that an HTTP client drives.

A `RequestFlow` yields an `Attempt`, is sent an `Outcome` (a `Reply`, or the `NetworkError` that took its place), and in
the end returns a value or raises.
Whoever drives it waits `after` seconds, discards the `refused` token, sends the request, and sends the outcome back; it
makes no decisions.
Where the time that is left is too short for the wait, it sends back a `DeadlineExceeded` at once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TypeAlias, TypeVar

import backoff
from attrs import field, frozen

from ... import _errors
from ..._errors import GenesysStreamError, NetworkError
from ..._values._checks import LONGEST, check_seconds, check_whole
from ..._wire import type_name
from .exchange import Reply, Request, status_error

T = TypeVar("T")
Outcome: TypeAlias = "Reply | NetworkError"

_UNAUTHORIZED = 401


@frozen
class Attempt:
    """One request to send.

    Attributes:
        request: The request.
        after: Seconds to wait before it is sent.
        refused: An access token that the service refused, and that must be replaced before sending.
    """

    request: Request
    after: float = 0.0
    refused: str | None = field(default=None, repr=False)


RequestFlow: TypeAlias = Generator[Attempt, Outcome, T]


@frozen(kw_only=True)
class Retry:
    """The retry policy: how many attempts a call makes, and how long it waits between them.

    Retried are 429, 502, 503, 504 and connections that could not be made; for completions and tokens, where sending
    twice does no harm, lost answers too.
    Each wait is random, between 0 and a bound that doubles (exponential backoff with full jitter); a Retry-After of the
    service is waited out in addition.

    Attributes:
        attempts: The largest number of attempts, the first included.
        wait_initial: The first bound, in seconds.
        wait_max: The largest bound, in seconds.
        retry_after_max: The longest Retry-After to wait out, in seconds; a longer one ends the call at once.
        jitter: Returns the wait for a bound, both in seconds.

    Raises:
        InvalidArgument: A value is of the wrong type or out of range.
    """

    attempts: int = 4
    wait_initial: float = 0.5
    wait_max: float = 8.0
    retry_after_max: float = 180.0
    jitter: Callable[[float], float] = field(default=backoff.full_jitter, repr=False)

    def __attrs_post_init__(self) -> None:
        check_whole("attempts", self.attempts)
        check_seconds("wait_initial", self.wait_initial)
        check_seconds("wait_max", self.wait_max)
        check_seconds("retry_after_max", self.retry_after_max, endless=True)
        if not callable(self.jitter):
            raise _errors.InvalidArgument("jitter", f"must be a callable, not {type_name(self.jitter)}")


class RetryState:
    """Counts the failures of one call, or of one relay, and says how long to wait before the next attempt.

    Args:
        retry: The retry policy.

    Attributes:
        failures: How many failures count against the policy so far.
        attempts: How many times the request was sent, the current attempt included.
        resent: How many of these followed a lost answer.
    """

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self.attempts = 1
        self.resent = 0
        self.reset()

    def reset(self) -> None:
        """Start again with all attempts and the shortest wait, as after a success."""
        self.failures = 0
        self._bounds: Iterator[float] | None = None

    def exhausted(self, error: GenesysStreamError) -> bool:
        """Return whether no attempt is left after this error, or its Retry-After is longer than may be waited out."""
        asked = error.retry_after or 0.0
        return self.failures + 1 >= self._retry.attempts or asked > self._retry.retry_after_max

    def backoff(self, error: GenesysStreamError, *, counts: bool = True) -> float:
        """Return the seconds to wait after a failure: its Retry-After plus jitter up to the next bound.

        Args:
            error: The failure.
            counts: Whether it counts against the policy's attempts.
        """
        self.failures += counts
        self.attempts += 1
        if self._bounds is None:
            self._bounds = backoff.expo(factor=self._retry.wait_initial, max_value=self._retry.wait_max)
            next(self._bounds)  # expo() begins with None
        return min(max(0.0, error.retry_after or 0.0) + self._retry.jitter(next(self._bounds)), LONGEST)

    def wait_after(self, error: GenesysStreamError) -> float:
        """Return the seconds to wait before the next attempt, or raise the error if there must be none.

        Raises:
            GenesysStreamError: The error itself.
        """
        # A call whose time is up may succeed when it is made again, but not in the time that is left.
        expired = isinstance(error, _errors.DeadlineExceeded)
        if expired or not error.retryable or self.exhausted(error):
            raise error
        return self.backoff(error)


def send_with_retry(
    request: Request,
    retries: RetryState,
    *,
    reauthorise: bool,
    after: float = 0.0,
    failed: GenesysStreamError | None = None,
    repeat_lost: bool = True,
) -> RequestFlow[Reply]:
    """Send a request until it succeeds, fails for good, or has no retry left.

    Args:
        request: What to send.
        retries: Counts the attempts.
        reauthorise: Whether to replace a refused token, once, and send again.
        after: Seconds to wait before the first attempt.
        failed: The error of the attempt before that, which is raised if there is no time for another one.
        repeat_lost: Whether to send again when the connection broke after the request may have been received.

    Returns:
        The successful reply.

    Raises:
        StatusError: The service refused the request.
        NetworkError: There was no answer.
    """
    refused = None
    while True:
        outcome = yield Attempt(request, after, refused)
        refused = None
        if isinstance(outcome, Reply):
            if outcome.ok:
                return outcome
            if outcome.status == _UNAUTHORIZED and reauthorise and outcome.token is not None:
                after, refused, reauthorise = 0.0, outcome.token, False
                retries.attempts += 1  # sent again, but no failure that the retry policy counts
                continue
            error: GenesysStreamError = status_error(outcome)
        elif failed is not None and isinstance(outcome, _errors.DeadlineExceeded) and outcome.__cause__ is None:
            raise failed  # nothing was sent since, and it says more than that the time is up
        else:
            error = outcome
        lost = not (isinstance(outcome, Reply) or never_sent(error))
        if lost and not repeat_lost:
            raise error
        after, failed = retries.wait_after(error), error
        retries.resent += lost


def never_sent(error: GenesysStreamError) -> bool:
    """Return whether the request cannot have been received by the service."""
    if isinstance(error, _errors.DeadlineExceeded):
        # Its cause, if it has one, is the exchange that was cut short.
        cut_short = error.__cause__
        return not isinstance(cut_short, NetworkError) or never_sent(cut_short)
    return isinstance(error, (_errors.ConnectFailed, _errors.PoolExhausted))
