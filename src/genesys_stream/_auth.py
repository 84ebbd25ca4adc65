"""The OAuth session: one token for any number of tasks and threads.

It belongs to neither shell, because one token serves both: whoever finds no good token first asks for one, in its own
world, and everybody else, in either world, waits for the outcome of that one request.
"""

from __future__ import annotations

import asyncio
import copy
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import httpx
from attrs import define, field

from . import _errors
from ._core.http.exchange import Reply
from ._core.http.regions import endpoints
from ._core.http.retry import Attempt, Outcome, Retry
from ._core.http.settings import Settings, missing_credentials
from ._core.http.tokens import Grant, Hidden, TokenBook, authorise, is_token, token_request
from ._errors import GenesysStreamError
from ._http import headers_of, phases, step
from ._values import Timeouts
from ._values._checks import check_kind
from ._wire import type_name

if TYPE_CHECKING:
    import anyio

_UNAUTHORIZED = 401


@define(eq=False)
class Flight:
    """A request for a token that is under way; the first who needed it leads, the others wait for its landing."""

    token: str | None = field(default=None, repr=False)
    error: GenesysStreamError | None = None
    _leader: int = field(factory=threading.get_ident, init=False, repr=False)
    _landed: threading.Event = field(factory=threading.Event, init=False)
    _wakers: list[Callable[[], None]] = field(factory=list, init=False, repr=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False, repr=False)

    def land(self, token: str | None, error: GenesysStreamError | None) -> None:
        """Wake everybody; with neither a token nor an error, somebody else must lead."""
        with self._lock:
            self.token, self.error = token, error
            self._landed.set()
            wakers, self._wakers = self._wakers, []
        for wake in wakers:
            wake()

    def wait(self, seconds: float | None = None) -> None:
        """Block until it has landed.

        Args:
            seconds: For how long at the most; None for as long as it takes.

        Raises:
            UsageError: The request is made by this very thread, which cannot go on with it while it blocks.
        """
        if not self._landed.is_set() and self._leader == threading.get_ident():
            msg = (
                "this thread is asking for a token already and would wait for itself for ever: "
                "a blocking call was made on an event loop, or in an on_event hook"
            )
            raise _errors.UsageError(msg)
        self._landed.wait(None if seconds is None else max(0.0, seconds))

    async def arrival(self) -> None:
        """Wait until it has landed, on whatever event loop this is."""
        import anyio

        event = anyio.Event()
        wake = _waker(event)
        with self._lock:
            if self._landed.is_set():
                return
            self._wakers.append(wake)
        await event.wait()


def _waker(event: anyio.Event) -> Callable[[], None]:
    """A function that sets the event from any thread; where the event loop is gone, so is whoever waited on it."""
    trio = sys.modules.get("trio")  # where nobody has imported trio, this is not trio
    if trio is not None and trio.lowlevel.in_trio_run():
        return _quietly(trio.lowlevel.current_trio_token().run_sync_soon, event, trio.RunFinishedError)
    return _quietly(asyncio.get_running_loop().call_soon_threadsafe, event, RuntimeError)


def _quietly(
    soon: Callable[[Callable[[], object]], object], event: anyio.Event, gone: type[Exception]
) -> Callable[[], None]:
    def wake() -> None:
        with suppress(gone):
            soon(event.set)

    return wake


class ClientCredentials(httpx.Auth):
    """An OAuth client-credentials session that refreshes itself, for our clients and for anybody's httpx client.

    The token is asked for when it is first needed, again ahead of its expiry (by 60 seconds or a tenth of its life),
    and once more per request when the service answers 401. However many tasks and threads need it, one request is made.

    Args:
        client_id: The OAuth client's id.
        client_secret: The OAuth client's secret.
        region: The organisation's region, in any spelling; see `Client`.
        login_url: The token endpoint's address without its path, where it is not the region's.
        scopes: Scopes to ask for; Genesys Cloud grants by roles and wants none.
        retry: How patient to be with the token endpoint.
        allow_insecure_http: Whether `login_url` may be an http URL of another machine.

    Raises:
        ConfigurationError: Something is missing, unknown or unsafe.
    """

    requires_response_body = False

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        *,
        region: str | None = None,
        login_url: str | None = None,
        scopes: Sequence[str] = (),
        retry: Retry | None = None,
        allow_insecure_http: bool = False,
    ) -> None:
        for name, value in (("client_id", client_id), ("client_secret", client_secret)):
            if not _is_printable(value):
                msg = f"{name} must be a string of printable characters that is not empty"
                raise _errors.ConfigurationError(msg)
        if ":" in client_id:
            msg = "client_id must not have a colon, which a Basic header could not tell from the one before the secret"
            raise _errors.ConfigurationError(msg)
        if not _is_list_of_scopes(scopes):
            msg = "scopes must be a list of strings of printable characters"
            raise _errors.ConfigurationError(msg)
        check_kind("retry", retry, Retry, optional=True)
        place = endpoints(region, login_url=login_url, allow_insecure_http=allow_insecure_http)
        self._client_id = client_id
        self._request = token_request(place.login_url, client_id, client_secret, scopes)
        self._retry = retry or Retry()
        self._book = TokenBook()
        self._flight: Flight | None = None
        self._lock = threading.Lock()
        self._clock = time.monotonic

    def __repr__(self) -> str:
        return f"ClientCredentials({self._client_id!r})"

    def __reduce__(self) -> Any:
        msg = "a session with its secret is not to be pickled; make another one where it is needed"
        raise TypeError(msg)

    def obtain(self, margin: float = 0.0, refused: str | None = None) -> Generator[Attempt | Flight, Any, str]:
        """The dialogue at whose end there is a good token.

        It yields either an `Attempt`, whose outcome it is sent, or a `Flight` to wait for, and then it is sent nothing.

        Args:
            margin: For how many seconds the token must still be good.
            refused: A token that the service refused.

        Returns:
            The token.

        Raises:
            GenesysStreamError: No token could be had; everybody who waits for it is told the same.
        """
        while True:
            token, flight = self._board(margin, refused)
            if token is not None:
                return token
            refused = None
            if flight is None:
                return (yield from self._lead())
            yield flight
            if flight.error is not None:
                # A copy, because each waiter raises its own.
                raise copy.copy(flight.error) from flight.error
            if flight.token is not None:
                return flight.token

    def _board(self, margin: float, refused: str | None) -> tuple[str | None, Flight | None]:
        """A good token; or the flight to wait for; or neither, and the caller leads a new one."""
        with self._lock:
            if refused is not None:
                self._book.strike(refused)
            token = self._book.good(self._clock(), margin)
            if token is not None or self._flight is not None:
                return token, self._flight
            self._flight = Flight()
            return None, None

    def _lead(self) -> Generator[Attempt | Flight, Any, str]:
        asked_at = self._clock()
        try:
            with closing(authorise(self._request, self._retry)) as dialogue:
                attempt, result = step(lambda: next(dialogue))
                while attempt is not None:
                    asked_at = self._clock() + attempt.after
                    outcome = yield attempt
                    attempt, result = step(lambda: dialogue.send(outcome))  # noqa: B023 - called at once
            grant: Grant = result
        except BaseException as error:
            # Whatever else ended it, such as a cancellation, is this caller's alone, and somebody else leads.
            self._land(None, asked_at, error if isinstance(error, GenesysStreamError) else None)
            raise
        self._land(grant, asked_at, None)
        return grant.token

    def _land(self, grant: Grant | None, asked_at: float, error: GenesysStreamError | None) -> None:
        with self._lock:
            flight, self._flight = self._flight, None
            if grant is not None:
                self._book.enter(grant, asked_at)
        if flight is not None:
            flight.land(None if grant is None else grant.token, error)

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Authorise a request of a blocking httpx client."""
        refused: str | None = None
        for _ in range(2):
            with closing(self.obtain(refused=refused)) as dialogue:
                wanted, token = step(lambda: next(dialogue))
                while wanted is not None:
                    outcome: Outcome | None = None
                    if isinstance(wanted, Flight):
                        wanted.wait()
                    else:
                        time.sleep(wanted.after)
                        response = yield _as_httpx(wanted, request)
                        outcome = _as_reply(response, response.read())
                    wanted, token = step(lambda: dialogue.send(outcome))  # noqa: B023 - called at once
            request.headers["Authorization"] = f"Bearer {token}"
            response = yield request
            if response.status_code != _UNAUTHORIZED or refused is not None:
                return
            response.read()
            refused = token

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Authorise a request of an async httpx client."""
        refused: str | None = None
        for _ in range(2):
            with closing(self.obtain(refused=refused)) as dialogue:
                wanted, token = step(lambda: next(dialogue))
                while wanted is not None:
                    outcome: Outcome | None = None
                    if isinstance(wanted, Flight):
                        await wanted.arrival()
                    else:
                        import anyio

                        await anyio.sleep(wanted.after)
                        response = yield _as_httpx(wanted, request)
                        outcome = _as_reply(response, await response.aread())
                    wanted, token = step(lambda: dialogue.send(outcome))  # noqa: B023 - called at once
            request.headers["Authorization"] = f"Bearer {token}"
            response = yield request
            if response.status_code != _UNAUTHORIZED or refused is not None:
                return
            await response.aread()
            refused = token


def _is_printable(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and bool(value.strip())


def _is_list_of_scopes(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(_is_printable(scope) for scope in value)


def _as_reply(response: httpx.Response, body: bytes) -> Reply:
    """A reply whose body httpx has decoded, whatever its content coding."""
    return Reply(response.status_code, dict(response.headers), body, at=time.time())


def _as_httpx(attempt: Attempt, beside: httpx.Request) -> httpx.Request:
    """The token request, with the timeouts of the request that it is made for."""
    timeout = beside.extensions.get("timeout") or phases(Timeouts(), None, headers=30.0)
    wanted = attempt.request
    return httpx.Request(
        wanted.method,
        wanted.url,
        headers=headers_of(wanted, None, {}),
        content=wanted.content,
        extensions={"timeout": timeout},
    )


def hidden(token: str | None) -> str | None:
    """A token that the caller brought, so that no frame's locals show it."""
    return None if token is None else Hidden(token)


def credentials_of(  # noqa: PLR0917 - the clients' own arguments, in their order
    client_id: str | None,
    client_secret: str | None,
    access_token: str | None,
    credentials: object,
    settings: Settings,
    scopes: Sequence[str],
    allow_insecure_http: bool,
) -> ClientCredentials | None:
    """Choose what a client authorises with: one of a session, a token, or an id and its secret.

    Returns:
        The session; None when a token is all there is.

    Raises:
        ConfigurationError: There is nothing, or more than one thing.
    """
    if (access_token is not None) + (credentials is not None) + (
        client_id is not None or client_secret is not None
    ) > 1:
        msg = "give one of client_id and client_secret, access_token, or credentials"
        raise _errors.ConfigurationError(msg)
    if credentials is not None:
        if not isinstance(credentials, ClientCredentials):
            msg = f"credentials must be ClientCredentials, not {type_name(credentials)}"
            raise _errors.ConfigurationError(msg)
        return credentials
    if access_token is not None:
        if not is_token(access_token):
            msg = "access_token must be a string of visible ASCII characters, without spaces, that is not empty"
            raise _errors.ConfigurationError(msg)
        return None
    if client_id is None or client_secret is None:
        raise missing_credentials()
    return ClientCredentials(
        client_id,
        client_secret,
        login_url=settings.login_url,
        scopes=scopes,
        retry=settings.retry,
        allow_insecure_http=allow_insecure_http,
    )
