"""What both shells know of the HTTP library: timeouts, limits, headers, and its exceptions as ours.

httpx and httpx2 name their exceptions alike, and a client of either may be passed in, so exceptions are recognised by
the names in their ancestry.
"""

from __future__ import annotations

import inspect
import logging
import os
import socket
import ssl
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, lru_cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from . import _errors
from ._core.http.encoding import Inflater
from ._core.http.exchange import Reply, Request
from ._core.http.retry import Attempt, Outcome
from ._core.http.settings import CallSettings
from ._errors import GenesysStreamError, NetworkError, strip_traceback
from ._hooks import emit
from ._values import Exchange, Timeouts
from ._values._checks import shown
from ._version import __version__

T = TypeVar("T")

USER_AGENT = f"genesys-stream/{__version__}"
MAX_CONNECTIONS = 1000
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
KEEPALIVE_SECONDS = 50.0
"""For how many seconds an idle connection is kept for the next push.

An AWS application load balancer closes a connection that was idle for 60 seconds, unless it is configured otherwise,
and a request that is sent at that moment is lost. So this stays below.
"""
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
    ("ClientHttpProxyError", _errors.ConnectFailed),
    ("InvalidURL", _errors.ConnectFailed),
    ("SocketTimeoutError", _errors.TransportIdleTimeout),
)


def http_library(transport: str) -> Any:
    """Return the module of the HTTP library that carries the requests.

    Raises:
        ConfigurationError: It is an extra that is not installed.
    """
    if transport != "httpx2":
        return httpx
    try:
        import httpx2
    except ImportError as error:
        raise missing_extra('transport="httpx2"', "httpx2") from error
    return httpx2


def missing_extra(what: str, extra: str) -> _errors.ConfigurationError:
    """Return the error of what cannot be used because its extra is not installed."""
    return _errors.ConfigurationError(f'{what} needs the extra [{extra}]: pip install "genesys-stream[{extra}]"')


@cache
def shared_tls(library: Any) -> ssl.SSLContext:
    """Return the one TLS context of all clients, because reading the certificates takes tens of milliseconds."""
    context: ssl.SSLContext = library.create_ssl_context()
    return context


def make_client(cls: Any, library: Any, max_connections: int) -> Any:
    """Make an HTTP client.

    Args:
        cls: Its class.
        library: The module of the HTTP library.
        max_connections: How many connections it may open.

    Raises:
        ConfigurationError: An environment variable for certificates or proxies is invalid.
    """
    try:
        if certificates := os.environ.get("SSL_CERT_FILE"):
            os.stat(certificates)  # noqa: PTH116 - httpx 0.27 goes on without a file that does not exist
        verify = shared_tls(library)
    except (OSError, ValueError) as error:
        raise _invalid_environment(("SSL_CERT_FILE", "SSL_CERT_DIR"), error) from error
    try:
        for name in _PROXIES:
            # A port beyond 65535, which the HTTP library would only find when it connects.
            _ = urlsplit(os.environ.get(name) or os.environ.get(name.lower(), "")).port
        return cls(verify=verify, limits=limits(max_connections, library))
    except (ImportError, OSError, ValueError, httpx.InvalidURL, library.InvalidURL) as error:
        raise _invalid_environment((*_PROXIES, "NO_PROXY"), error) from error


def _invalid_environment(names: Sequence[str], error: Exception) -> _errors.ConfigurationError:
    """Return the error that names the environment variables that are set, without their values."""
    names = [name for upper in names for name in (upper, upper.lower()) if os.environ.get(name)]
    return _errors.ConfigurationError(f"the environment variable {' or '.join(names)} is invalid: {error}")


def check_client(http: Any, *, awaits: bool) -> None:
    """Check that an HTTP client that was passed in is an async one, or a blocking one, as needed.

    Raises:
        InvalidArgument: It is not an HTTP client, or of the other kind.
    """
    if http is not None and not (
        hasattr(http, "build_request")
        and callable(getattr(http, "send", None))
        and inspect.iscoroutinefunction(http.send) == awaits
    ):
        wanted = "an httpx.AsyncClient or httpx2.AsyncClient" if awaits else "an httpx.Client or httpx2.Client"
        raise _errors.InvalidArgument("http_client", f"must be {wanted}, not {type(http).__name__}")


def check_transport(transport: str, http: Any, *, awaits: bool) -> None:
    """Check the name of a transport.

    Raises:
        InvalidArgument: There is no such transport, or the HTTP client that was passed in has its own.
    """
    known = ("httpx", "httpx2", "aiohttp") if awaits else ("httpx", "httpx2")
    if transport not in known:
        wanted = " or ".join(f'"{name}"' for name in known)
        raise _errors.InvalidArgument("transport", f"must be {wanted}, not {shown(transport)}")
    if http is not None and transport != "httpx":
        raise _errors.InvalidArgument("transport", "is for clients that this library makes; an http_client has its own")


def limits(max_connections: int, library: Any = httpx) -> Any:
    """Return the limits of a pool, of which up to 100 idle connections are kept for the next requests."""
    return library.Limits(
        max_connections=max_connections,
        max_keepalive_connections=min(max_connections, 100),
        keepalive_expiry=KEEPALIVE_SECONDS,
    )


@cache
def request_maker(library: Any) -> Callable[..., Any]:
    """Return a function that makes an HTTP library's requests, without the client's defaults, of which we use none."""
    parsed = lru_cache(maxsize=64)(library.URL)

    def make_request(method: str, url: str, **options: Any) -> Any:
        return library.Request(method, parsed(url), **options)

    return make_request


def request_headers(request: Request, token: str | None, always: Mapping[str, str]) -> dict[str, str]:
    """Return the headers to send: the library's, the client's, the call's, and the token."""
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **always, **request.headers}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return headers


def hide_url(request: Any, public_url: str) -> None:
    """Have the log of the HTTP library show another URL for a request than the one that is a secret.

    httpx and httpx2 log the URL of every request at the level INFO. Nothing but the log is changed: a transport, which
    may be anybody's, gets the URL that it needs.
    """
    log = logging.getLogger(type(request).__module__.partition(".")[0])
    log.addFilter(_show_public_urls)  # a filter that is there already is not added again
    url_class: Any = type(request.url)
    request.url = _url_class(url_class)(request.url)
    request.url.public_url = public_url


@cache
def _url_class(cls: Any) -> Any:
    """Return a subclass of the HTTP library's class of URLs whose values have a `public_url`."""
    return type("URL", (cls,), {"__repr__": lambda self: f"URL({self.public_url!r})"})


def _show_public_urls(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(getattr(arg, "public_url", arg) for arg in record.args)
    return True


def httpx_timeouts(timeouts: Timeouts, left: float | None, *, headers: float | None) -> dict[str, float | None]:
    """Return the HTTP library's timeouts, in the form that its transports read.

    The mapping is changed later: `read` first limits the wait for the headers, and then each read of the body.
    """
    if left is None:
        return {"connect": timeouts.connect, "write": timeouts.write, "pool": timeouts.pool, "read": headers}
    return {
        "connect": shortest(timeouts.connect, left),
        "write": shortest(timeouts.write, left),
        "pool": shortest(timeouts.pool, left),
        "read": shortest(headers, left),
    }


def shortest(*seconds: float | None) -> float | None:
    """Return the shortest of some waits in seconds, not below 0; None stands for no limit."""
    known = [max(0.0, wait) for wait in seconds if wait is not None]
    return min(known, default=None)


def network_error(error: Exception, *, exhausted: str = "") -> NetworkError:
    """Return our exception for one of the HTTP library's, which becomes its cause.

    Args:
        error: The HTTP library's exception.
        exhausted: What to say if there was no free connection.

    Raises:
        GenesysStreamError: The exception is ours already, or not a failure of the network.
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
    what = exhausted if found is _errors.PoolExhausted else _SAY.get(found, "the connection broke")
    made = found(f"{what}: {said}")
    made.__cause__ = error
    return made


def deadline_exceeded(settings: CallSettings, cut_short: NetworkError | None = None) -> NetworkError:
    """Return the exception of a call whose time is up; its cause is the exchange that was cut short, if any."""
    made = _errors.DeadlineExceeded("the call was not over in time", seconds=settings.timeouts.total)
    made.__cause__ = cut_short
    return made


def _root(error: BaseException) -> BaseException:
    """Return the exception that says most: aiohttp's, if httpx-aiohttp has raised an imprecise one from it.

    httpx-aiohttp calls a connection that breaks before the answer a ConnectError, after which anything would be resent.
    """
    cause = error.__cause__
    if cause is None or not type(cause).__module__.startswith("aiohttp.") or type(error).__name__ == "PoolTimeout":
        return error
    return cause


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and its causes, the nearest first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


_SAY: dict[type[NetworkError], str] = {
    _errors.ConnectFailed: "no connection could be made",
    _errors.TransportIdleTimeout: "the service was silent for too long",
}


def shut_down_if_unread(response: Any) -> None:
    """Shut down a connection with bytes after the answer, which would be taken for the next answer.

    httpcore reuses such a connection, which RFC 9112, section 9.2, forbids, unless it is shut down.
    The bytes are in its parser, which is private; where it cannot be found, nothing is done.
    """
    part = response.stream
    for _ in range(8):
        if part is None:
            return
        parser = getattr(part, "_h11_state", None)
        if parser is not None:
            if parser.their_state.__name__ == "DONE" and parser.trailing_data[0]:
                with suppress(OSError, AttributeError):
                    response.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
            return
        for name in ("_stream", "_httpcore_stream", "_connection"):
            inner = getattr(part, name, None)
            if inner is not None:
                break
        part = inner


def to_reply(response: Any, body: bytes, token: str | None) -> Reply:
    """Return the reply of a response and its body."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    if body:
        # A body that cannot be decoded stays as it is: the status says enough, or the reader of the body reports it.
        with suppress(_errors.ProtocolError):
            body = Inflater(headers.get("content-encoding", "")).feed(body, MAX_BODY_BYTES)
            headers.pop("content-encoding", None)
    return Reply(response.status_code, headers, body, token, time.time())


class BodyBuffer:
    """Collects a body up to a size limit: an error's body is cut off there, and a success beyond it is refused.

    Attributes:
        optional: Whether the body may be incomplete, as that of an error, whose status says enough.
    """

    def __init__(self, status: int) -> None:
        self.optional = status >= 400
        self._bytes = bytearray()

    def add(self, piece: bytes) -> bool:
        """Add a piece; return whether more is needed.

        Raises:
            EventTooLarge: A success is larger than any completion.
        """
        self._bytes += piece
        if self.optional:
            return len(self._bytes) < MAX_ERROR_BODY_BYTES
        if len(self._bytes) > MAX_BODY_BYTES:
            msg = f"the body is larger than {MAX_BODY_BYTES} bytes"
            raise _errors.EventTooLarge(msg, limit=MAX_BODY_BYTES)
        return True

    @property
    def bytes(self) -> bytes:
        """The body so far."""
        return bytes(self._bytes)


def advance(steps: Generator[T, Any, Any], value: Any = None) -> tuple[T | None, Any]:
    """Send a value to a generator; return what it yields, or None and the value that it returns.

    The generator's frames have bodies in their local variables and are removed from the traceback of what it raises.
    """
    try:
        return steps.send(value), None
    except StopIteration as done:
        return None, done.value
    except GenesysStreamError as error:
        raise strip_traceback(error)  # noqa: B904 - it is the same exception, with the cause that it has


def log_exchange(
    log: logging.Logger, settings: CallSettings, attempt: Attempt, outcome: Outcome, seconds: float
) -> None:
    """Report one exchange to the log and the hook, without headers and bodies."""
    method, url = attempt.request.method, attempt.request.shown_url
    if isinstance(outcome, Reply):
        event = Exchange(method, url, outcome.status, None, seconds, outcome.correlation_id)
        log.debug("%s %s: %d in %.3f s", method, url, outcome.status, seconds)
    else:
        event = Exchange(method, url, None, outcome, seconds)
        log.info("%s %s: %s after %.3f s", method, url, type(outcome).__name__, seconds)
    emit(settings.on_event, event)
