"""Requests, replies, and the one place where a status becomes an exception."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from attrs import field, frozen

from .. import _errors
from .._errors import StatusError
from .._wire import kind

_EXCERPT = 200

_BY_STATUS: dict[int, type[StatusError]] = {
    401: _errors.AuthenticationError,
    403: _errors.PermissionDenied,
    404: _errors.NotFound,
    408: _errors.RequestTimeout,
    409: _errors.Conflict,
    413: _errors.PayloadTooLarge,
    415: _errors.UnsupportedMediaType,
    429: _errors.RateLimited,
    502: _errors.BadGateway,
    503: _errors.ServiceUnavailable,
    504: _errors.GatewayTimeout,
}

# Error objects inside a 200 stream have no status; these are the words that gateways use instead of one.
_BY_WORD: tuple[tuple[str, int], ...] = (
    ("too.many.requests", 429),
    ("rate_limit", 429),
    ("rate.limit", 429),
    ("insufficient_quota", 429),
    ("throttl", 429),
    ("resource_exhausted", 429),
    ("overloaded", 503),
    ("unavailable", 503),
    ("authentication", 401),
    ("bad.credentials", 401),
    ("credentials.expired", 401),
    ("invalid_api_key", 401),
    ("unauthorized", 401),
    ("not.authorized", 403),
    ("missing.permissions", 403),
    ("missing.any.permissions", 403),
    ("permission", 403),
    ("not.found", 404),
    ("not_found", 404),
    ("bad_gateway", 502),
    ("timeout", 504),
    ("content_filter", 400),
    ("context_length", 400),
    ("invalid", 400),
    ("bad.request", 400),
)


@frozen
class Request:
    """What is to be sent.

    Attributes:
        method: The HTTP method.
        url: The absolute URL.
        headers: The headers, but for the access token.
        content: The body.
        needs_token: Whether it goes out with an access token.
        token_margin: For how many seconds that token must still be good.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    content: bytes = field(default=b"", repr=False)
    needs_token: bool = True
    token_margin: float = 0.0


def checked_headers(argument: str, headers: object) -> dict[str, str]:
    """Check headers that came from a caller, so that none can smuggle in another (RFC 9110, section 5).

    Raises:
        InvalidArgument: A name is no token, or a value has characters that no header has.
    """
    if not isinstance(headers, Mapping):
        raise _errors.InvalidArgument(argument, f"must be a mapping of names to values, not {kind(headers)}")
    for name, value in headers.items():
        if not isinstance(name, str) or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise _errors.InvalidArgument(argument, "must have header names of letters, digits and hyphens")
        if not isinstance(value, str):
            raise _errors.InvalidArgument(f"{argument}[{name!r}]", f"must be a string, not {kind(value)}")
        if not re.fullmatch(r"[\t -~]*", value):
            raise _errors.InvalidArgument(f"{argument}[{name!r}]", "must be printable ASCII without line ends")
    return dict(headers)


@frozen
class Reply:
    """What came back.

    Attributes:
        status: The HTTP status.
        headers: The headers, their names in lower case.
        body: The body; empty where a successful reply is read as a stream.
        token: The access token that the request carried.
        at: When it came, in seconds since 1970.
    """

    status: int
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes = field(default=b"", repr=False)
    token: str | None = field(default=None, repr=False)
    at: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the status is a success."""
        return 200 <= self.status < 300  # noqa: PLR2004 - the success class of RFC 9110, section 15

    @property
    def correlation_id(self) -> str:
        """The header that Genesys Cloud support asks for, under either of its names."""
        return self.headers.get("inin-correlation-id") or self.headers.get("genesys-correlation-id") or ""

    @property
    def media_type(self) -> str:
        """The content type without its parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def retry_after(self) -> float | None:
        """The seconds to wait that Retry-After asks for, in either of its forms (RFC 9110, section 10.2.3).

        A date is measured against the reply's own Date, so that a clock that is wrong on either side does no harm.
        """
        value = self.headers.get("retry-after", "").strip()
        if re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,18})?", value):
            return float(value)
        until = _epoch_seconds(value)
        if until is None:
            return None
        since = _epoch_seconds(self.headers.get("date", ""))
        return max(0.0, until - (self.at if since is None else since))


def _epoch_seconds(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def status_error(reply: Reply) -> StatusError:
    """Make the exception that an unsuccessful reply stands for."""
    payload = _as_object(reply.body)
    fields = _fields(payload)
    if not fields["message"]:
        fields["message"] = _plain_message(reply)
    return _class_for(reply.status)(
        status=reply.status,
        body=reply.body,
        retry_after=_wait_asked_for(reply, fields["message"]),
        correlation_id=reply.correlation_id or fields["context_id"],
        **fields,
    )


def stream_error(payload: Any, body: str) -> StatusError:
    """Make the exception that an error object inside a stream, or in a 200 body, stands for."""
    fields = _fields(payload if isinstance(payload, Mapping) else {"message": payload if isinstance(payload, str) else ""})
    status = _status_in(payload)
    return _class_for(status)(
        status=status,
        body=body.encode("utf-8", "replace"),
        retry_after=_wait_in_words(fields["message"]) if status == 429 else None,  # noqa: PLR2004 - Too Many Requests
        correlation_id=fields["context_id"],
        in_stream=True,
        **{**fields, "message": fields["message"] or "the stream broke off with an error event"},
    )


def is_error_object(payload: Mapping[str, Any]) -> bool:
    """Tell an error object from a chunk: an `error` that is not null, or Genesys Cloud's own error body."""
    if payload.get("error"):
        return True
    if "choices" in payload:
        return False
    status = payload.get("status")
    return (isinstance(status, int) and status >= 400) or ("code" in payload and "message" in payload)  # noqa: PLR2004 - the first error status


def _class_for(status: int) -> type[StatusError]:
    known = _BY_STATUS.get(status)
    if known is not None:
        return known
    return _errors.ServerError if status >= 500 else _errors.BadRequest if status >= 400 else StatusError  # noqa: PLR2004 - the status classes of RFC 9110, section 15


def _as_object(body: bytes) -> Mapping[str, Any]:
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}


def _fields(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Read the three shapes: Genesys Cloud's error body, the OAuth one, and OpenAI's nested one."""
    inner = payload.get("error")
    if isinstance(inner, Mapping):
        payload = {**payload, **inner}
        inner = None
    details = payload.get("details")
    limit = payload.get("limit")
    code = payload.get("code") or inner or payload.get("type")
    return {
        "code": str(code) if isinstance(code, (str, int)) else "",
        "message": _first_text(payload, "message", "error_description", "description", "detail")
        or (inner if isinstance(inner, str) else ""),
        "context_id": _first_text(payload, "contextId"),
        "limit": dict(limit) if isinstance(limit, Mapping) else None,
        "details": tuple(details) if isinstance(details, list) else (),
    }


def _first_text(payload: Mapping[str, Any], *names: str) -> str:
    return next((payload[name] for name in names if isinstance(payload.get(name), str) and payload[name]), "")


def _plain_message(reply: Reply) -> str:
    excerpt = reply.body[:_EXCERPT].decode("utf-8", "replace").strip()
    return f"the service answered {reply.media_type or 'without a content type'}: {excerpt!r}" if excerpt else "no words"


def _wait_asked_for(reply: Reply, message: str) -> float | None:
    asked = reply.retry_after
    return _wait_in_words(message) if asked is None and reply.status == 429 else asked  # noqa: PLR2004 - Too Many Requests


def _wait_in_words(message: str) -> float | None:
    """Genesys Cloud's 429 says it in its message as well, and gateways have been seen to drop the header."""
    found = re.search(r"[Rr]etry the request in \[(\d{1,9})\] seconds", message)
    return float(found[1]) if found else None


def _status_in(payload: Any) -> int:
    if not isinstance(payload, Mapping):
        return 500
    inner = payload.get("error")
    source = {**payload, **inner} if isinstance(inner, Mapping) else payload
    for name in ("status", "status_code", "code"):
        value = source.get(name)
        if isinstance(value, str) and re.fullmatch(r"[45]\d\d", value):
            value = int(value)
        if isinstance(value, int) and 400 <= value < 600:  # noqa: PLR2004 - the error statuses of RFC 9110, section 15
            return value
    words = " ".join(str(source.get(name, "")) for name in ("code", "type", "status", "error")).lower()
    return next((status for word, status in _BY_WORD if word in words), 500)
