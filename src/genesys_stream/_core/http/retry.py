"""Dialogues with the service, as generators: yield what is to be sent, be sent what came of it.

A conversation yields an `Attempt`, is sent an `Outcome` (a `Reply`, or the `NetworkError` that took its place),
and in the end returns its value or raises.
Whoever drives it waits `after` seconds, strikes the `refused` token, sends the request, and hands the outcome back;
it never judges.
Where there is no time for the wait, it hands back a `DeadlineExceeded` at once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
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
    """One thing to send.

    Attributes:
        request: What.
        after: How many seconds to wait first.
        refused: An access token that the service no longer takes; another one must be had before sending.
    """

    request: Request
    after: float = 0.0
    refused: str | None = field(default=None, repr=False)


Conversation: TypeAlias = Generator[Attempt, Outcome, T]


@frozen(kw_only=True)
class Retry:
    """How patient a call is with a service, or a network, that fails for a while.

    What is retried: 429, 502, 503, 504 and connections that could not be made; where sending twice does no harm, as
    for a completion or a token, lost answers too.
    Each wait is drawn from nothing up to a bound that doubles (full jitter); where the service names a wait with
    Retry-After, that wait comes first.

    Attributes:
        attempts: How often a request is sent at the most.
        first_wait: The first bound, in seconds.
        longest_wait: The last bound, in seconds.
        longest_retry_after: The longest Retry-After that is waited out, in seconds; a longer one ends the call at once.
        jitter: Draws a wait from its bound.

    Raises:
        InvalidArgument: A number is not one, or below what makes sense.
    """

    attempts: int = 4
    first_wait: float = 0.5
    longest_wait: float = 8.0
    longest_retry_after: float = 180.0
    jitter: Callable[[float], float] = field(default=backoff.full_jitter, repr=False)

    def __attrs_post_init__(self) -> None:
        check_whole("attempts", self.attempts)
        check_seconds("first_wait", self.first_wait)
        check_seconds("longest_wait", self.longest_wait)
        check_seconds("longest_retry_after", self.longest_retry_after, endless=True)
        if not callable(self.jitter):
            raise _errors.InvalidArgument("jitter", f"must be a callable, not {type_name(self.jitter)}")


class Patience:
    """Counts the attempts of one call and says how long to wait for the next.

    Attributes:
        attempts: How often the request was sent, the present time included.
        resent: How many of these followed a lost answer.
    """

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self._bounds = backoff.expo(factor=retry.first_wait, max_value=retry.longest_wait)
        next(self._bounds)
        self._left = retry.attempts - 1
        self.attempts = 1
        self.resent = 0

    def wait_after(self, error: GenesysStreamError) -> float:
        """Seconds to wait before the next attempt.

        Raises:
            GenesysStreamError: The error itself, when there is to be none.
        """
        asked = error.retry_after or 0.0
        over = isinstance(
            error, _errors.DeadlineExceeded
        )  # the same call may succeed, but not in the time that is left
        if over or not error.retryable or self._left < 1 or asked > self._retry.longest_retry_after:
            raise error
        self._left -= 1
        self.attempts += 1
        return min(asked + self._retry.jitter(next(self._bounds)), LONGEST)


class RetryState:
    """The failures of one call, and how long to wait before the next attempt.

    Attributes:
        failures: How many failures count so far.
    """

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self.failures = 0
        self.reset()

    def reset(self) -> None:
        """Begin anew, as after a success."""
        self.failures = 0
        self._bounds = backoff.expo(factor=self._retry.first_wait, max_value=self._retry.longest_wait)
        next(self._bounds)

    def backoff(self, error: GenesysStreamError, *, counts: bool = True) -> float:
        """Return how many seconds to wait after a failure: its Retry-After, and a jitter that grows.

        Args:
            error: The failure.
            counts: Whether it is one of the attempts.
        """
        self.failures += counts
        return min(max(0.0, error.retry_after or 0.0) + self._retry.jitter(next(self._bounds)), LONGEST)


def ask(
    request: Request,
    patience: Patience,
    *,
    reauthorise: bool,
    after: float = 0.0,
    failed: GenesysStreamError | None = None,
    repeat_lost: bool = True,
) -> Conversation[Reply]:
    """Send until the service says yes, or says no for good, or patience is spent.

    Args:
        request: What to send.
        patience: Counts the attempts.
        reauthorise: Whether a refused token may be replaced, once, by another one.
        after: Seconds to wait before the first attempt.
        failed: What ended the attempt before that, and is raised if there is no time for another one.
        repeat_lost: Whether to send again when the connection broke after the request may have been received.

    Returns:
        The successful reply.

    Raises:
        StatusError: The service said no.
        NetworkError: No answer could be had.
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
                patience.attempts += 1  # sent again, but patience is for failures that pass
                continue
            error: GenesysStreamError = status_error(outcome)
        elif failed is not None and isinstance(outcome, _errors.DeadlineExceeded) and outcome.__cause__ is None:
            raise failed  # nothing more was sent, and it says more than that the time is up
        else:
            error = outcome
        lost = not (isinstance(outcome, Reply) or certainly_not_sent(error))
        if lost and not repeat_lost:
            raise error
        after, failed = patience.wait_after(error), error
        patience.resent += lost


def certainly_not_sent(error: GenesysStreamError) -> bool:
    """Whether the request cannot have been received; the cause of a deadline, if any, is the exchange it cut short."""
    if isinstance(error, _errors.DeadlineExceeded):
        cut_short = error.__cause__
        return not isinstance(cut_short, NetworkError) or certainly_not_sent(cut_short)
    return isinstance(error, (_errors.ConnectFailed, _errors.PoolExhausted))
