"""OAuth client credentials: one access token for any number of tasks and threads.

It belongs to neither shell, because one token serves both: the first caller that finds no valid token requests one, on
its own event loop or thread, and every other caller, async or blocking, waits for the outcome of that request.
"""

from __future__ import annotations

import asyncio
import copy
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import httpx
from attrs import define, field

from . import _errors
from ._core.http.exchange import Reply
from ._core.http.regions import endpoints
from ._core.http.retry import Attempt, Outcome, RequestFlow, Retry
from ._core.http.settings import Settings, missing_credentials
from ._core.http.tokens import Grant, Hidden, TokenCache, fetch_token, is_token, token_request
from ._errors import GenesysStreamError
from ._http import advance, httpx_timeouts, request_headers
from ._values import Timeouts
from ._values._checks import check_kind
from ._wire import type_name

if TYPE_CHECKING:
    import anyio

_UNAUTHORIZED = 401

T = TypeVar("T")


@define(eq=False)
class Signal:
    """Something that other threads and tasks wait for, blocking or async; it happens once."""

    _happened: threading.Event = field(factory=threading.Event, init=False)
    _wakers: list[Callable[[], None]] = field(factory=list, init=False, repr=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False, repr=False)

    def set(self) -> None:
        """Wake whoever waits."""
        with self._lock:
            self._happened.set()
            wakers, self._wakers = self._wakers, []
        for wake in wakers:
            wake()

    def wait(self, seconds: float | None = None) -> None:
        """Block until it has happened.

        Args:
            seconds: The longest time to wait; None for no limit.
        """
        self._happened.wait(None if seconds is None else max(0.0, seconds))

    async def wait_async(self) -> None:
        """Wait on the current event loop until it has happened."""
        import anyio

        event = anyio.Event()
        wake = _waker(event)
        with self._lock:
            if self._happened.is_set():
                return
            self._wakers.append(wake)
        await event.wait()


@define(eq=False)
class TokenRefresh(Signal):
    """A token request that is under way: one caller runs it, and the others wait for it to finish."""

    token: str | None = field(default=None, repr=False)
    error: GenesysStreamError | None = None
    _thread: int = field(factory=threading.get_ident, init=False, repr=False)

    def finish(self, token: str | None, error: GenesysStreamError | None) -> None:
        """Wake every caller that waits; with neither a token nor an error, one of them must refresh the token."""
        self.token, self.error = token, error
        self.set()

    def wait(self, seconds: float | None = None) -> None:
        """Block until it has finished.

        Args:
            seconds: The longest time to wait; None for no limit.

        Raises:
            UsageError: The request is made by this very thread, which cannot go on with it while it blocks.
        """
        if not self._happened.is_set() and self._thread == threading.get_ident():
            msg = (
                "this thread is requesting a token already and would wait for itself for ever: "
                "a blocking call was made on an event loop, or in an on_event hook"
            )
            raise _errors.UsageError(msg)
        Signal.wait(self, seconds)


def _waker(event: anyio.Event) -> Callable[[], None]:
    """Return a function that sets the event from any thread, or does nothing once the event loop has ended."""
    trio = sys.modules.get("trio")  # where nobody has imported trio, this is not trio
    if trio is not None and trio.lowlevel.in_trio_run():
        return _unless_gone(trio.lowlevel.current_trio_token().run_sync_soon, event, trio.RunFinishedError)
    return _unless_gone(asyncio.get_running_loop().call_soon_threadsafe, event, RuntimeError)


def _unless_gone(
    soon: Callable[[Callable[[], object]], object], event: anyio.Event, gone: type[Exception]
) -> Callable[[], None]:
    def wake() -> None:
        with suppress(gone):
            soon(event.set)

    return wake


TokenFlow: TypeAlias = Generator["Attempt | Signal", Any, T]
"""What gets a token: it yields an `Attempt`, whose outcome it is sent, or a `Signal` to wait for."""


class TokenSource:
    """One access token for any number of tasks and threads; a subclass says how it is requested."""

    def __init__(self) -> None:
        self._cache = TokenCache()
        self._refresh: TokenRefresh | None = None
        self._lock = threading.Lock()
        self._clock = time.monotonic

    def __reduce__(self) -> Any:
        msg = "credentials are not to be pickled; make them anew where they are needed"
        raise TypeError(msg)

    def _fetch(self) -> TokenFlow[Grant]:
        """Request a token."""
        raise NotImplementedError

    def token_flow(self, margin: float = 0.0, refused: str | None = None) -> TokenFlow[str]:
        """Get a valid token.

        A generator that yields either an `Attempt`, whose outcome it must be sent, or a `Signal` to wait for,
        after which it must be sent None.

        Args:
            margin: For how many seconds the token must still be valid.
            refused: A token that the service refused.

        Returns:
            The token.

        Raises:
            GenesysStreamError: The token request failed; every caller that waited raises the same error.
        """
        while True:
            token, refresh = self._join(margin, refused)
            if token is not None:
                return token
            refused = None
            if refresh is None:
                return (yield from self._run())
            yield refresh
            if refresh.error is not None:
                # A copy, because each waiter raises its own.
                raise copy.copy(refresh.error) from refresh.error
            if refresh.token is not None:
                return refresh.token

    def _join(self, margin: float, refused: str | None) -> tuple[str | None, TokenRefresh | None]:
        """Return a valid token, or the refresh to wait for, or neither if the caller must run a new refresh."""
        with self._lock:
            if refused is not None:
                self._cache.invalidate(refused)
            token = self._cache.get(self._clock(), margin)
            if token is not None or self._refresh is not None:
                return token, self._refresh
            self._refresh = TokenRefresh()
            return None, None

    def _run(self) -> TokenFlow[str]:
        """Request a token and wake the callers that wait for it."""
        asked_at = self._clock()
        try:
            with closing(self._fetch()) as flow:
                wanted, result = advance(flow)
                while wanted is not None:
                    if isinstance(wanted, Attempt):
                        asked_at = self._clock() + wanted.after
                    outcome = yield wanted
                    wanted, result = advance(flow, outcome)
            grant: Grant = result
        except BaseException as error:
            # Anything else, such as a cancellation, concerns this caller alone, and another one must run a refresh.
            self._finish(None, asked_at, error if isinstance(error, GenesysStreamError) else None)
            raise
        self._finish(grant, asked_at, None)
        return grant.token

    def _finish(self, grant: Grant | None, asked_at: float, error: GenesysStreamError | None) -> None:
        with self._lock:
            refresh, self._refresh = self._refresh, None
            if grant is not None:
                self._cache.set(grant, asked_at)
        if refresh is not None:
            refresh.finish(None if grant is None else grant.token, error)


class ClientCredentials(TokenSource, httpx.Auth):
    """OAuth client credentials with a token that is refreshed as needed, for our clients and for any httpx client.

    The token is requested when it is first needed, again before it expires (60 seconds, or a tenth of its life if that
    is less), and once more per request when the service answers 401.
    However many tasks and threads need it, one request is made.

    Args:
        client_id: The OAuth client's id.
        client_secret: The OAuth client's secret.
        region: The organisation's region, in any spelling; see `Client`.
        login_url: The token endpoint's address without its path, if it is not the region's.
        scopes: Scopes to request; Genesys Cloud grants by roles and needs none.
        retry: The retry policy of token requests.
        allow_insecure_http: Whether `login_url` may be an http URL of another machine.

    Raises:
        ConfigurationError: An argument is missing, unknown or unsafe.
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
        super().__init__()
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

    def __repr__(self) -> str:
        return f"ClientCredentials({self._client_id!r})"

    def _fetch(self) -> RequestFlow[Grant]:
        return fetch_token(self._request, self._retry)

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add a token to a request of a blocking httpx client, which calls this."""
        refused: str | None = None
        for _ in range(2):
            with closing(self.token_flow(refused=refused)) as flow:
                wanted, token = advance(flow)
                while wanted is not None:
                    outcome: Outcome | None = None
                    if isinstance(wanted, Signal):
                        wanted.wait()
                    else:
                        time.sleep(wanted.after)
                        response = yield _to_httpx(wanted, request)
                        outcome = _to_reply(response, response.read())
                    wanted, token = advance(flow, outcome)
            request.headers["Authorization"] = f"Bearer {token}"
            response = yield request
            if response.status_code != _UNAUTHORIZED or refused is not None:
                return
            response.read()
            refused = token

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Add a token to a request of an async httpx client, which calls this."""
        refused: str | None = None
        for _ in range(2):
            with closing(self.token_flow(refused=refused)) as flow:
                wanted, token = advance(flow)
                while wanted is not None:
                    outcome: Outcome | None = None
                    if isinstance(wanted, Signal):
                        await wanted.wait_async()
                    else:
                        import anyio

                        await anyio.sleep(wanted.after)
                        response = yield _to_httpx(wanted, request)
                        outcome = _to_reply(response, await response.aread())
                    wanted, token = advance(flow, outcome)
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


def _to_reply(response: httpx.Response, body: bytes) -> Reply:
    """Return the reply of a response whose body httpx has decoded."""
    return Reply(response.status_code, dict(response.headers), body, at=time.time())


def _to_httpx(attempt: Attempt, beside: httpx.Request) -> httpx.Request:
    """Return the token request, with the timeouts of the request that it is made for."""
    timeout = beside.extensions.get("timeout") or httpx_timeouts(Timeouts(), None, headers=30.0)
    wanted = attempt.request
    return httpx.Request(
        wanted.method,
        wanted.url,
        headers=request_headers(wanted, None, {}),
        content=wanted.content,
        extensions={"timeout": timeout},
    )


def hidden(token: str | None) -> str | None:
    """Return a token of the caller so that no frame's local variables show it."""
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
    """Return the credentials of a client from its arguments: credentials, or an id and its secret, or a token.

    Returns:
        The credentials; None if there is only a token.

    Raises:
        ConfigurationError: There are none, or more than one kind.
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
