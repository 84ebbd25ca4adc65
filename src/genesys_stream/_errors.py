"""Every exception that leaves the library, sorted by who has to act.

GenesysStreamError
├── UsageError                  you: the code, the configuration or the data
│   ├── ConfigurationError      credentials missing, region unknown, URL not safe
│   ├── InvalidArgument         an argument that is invalid (also a ValueError and a TypeError)
│   ├── StreamStateError        a stream that is closed, read to its end, or in use by another task or thread
│   └── ParseError              a text that does not fit the class it is parsed into
├── ServiceError                the service: it answered with an error, or with something unusable
│   ├── StatusError             an error status, or an error object in a stream
│   │   ├── BadRequest          400, and every other 4xx without a class of its own
│   │   ├── AuthenticationError 401, and the token endpoint's invalid_client
│   │   ├── PermissionDenied    403
│   │   ├── NotFound            404
│   │   ├── RequestTimeout      408
│   │   ├── Conflict            409
│   │   ├── PayloadTooLarge     413
│   │   ├── UnsupportedMediaType 415
│   │   ├── InvalidToken        a device token that a push service no longer takes
│   │   ├── RateLimited         429, and the token endpoint's "rate limit exceeded"
│   │   └── ServerError         5xx
│   │       ├── BadGateway      502
│   │       ├── ServiceUnavailable 503
│   │       └── GatewayTimeout  504
│   └── ProtocolError           an answer that cannot be understood
│       ├── UnexpectedContent   a content type that is neither an event stream nor JSON
│       ├── MalformedEvent      an event, or a body, that is not the JSON it should be
│       └── EventTooLarge       an event beyond the size bound
└── NetworkError                nobody: wait, try again, look at the network
    ├── ConnectFailed           no connection; nothing was sent
    ├── ConnectionLost          the connection broke after the request may have been sent
    ├── AmbiguousDelivery       a push was sent, and its answer was lost
    ├── StreamTruncated         a stream ended before it was complete
    ├── PoolExhausted           all connections of the HTTP client are in use
    └── TimeoutExpired          one of the timeouts in Timeouts passed (also a TimeoutError)
        ├── FirstTokenTimeout
        ├── TokenIdleTimeout
        ├── TransportIdleTimeout
        └── DeadlineExceeded
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._values import Completion, RelayReport

E = TypeVar("E", bound="GenesysStreamError")


def _revive(cls: type[E], args: tuple[object, ...]) -> E:
    error = cls.__new__(cls)
    error.args = args  # not left to __new__: an OSError, and so a TimeoutError, leaves them to __init__
    return error


class GenesysStreamError(Exception):
    """The root: catch it to catch everything that this library raises on purpose.

    Attributes:
        retryable: Whether the same call may well succeed when it is made again.
        retry_after: Seconds that the service asked to wait, where it did.
        partial: What a stream had said before it broke.
        report: What a relay had delivered before it broke; to several sinks, what it had delivered to the first.
        reports: What a relay had delivered to each of its sinks.
    """

    retryable: bool = False
    retry_after: float | None = None
    partial: Completion | None = None
    report: RelayReport | None = None
    reports: tuple[RelayReport, ...] = ()

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by state, so that no subclass can lose its fields on the way; a report may hold the error itself."""
        return _revive, (type(self), self.args), self.__dict__


class UsageError(GenesysStreamError):
    """An error of the caller: in code, configuration or data."""


class ConfigurationError(UsageError):
    """The client cannot be built from what it was given."""


class InvalidArgument(UsageError, ValueError, TypeError):
    """An argument is invalid; nothing was sent.

    Attributes:
        argument: The argument's name, as the caller wrote it.
    """

    def __init__(self, argument: str, problem: str) -> None:
        super().__init__(f"{argument} {problem}")
        self.argument = argument


class StreamStateError(UsageError):
    """A stream was used after its end, or by two tasks or threads at once."""


class ParseError(UsageError, ValueError):
    """Text could not be parsed into the class that was asked for.

    Attributes:
        fields: One line per problem, each beginning with the path of its field.
        text: The text that was to be parsed.
    """

    def __init__(self, message: str, *, fields: tuple[str, ...] = (), text: str = "") -> None:
        super().__init__(message)
        self.fields = fields
        self.text = text


class ServiceError(GenesysStreamError):
    """The service answered with an error, or with something that cannot be used."""


class StatusError(ServiceError):
    """The service answered with an error.

    Attributes:
        status: The HTTP status, or the one that an error inside a stream stands for.
        code: The service's code for the error, such as "too.many.requests.retry.after".
        message: The service's message.
        context_id: The body's contextId.
        correlation_id: The correlation header, which Genesys Cloud support asks for.
        limit: The limit that was hit: key, namespace and value, where the body names it.
        details: The body's details, as they came.
        body: The raw body.
        in_stream: Whether the error arrived inside a stream that had begun with status 200.
    """

    retry_statuses: ClassVar[frozenset[int]] = frozenset({429, 502, 503, 504})

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str = "",
        context_id: str = "",
        correlation_id: str = "",
        limit: Mapping[str, Any] | None = None,
        details: tuple[Any, ...] = (),
        body: bytes = b"",
        retry_after: float | None = None,
        in_stream: bool = False,
    ) -> None:
        if retry_after is not None and not isinstance(retry_after, (int, float)):
            raise InvalidArgument("retry_after", f"must be a number of seconds, not {type(retry_after).__name__}")
        facts = [str(status), code, f"correlation id {correlation_id}" if correlation_id else ""]
        super().__init__(f"{message} ({', '.join(fact for fact in facts if fact)})")
        self.status = status
        self.code = code
        self.message = message
        self.context_id = context_id
        self.correlation_id = correlation_id
        self.limit = limit
        self.details = details
        self.body = body
        self.retry_after = retry_after
        self.retryable = status in self.retry_statuses
        self.in_stream = in_stream


class BadRequest(StatusError):
    """400, or another 4xx: the request is invalid."""


class AuthenticationError(StatusError):
    """401, or credentials that the token endpoint refused."""


class PermissionDenied(StatusError):
    """403: the OAuth client's roles lack a permission."""


class NotFound(StatusError):
    """404: no such path, or no such thing."""


class RequestTimeout(StatusError):
    """408: the service gave up waiting for the request."""


class Conflict(StatusError):
    """409: the request conflicts with the state of the resource."""


class PayloadTooLarge(StatusError):
    """413: the request is larger than the service takes."""


class InvalidToken(StatusError):
    """A push service no longer takes a device token: nothing more is to be pushed to it.

    Attributes:
        gone: Whether the token is dead, so that it should be deleted unless it was registered after `since`; otherwise
            it may belong to another app, project or environment, which should be checked first.
        since: From when on the service knows the token to be dead, in seconds since 1970; None where it does not say.
    """

    def __init__(
        self, message: str, *, status: int = 410, gone: bool = True, since: float | None = None, **facts: Any
    ) -> None:
        super().__init__(message, status=status, **facts)
        self.gone = gone
        self.since = since


class UnsupportedMediaType(StatusError):
    """415: the service does not take this content type."""


class RateLimited(StatusError):
    """429: a rate limit was exceeded; `retry_after` says for how long, `limit` which one, `scope` whose."""

    def __init__(self, message: str, *, status: int = 429, scope: str = "", **facts: Any) -> None:
        super().__init__(message, status=status, **facts)
        self._scope = scope

    @property
    def scope(self) -> str:
        """Whose limit it is, as far as the answer says: "device", "credential", or "" where it does not say.

        A limit that the answer names (in `limit`, or in `details` as FCM's QuotaFailure does) is the credential's,
        unless the answer speaks of a device.
        """
        if self._scope:
            return self._scope
        if "device" in f"{self.code} {self.message} {self.limit} {self.details}".lower():
            return "device"
        return "credential" if self.limit or self.details else ""


class ServerError(StatusError):
    """5xx: the service failed."""


class BadGateway(ServerError):
    """502: a gateway got no usable answer."""


class ServiceUnavailable(ServerError):
    """503: the service is down or overloaded."""


class GatewayTimeout(ServerError):
    """504: a gateway got no answer in time."""


class ProtocolError(ServiceError):
    """An answer that cannot be understood."""


class UnexpectedContent(ProtocolError):
    """A success status with a body that is neither an event stream nor JSON.

    Attributes:
        content_type: The Content-Type header, as it came.
        first_bytes: The beginning of the body.
    """

    def __init__(self, message: str, *, content_type: str, first_bytes: bytes) -> None:
        super().__init__(message)
        self.content_type = content_type
        self.first_bytes = first_bytes


class MalformedEvent(ProtocolError):
    """An event or a body that is not the JSON it should be.

    Attributes:
        data: The event's data, or the body, as text.
    """

    def __init__(self, message: str, *, data: str = "") -> None:
        super().__init__(message)
        self.data = data


class EventTooLarge(ProtocolError):
    """An event, comments included, grew beyond the bound.

    Attributes:
        limit: The bound in bytes, `max_event_bytes`.
    """

    def __init__(self, message: str, *, limit: int) -> None:
        super().__init__(message)
        self.limit = limit


class NetworkError(GenesysStreamError):
    """The network failed; the service may not even know."""

    retryable = True


class ConnectFailed(NetworkError):
    """No connection could be made, so nothing was sent."""


class ConnectionLost(NetworkError):
    """The connection broke after the request may have been sent."""


class AmbiguousDelivery(NetworkError):
    """A push was sent and its answer was lost: it may have been delivered, or not.

    Attributes:
        attempts: How often the request went out.
    """

    def __init__(self, message: str, *, attempts: int = 1) -> None:
        super().__init__(message)
        self.attempts = attempts


class StreamTruncated(NetworkError):
    """A stream ended with neither `[DONE]` nor a finish reason for every choice; see `partial`."""


class PoolExhausted(NetworkError):
    """Every connection that the HTTP client may open is in use."""


class TimeoutExpired(NetworkError, TimeoutError):
    """A timeout of `Timeouts` passed.

    Attributes:
        seconds: What the timeout was set to.
    """

    def __init__(self, message: str, *, seconds: float | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds


class FirstTokenTimeout(TimeoutExpired):
    """No token came within `Timeouts.first_token` seconds of the call, retries included."""


class TokenIdleTimeout(TimeoutExpired):
    """No token came for `Timeouts.token_idle` seconds, though the connection may have been alive."""


class TransportIdleTimeout(TimeoutExpired):
    """Not a byte, not even a heartbeat, came for `Timeouts.transport_idle` seconds."""


class DeadlineExceeded(TimeoutExpired):
    """The call was not over within `Timeouts.total` seconds."""


def strip_traceback(error: E) -> E:
    """Remove the tracebacks of an exception, and of its causes, before it is raised elsewhere; returns it.

    The frames in which an answer is read have its text in their locals, and some tools report all locals.
    """
    current: BaseException | None = error
    while current is not None and current.__traceback__ is not None:
        current.__traceback__ = None
        current = current.__cause__ or current.__context__
    return error


# Tracebacks show a class under the name by which it is imported.
for _value in list(globals().values()):
    if isinstance(_value, type) and issubclass(_value, GenesysStreamError):
        _value.__module__ = "genesys_stream"
