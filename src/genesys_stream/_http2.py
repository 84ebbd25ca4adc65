"""What both shells share of sending many pushes over one HTTP/2 connection, with pyqwest.

pyqwest (reqwest, hyper) multiplexes, keeps to the limits of the service, and resets a stream that is cancelled. The
rest is here: what was surely not processed (REFUSED_STREAM, and by RFC 9113, section 8.7, all streams above the last
one of a GOAWAY) is sent again until the deadline; errors say whether the push may have been delivered; the first push
of a connection goes alone, because APNs allows one stream until it has seen a valid token; and a connection that no
longer answers is left.

No error has an address or pyqwest's own exception, because the address of a push has the device token in it.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from typing import Any, Generic, Protocol, TypeVar

from . import _errors
from ._core.http.exchange import Reply
from ._core.http.retry import Attempt
from ._core.http.settings import CallSettings
from ._errors import InvalidArgument, NetworkError, UsageError
from ._hooks import emit
from ._http import USER_AGENT, missing_extra, shortest
from ._values import ExchangeStarted

SILENT = 3
"""After so many pushes in a row without an answer a new connection is made."""

FIRST_SECONDS = 1.0
"""For how long other pushes wait for the answer to the first one, in seconds."""

MAX_CONNECTIONS = 2
PAUSE, LONGEST_PAUSE = 0.01, 0.5
"""Seconds before a push is tried again that was not processed."""


class Opened(Protocol):
    """An event of the shell's kind."""

    def set(self) -> object: ...


EventT = TypeVar("EventT", bound=Opened)

LONGEST_SECONDS = 600.0
"""For how long an answer is waited for where no timeout is set: APNs is known never to answer some pushes."""

log = logging.getLogger("genesys_stream")


class Tokens(Protocol):
    """Where the tokens come from that requests are sent with; it may be used by several threads at once."""

    def token(self, refused: str | None = None) -> str:
        """Return the token to send now, in place of one that was refused."""
        ...


class Connection(Generic[EventT]):
    """The connections to a service; there are more than one only where the service needs them.

    Args:
        http: pyqwest's client.
        opened: Set when the first push was answered, or failed.
    """

    def __init__(self, http: Any, opened: EventT) -> None:
        self.http = http
        self.opened = opened
        self.is_open = False
        self._lock = threading.Lock()
        self._begun = False
        self._silent = 0

    def is_first(self) -> bool:
        """Return whether this push is the first one, which goes alone."""
        with self._lock:
            first, self._begun = not self._begun, True
        return first

    def open(self) -> None:
        """Let all other pushes go."""
        self.is_open = True
        self.opened.set()

    def note(self, *, silent: bool) -> bool:
        """Note an answer, or that none came in time; return whether the connection is to be left."""
        self._silent = self._silent + 1 if silent else 0
        return self._silent >= SILENT


class Connections(Generic[EventT]):
    """The base of `Http2Session` in both shells.

    Args:
        tokens: Where the tokens come from.
        certificates: Certificates of authorities to trust in place of the system's, as PEM.
        proxy: The address of a proxy.
        max_connections: How many connections may be open at once.
        connect: For how many seconds a connection may take to be made.

    Raises:
        ConfigurationError: The extra is not installed, or pyqwest does not take an argument.
    """

    _transport = ""
    _client = ""

    def __init__(
        self,
        tokens: Tokens,
        *,
        certificates: bytes | None,
        proxy: str | None,
        max_connections: int,
        connect: float | None,
    ) -> None:
        self._tokens = tokens
        self._pyqwest = load_pyqwest()
        self._options: dict[str, Any] = {
            "tls_ca_cert": certificates,
            "tls_include_system_certs": certificates is None,
            "http_version": self._pyqwest.HTTPVersion.HTTP2,
            "proxy": proxy,
            "connect_timeout": connect,
            "pool_idle_timeout": None,  # Apple asks for connections that are kept
            "max_connections_per_address": max_connections,
            "follow_redirects": False,
            "enable_otel": False,  # its spans would have the address, and so the device token
        }
        self._connection: Connection[EventT] | None = None
        self._lock = threading.Lock()
        self._closed = False
        try:
            self._make_client()
        except (ValueError, TypeError, RuntimeError, OSError, OverflowError) as error:
            arguments = " or ".join(
                name for name, value in (("certificates", certificates), ("proxy", proxy)) if value is not None
            )
            raise InvalidArgument(arguments or "max_connections", f"is not usable: {scrubbed(error)}") from None

    def _make_client(self) -> Any:
        module = self._pyqwest
        return getattr(module, self._client)(getattr(module, self._transport)(**self._options))

    def _make_event(self) -> EventT:
        raise NotImplementedError

    def connection(self) -> Connection[EventT]:
        """Return the connection for the next push.

        Raises:
            UsageError: This process was forked from one that has used pyqwest, whose threads it does not have.
            StreamStateError: It was closed.
        """
        check_process()
        if self._closed:
            msg = "the client is closed"
            raise _errors.StreamStateError(msg)
        connection = self._connection
        if connection is None:
            with self._lock:
                connection = self._connection = self._connection or Connection(self._make_client(), self._make_event())
        return connection

    def note_silence(self, connection: Connection[EventT]) -> None:
        """Note that a push was not answered in time; the third in a row has the next one use a new connection."""
        if connection.note(silent=True) and self._connection is connection:
            self._connection = None  # what is in flight on the old one may still be answered

    def mark_closed(self) -> None:
        """Refuse all further pushes, and let the connection go."""
        self._closed, self._connection = True, None

    def prepare(self, attempt: Attempt, settings: CallSettings) -> tuple[str, dict[str, str]]:
        """Return the token and the headers to send, and tell the hook."""
        request = attempt.request
        token = self._tokens.token(attempt.refused)
        emit(settings.on_event, ExchangeStarted(request.method, request.shown_url))
        return token, {
            "user-agent": USER_AGENT,
            **settings.headers,
            **request.headers,
            "authorization": f"bearer {token}",
        }

    def seconds(self, settings: CallSettings, answer_within: float | None) -> float:
        """Return for how many seconds a push may take, all tries together."""
        return shortest(settings.timeouts.total, answer_within, LONGEST_SECONDS) or 0.0

    def reply(self, response: Any, token: str) -> Reply:
        """Return the reply that a response is to a request with that token."""
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status, headers, response.content, token, time.time())

    def is_unprocessed(self, error: Exception) -> bool:
        """Return whether an exception says that the service has certainly not processed the push."""
        module = self._pyqwest
        return (
            isinstance(error, module.StreamError)
            and getattr(error, "code", None) == module.StreamErrorCode.REFUSED_STREAM
        )

    def failure(self, error: Exception, connection: Connection[EventT]) -> NetworkError:
        """Return our exception for one of pyqwest's."""
        if self.is_unprocessed(error):
            return _errors.ConnectFailed("the service refused the stream until the time was up; nothing was sent")
        if isinstance(error, ConnectionError):  # a ConnectTimeout is one as well
            return _errors.ConnectFailed(f"no connection could be made: {scrubbed(error)}")
        if isinstance(error, TimeoutError):
            self.note_silence(connection)
            return _errors.TransportIdleTimeout("the service did not answer in time")
        return _errors.ConnectionLost(f"the connection broke: {scrubbed(error)}")


_forked_from: list[int] = []


def check_process() -> None:
    """Raise UsageError in a process that was forked after pyqwest's first use: there it waits for ever."""
    process = os.getpid()
    if not _forked_from:
        _forked_from.append(process)
    if _forked_from[0] != process:
        msg = (
            "APNs was used before this process was forked, and its threads are not in the child; make the first push "
            "after the fork, or start processes by spawn or forkserver"
        )
        raise UsageError(msg)


def load_pyqwest() -> Any:
    """Import pyqwest.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        import pyqwest
    except ImportError as error:
        raise missing_extra("genesys_stream.apns", "apns") from error
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_without_address)  # the same filter is added once
    return pyqwest


# All that pyqwest logs to: a logger's filters do not hold for those below it.
_LOGGERS = ("pyqwest", "pyqwest.access", "pyqwest._trio")


def _without_address(record: logging.LogRecord) -> bool:
    """Take the address out of what pyqwest logs at level DEBUG."""
    record.msg, record.args = _without_addresses(record.getMessage()), None
    return True


def scrubbed(error: Exception) -> str:
    """Return what an exception says, without any address."""
    return _without_addresses(str(error)) or type(error).__name__


def _without_addresses(text: str) -> str:
    return re.sub(r"(?: for url)? ?\(?\b\w+://[^\s)]*\)?", "", text)
