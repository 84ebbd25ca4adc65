"""All that both shells know of the HTTP library.

httpx and httpx2 name their exceptions alike, and a client of either may be handed in, so exceptions are told apart by
the names in their ancestry.
"""

from __future__ import annotations

import inspect
import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

import httpx

from . import _errors
from ._core.http.encoding import Inflater
from ._core.http.exchange import Reply, Request
from ._core.http.retry import Attempt, Outcome
from ._core.http.settings import Settings
from ._errors import GenesysStreamError, NetworkError, strip_traceback
from ._hooks import tell
from ._values import Exchange, Timeouts
from ._values._checks import shown
from ._version import __version__

T = TypeVar("T")

USER_AGENT = f"genesys-stream/{__version__}"
MAX_CONNECTIONS = 1000
MAX_BODY_BYTES = 64 * 2**20
MAX_ERROR_BODY_BYTES = 2**20

_FAILURES: tuple[tuple[str, type[NetworkError]], ...] = (
    ("PoolTimeout", _errors.PoolExhausted),
    ("ConnectTimeout", _errors.ConnectFailed),
    ("ConnectError", _errors.ConnectFailed),
    ("ProxyError", _errors.ConnectFailed),
    ("UnsupportedProtocol", _errors.ConnectFailed),
    ("ReadTimeout", _errors.TransportIdleTimeout),
    # Of aiohttp, whose names say more than what httpx-aiohttp makes of them.
    ("ConnectionTimeoutError", _errors.ConnectFailed),
    ("ClientConnectorError", _errors.ConnectFailed),
    ("InvalidURL", _errors.ConnectFailed),
    ("SocketTimeoutError", _errors.TransportIdleTimeout),
)


@cache
def shared_tls() -> ssl.SSLContext:
    """The one TLS context of all clients, because reading the certificates takes tens of milliseconds."""
    return httpx.create_ssl_context()


def checked_client(http: Any, *, awaits: bool) -> Any:
    """Check that an HTTP client that was handed in blocks, or awaits, as is needed.

    Raises:
        InvalidArgument: It is not an HTTP client, or of the other world.
    """
    if http is not None and not (
        hasattr(http, "build_request")
        and callable(getattr(http, "send", None))
        and inspect.iscoroutinefunction(http.send) == awaits
    ):
        wanted = "an httpx.AsyncClient or httpx2.AsyncClient" if awaits else "an httpx.Client or httpx2.Client"
        raise _errors.InvalidArgument("http_client", f"must be {wanted}, not {type(http).__name__}")
    return http


def checked_transport(transport: str, http: Any, *, awaits: bool) -> str:
    """Check the name of what carries the requests.

    Raises:
        InvalidArgument: There is no such transport, or the HTTP client that was handed in has its own.
    """
    known = ("httpx", "aiohttp") if awaits else ("httpx",)
    if transport not in known:
        wanted = " or ".join(f'"{name}"' for name in known)
        raise _errors.InvalidArgument("transport", f"must be {wanted}, not {shown(transport)}")
    if http is not None and transport != "httpx":
        raise _errors.InvalidArgument("transport", "is for a client of our own; an http_client brings its own")
    return transport


def limits(max_connections: int) -> httpx.Limits:
    """The pool: as many connections as streams may be open, and enough idle ones for the next pushes."""
    return httpx.Limits(max_connections=max_connections, max_keepalive_connections=min(max_connections, 100))


def headers_of(request: Request, token: str | None, always: Mapping[str, str]) -> dict[str, str]:
    """The headers that go out: the library's, the client's, the call's, and the token."""
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **always, **request.headers}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return headers


def phases(timeouts: Timeouts, left: float | None, *, headers: float | None) -> dict[str, float | None]:
    """The HTTP library's timeouts, in the form that its transports read.

    The mapping is kept and changed: `read` first bounds the wait for the headers, and then each read of the body.
    """
    return {
        "connect": shortest(timeouts.connect, left),
        "write": shortest(timeouts.write, left),
        "pool": shortest(timeouts.pool, left),
        "read": shortest(headers, left),
    }


def shortest(*seconds: float | None) -> float | None:
    """The shortest of some waits, of which None is the longest; never negative."""
    known = [max(0.0, wait) for wait in seconds if wait is not None]
    return min(known, default=None)


def failure(error: Exception) -> NetworkError:
    """Make our exception of the HTTP library's, which stays its cause.

    Raises:
        GenesysStreamError: The exception was ours, or it is not the network's fault.
    """
    if isinstance(error, NetworkError):
        return error
    if isinstance(error, GenesysStreamError):
        raise error
    names = {cls.__name__ for cls in type(_root(error)).__mro__}
    found = next((cls for name, cls in _FAILURES if name in names), _errors.ConnectionLost)
    if isinstance(error, RuntimeError) and "closed" in str(error):
        msg = "the client is closed"
        raise _errors.StreamStateError(msg) from error
    chain = list(_chain(error))
    said = next((text for one in chain if (text := str(one))), type(error).__name__)
    # The HTTP library's frames, and the request on its exceptions, have the token and the text, which some tools put
    # into their reports.
    for one in chain:
        one.__traceback__ = None
        if getattr(one, "_request", None) is not None:
            one._request = None  # type: ignore[attr-defined]  # httpx's
    made = found(f"{_SAY.get(found, 'the connection broke')}: {said}")
    made.__cause__ = error
    return made


def overdue(settings: Settings, cut_short: NetworkError | None = None) -> NetworkError:
    """Make the exception of a call whose time is up, of which a failed exchange, if there was one, is the cause."""
    made = _errors.DeadlineExceeded("the call was not over in time", seconds=settings.timeouts.total)
    made.__cause__ = cut_short
    return made


def _root(error: BaseException) -> BaseException:
    """What tells most: aiohttp's exception, where httpx-aiohttp has made an imprecise one of it.

    To it a connection that breaks before the answer is one that was never made, after which anything is sent again.
    """
    cause = error.__cause__
    if cause is None or not type(cause).__module__.startswith("aiohttp.") or type(error).__name__ == "PoolTimeout":
        return error
    return cause


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and what led to it, the nearest first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


_SAY: dict[type[NetworkError], str] = {
    _errors.PoolExhausted: "all connections that may be open are in use; raise max_connections, or close streams",
    _errors.ConnectFailed: "no connection could be made",
    _errors.TransportIdleTimeout: "the service was silent for too long",
}


def part_if_more_was_said(response: Any) -> None:
    """End a connection over which more came than the answer, and which would take the rest for the next answer.

    httpcore uses such a connection again, which RFC 9112, section 9.2, forbids; one that is shut down it does not.
    What came is only in the parser, which httpcore does not show; where the way to it has changed, nothing is known.
    """
    part = response.stream
    for _ in range(8):
        parser = getattr(part, "_h11_state", None)
        if parser is not None:
            if parser.their_state.__name__ == "DONE" and parser.trailing_data[0]:
                with suppress(OSError, AttributeError):
                    response.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
            return
        inner = (getattr(part, name, None) for name in ("_stream", "_httpcore_stream", "_connection"))
        part = next((one for one in inner if one is not None), None)


def reply_of(response: Any, body: bytes, token: str | None) -> Reply:
    """Make a reply of a response whose body was read."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    if body:
        # What cannot be decoded stays as it came: the status says enough, or whoever reads the body says what it is.
        with suppress(_errors.ProtocolError):
            body = Inflater(headers.get("content-encoding", "")).feed(body, MAX_BODY_BYTES)
            headers.pop("content-encoding", None)
    return Reply(response.status_code, headers, body, token, time.time())


class Body:
    """Gathers a body up to a bound: what an error says beyond it is cut off, and a success beyond it is refused.

    Attributes:
        dispensable: Whether it may break off: an error's status says enough, and what came of its body is its body.
    """

    def __init__(self, status: int) -> None:
        self.dispensable = status >= 400
        self._bytes = bytearray()

    def add(self, piece: bytes) -> bool:
        """Take a piece; returns whether more is wanted.

        Raises:
            EventTooLarge: A success is larger than any completion.
        """
        self._bytes += piece
        if self.dispensable:
            return len(self._bytes) < MAX_ERROR_BODY_BYTES
        if len(self._bytes) > MAX_BODY_BYTES:
            msg = f"the body is larger than {MAX_BODY_BYTES} bytes"
            raise _errors.EventTooLarge(msg, limit=MAX_BODY_BYTES)
        return True

    @property
    def bytes(self) -> bytes:
        """What was gathered."""
        return bytes(self._bytes)


def step(advance: Callable[[], T]) -> tuple[T | None, Any]:
    """Advance a conversation; returns what it yields, or None and what it returned.

    What it raises says all there is to say; its frames have bodies in their locals, and are left out of the traceback.
    """
    try:
        return advance(), None
    except StopIteration as done:
        return None, done.value
    except GenesysStreamError as error:
        raise strip_traceback(error)  # noqa: B904 - it is the same exception, with the cause that it has


def exchanged(log: logging.Logger, settings: Settings, attempt: Attempt, outcome: Outcome, seconds: float) -> None:
    """Tell the log and the hook of one exchange; never of what was said in it."""
    request = attempt.request
    if isinstance(outcome, Reply):
        event = Exchange(request.method, request.url, outcome.status, None, seconds, outcome.correlation_id)
        log.debug("%s %s: %d in %.3f s", request.method, request.url, outcome.status, seconds)
    else:
        event = Exchange(request.method, request.url, None, outcome, seconds)
        log.info("%s %s: %s after %.3f s", request.method, request.url, type(outcome).__name__, seconds)
    tell(settings.on_event, event)
