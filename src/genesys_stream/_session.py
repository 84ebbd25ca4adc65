"""How a request is sent, decided once for both shells: deadlines, tokens, timeouts, and which pool of connections it
uses.

The generators of `BaseSession` yield steps, which a shell performs one by one: `Sleep`, `Wait` and `Send`.
A shell makes no decisions; it sends back True after a `Sleep` that was cut short because its caller has gone, nothing
after a `Wait`, and the outcome and the open response after a `Send`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any, TypeAlias, TypeVar

from attrs import define, field, frozen

from . import _errors
from ._auth import Signal, TokenSource
from ._core.http.exchange import Reply
from ._core.http.retry import Attempt, Outcome, RequestFlow
from ._core.http.settings import CallSettings
from ._errors import NetworkError
from ._hooks import emit
from ._http import (
    advance,
    deadline_exceeded,
    hide_url,
    httpx_timeouts,
    network_error,
    request_headers,
    shortest,
    to_reply,
)
from ._values import ExchangeStarted

T = TypeVar("T")

_TOKEN_SECONDS = 30.0
"""For how many seconds the token endpoint may stay silent."""

_POOLS = {
    True: "the connections for completions are all in use; raise max_connections, or close streams",
    False: "the connections for pushes and tokens are all in use; raise max_connections",
}
_YOURS = "the connections of the http_client are all in use; raise its limits, or close streams"


@frozen
class Sleep:
    """Wait for some seconds."""

    seconds: float


@frozen
class Wait:
    """Wait for another thread or task, until the clock's time `until` at the latest."""

    signal: Signal
    until: float | None


@define(eq=False)
class Send:
    """Send a request.

    Attributes:
        attempt: The request, and the attempt that it is.
        settings: The client's settings.
        token: The access token to send.
        until: The clock's time at which to give up; None for never.
        answer_within: For how many seconds the answer may keep its reader waiting; None for no limit.
        keep: Whether the body of a success is left open, to be streamed.
        timeouts: The HTTP library's timeouts.
        exhausted: What to say if there is no free connection.
    """

    attempt: Attempt
    settings: CallSettings
    token: str | None = field(repr=False)
    until: float | None
    answer_within: float | None
    keep: bool
    timeouts: dict[str, float | None]
    exhausted: str

    def request(self, make: Callable[..., Any]) -> Any:
        """Return the HTTP library's request, made by a function of its own."""
        request = self.attempt.request
        built = make(
            request.method,
            request.url,
            headers=request_headers(request, self.token, self.settings.headers),
            content=request.content,
            extensions={"timeout": self.timeouts},
        )
        if request.public_url and not isinstance(built.url, str):  # over aiohttp it is, and nothing logs it
            hide_url(built, request.public_url)
        return built

    def reads_body(self, response: Any, clock: Callable[[], float]) -> bool:
        """Set the timeout for reading the body; return whether it is to be read at once."""
        if self.keep and response.is_success:
            return False
        until = self.until
        self.timeouts["read"] = self.answer_within if until is None else shortest(self.answer_within, until - clock())
        return True

    def check_time(self, clock: Callable[[], float]) -> None:
        """Raise TimeoutExpired if the time for reading the body is up."""
        if self.until is not None and clock() >= self.until:
            raise _errors.TimeoutExpired("the answer was not complete in time")

    def reply(self, response: Any, body: bytes = b"") -> Reply:
        """Return the reply that a response and its body are."""
        return to_reply(response, body, self.token)

    def failure(self, error: Exception, now: float) -> NetworkError:
        """Return the outcome that an exception of the HTTP library is."""
        outcome = network_error(error, exhausted=self.exhausted)
        return outcome if self.until is None or now < self.until else deadline_exceeded(self.settings, outcome)


Step: TypeAlias = "Sleep | Wait | Send"
Steps: TypeAlias = Generator[Step, Any, T]


class BaseSession:
    """Decides how requests are sent; a shell performs the steps.

    Args:
        credentials: Where tokens come from; None if `access_token` is all there is.
        access_token: A token of the caller's.
        shared: Whether one HTTP client of the caller's sends everything.

    Attributes:
        reauthorises: Whether a refused token can be replaced.
    """

    def __init__(self, credentials: TokenSource | None, access_token: str | None, *, shared: bool) -> None:
        self._credentials = credentials
        self._access_token = access_token
        self._shared = shared
        self.reauthorises = credentials is not None

    def now(self) -> float:
        """Return the time of the shell's clock in seconds."""
        raise NotImplementedError

    def _deadline(self, until: float | None) -> float | None:
        """Return the clock's time at which a call that may take until then must end."""
        return until

    def flow_steps(self, flow: RequestFlow[T], settings: CallSettings, *, answer_within: float | None) -> Steps[T]:
        """Run a request flow whose replies are read as a whole.

        Args:
            flow: The requests.
            settings: The timeouts, the headers and the hook.
            answer_within: For how many seconds each reply may keep its reader waiting.
        """
        total = settings.timeouts.total
        until = None if total is None else self.now() + total
        result: T
        with closing(flow):
            attempt, result = advance(flow)
            while attempt is not None:
                outcome, _ = yield from self.attempt_steps(attempt, settings, until=until, answer_within=answer_within)
                attempt, result = advance(flow, outcome)
        return result

    def attempt_steps(
        self,
        attempt: Attempt,
        settings: CallSettings,
        *,
        until: float | None,
        answer_within: float | None,
        keep: bool = False,
    ) -> Steps[tuple[Outcome, Any]]:
        """Make one attempt.

        Args:
            attempt: What to send.
            settings: The timeouts, the headers and the hook.
            until: The clock's time at which to give up.
            answer_within: For how many seconds the reply may keep its reader waiting.
            keep: Whether the body of a success is left open, to be streamed.

        Returns:
            The outcome, and the open response if its body was left.

        Raises:
            StreamStateError: The caller has gone.
        """
        until = self._deadline(until)
        request = attempt.request
        wait = attempt.after
        if until is not None and wait >= until - self.now():
            if request.needs_token:
                return deadline_exceeded(settings), None
            wait = until - self.now()  # for a token, for which callers with more time may wait as well
        if wait > 0 and (yield Sleep(wait)):
            raise _errors.StreamStateError("the stream was closed before it was answered")
        token = (yield from self._token_steps(attempt, settings, until)) if request.needs_token else None
        left = None if until is None else until - self.now()
        if left is not None and left <= 0:
            return deadline_exceeded(settings), None
        timeouts = httpx_timeouts(settings.timeouts, left, headers=answer_within)
        exhausted = _YOURS if self._shared else _POOLS[request.long]
        emit(settings.on_event, ExchangeStarted(request.method, request.shown_url))
        outcome: tuple[Outcome, Any] = yield Send(
            attempt, settings, token, until, answer_within, keep, timeouts, exhausted
        )
        return outcome

    def _token_steps(self, attempt: Attempt, settings: CallSettings, until: float | None) -> Steps[str | None]:
        """Get a valid token; return None if the time is up, and another caller that waits, if any, requests it."""
        if self._credentials is None:
            return self._access_token
        token: str | None
        with closing(self._credentials.token_flow(attempt.request.token_margin, attempt.refused)) as flow:
            wanted, token = advance(flow)
            while wanted is not None:
                outcome: Outcome | None = None
                if isinstance(wanted, Signal):
                    yield Wait(wanted, until)
                else:
                    silence = shortest(settings.timeouts.transport_idle, _TOKEN_SECONDS)
                    outcome, _ = yield from self.attempt_steps(wanted, settings, until=until, answer_within=silence)
                if until is not None and self.now() >= until and not isinstance(outcome, Reply):
                    return None
                wanted, token = advance(flow, outcome)
        return token
