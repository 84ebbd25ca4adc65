"""Requests, replies, and the one place where a status becomes an exception."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from attrs import field, frozen

from ... import _errors
from ..._errors import StatusError
from ..._wire import join_surrogates, type_name

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
# They are compared in lower case with underscores between them, and the first that is found decides.
_BY_WORD: tuple[tuple[str, int], ...] = (
    ("too_many_requests", 429),
    ("rate_limit", 429),
    ("insufficient_quota", 429),
    ("throttl", 429),
    ("resource_exhausted", 429),
    ("overloaded", 503),
    ("unavailable", 503),
    ("authentication", 401),
    ("bad_credentials", 401),
    ("credentials_expired", 401),
    ("invalid_api_key", 401),
    ("unauthorized", 401),
    ("not_authorized", 403),
    ("missing_any_permissions", 403),
    ("permission", 403),
    ("access_denied", 403),
    ("feature_toggle_disabled", 403),
    ("not_found", 404),
    ("too_large", 413),
    ("unsupported_media_type", 415),
    ("bad_gateway", 502),
    ("timeout", 504),
    ("content_filter", 400),
    ("context_length", 400),
    ("invalid", 400),
    ("bad_request", 400),
)

# These say where a body ends, which the HTTP library knows better (RFC 9112, section 6).
_FRAMING = frozenset({"Content-Length", "Transfer-Encoding"})


@frozen
class Request:
    """A request to send.

    Attributes:
        method: The HTTP method.
        url: The absolute URL.
        headers: The headers, but for the access token.
        content: The body.
        needs_token: Whether it is sent with an access token.
        token_margin: For how many seconds that token must still be valid.
        long: Whether the answer may take long, as a completion does, and must not hold up short requests.
        public_url: What logs and events show in place of a URL that is itself a secret.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    content: bytes = field(default=b"", repr=False)
    needs_token: bool = True
    token_margin: float = 0.0
    long: bool = False
    public_url: str = ""

    @property
    def shown_url(self) -> str:
        """What logs and events show."""
        return self.public_url or self.url


def checked_headers(argument: str, headers: object) -> dict[str, str]:
    """Check a caller's headers, so that none can inject another (RFC 9110, section 5).

    Returns:
        The headers, their names in one spelling, so that a later one replaces an earlier one whatever its case.

    Raises:
        InvalidArgument: A name is no token, or a value has characters that no header has.
    """
    if not isinstance(headers, Mapping):
        raise _errors.InvalidArgument(argument, f"must be a mapping of names to values, not {type_name(headers)}")
    checked: dict[str, str] = {}
    for name, value in headers.items():
        if not isinstance(name, str) or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise _errors.InvalidArgument(argument, "must have header names of letters, digits and hyphens")
        if not isinstance(value, str):
            raise _errors.InvalidArgument(f"{argument}[{name!r}]", f"must be a string, not {type_name(value)}")
        if not re.fullmatch(r"[\t -~]*", value):
            raise _errors.InvalidArgument(f"{argument}[{name!r}]", "must be printable ASCII without line ends")
        if name.title() in _FRAMING:
            raise _errors.InvalidArgument(f"{argument}[{name!r}]", "is for the HTTP library to set")
        checked[name.title()] = value.strip()
    return checked


@frozen
class Reply:
    """The answer to a request.

    Attributes:
        status: The HTTP status.
        headers: The headers, their names in lower case.
        body: The body; empty where a successful reply is read as a stream.
        token: The access token that the request carried.
        at: When it arrived, in seconds since 1970.
    """

    status: int
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    token: str | None = field(default=None, repr=False)
    at: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the status is a success."""
        return 200 <= self.status < 300

    @property
    def correlation_id(self) -> str:
        """The correlation id, which Genesys Cloud support asks for, from either of its headers."""
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
        if re.fullmatch(r"[0-9]+(\.[0-9]*)?", value):
            return float(value)
        until = _epoch_seconds(value)
        if until is None:
            return None
        since = _epoch_seconds(self.headers.get("date", ""))
        return max(0.0, until - (self.at if since is None else since))


def _epoch_seconds(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
        # The asctime form names no zone and means UTC (RFC 9110, section 5.6.7).
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def status_error(reply: Reply) -> StatusError:
    """Return the exception for an unsuccessful reply."""
    payload = _as_object(reply.body)
    message = _message(payload) or _plain_message(reply)
    if 300 <= reply.status < 400 and "location" in reply.headers:
        message = f"redirected to {reply.headers['location']!r}, which is not followed: {message}"
    asked = reply.retry_after
    return _error(
        reply.status,
        payload,
        message,
        body=reply.body,
        retry_after=_wait_in_words(reply.status, message) if asked is None else asked,
        correlation_id=reply.correlation_id,
    )


def stream_error(payload: Any, body: str) -> StatusError:
    """Return the exception for an error object inside a stream, or in the body of a 200."""
    if not isinstance(payload, Mapping):
        payload = {"message": payload}
    payload = _unnested(payload)
    status = _status_in(payload)
    message = _message(payload) or "the stream broke off with an error event"
    return _error(
        status,
        payload,
        message,
        body=body.encode("utf-8", "replace"),
        retry_after=_wait_in_words(status, message),
        in_stream=True,
    )


def is_error_object(payload: Mapping[str, Any]) -> bool:
    """Return whether an object is an error, not a chunk: it has an `error`, or is Genesys Cloud's own error body."""
    if payload.get("error"):
        return True
    if "choices" in payload:
        return False
    status = payload.get("status")
    return (isinstance(status, int) and status >= 400) or ("code" in payload and "message" in payload)


def _class_for(status: int) -> type[StatusError]:
    known = _BY_STATUS.get(status)
    if known is not None:
        return known
    return _errors.ServerError if status >= 500 else _errors.BadRequest if status >= 400 else StatusError


def _error(
    status: int,
    payload: Mapping[str, Any],
    message: str,
    *,
    body: bytes,
    retry_after: float | None,
    correlation_id: str = "",
    in_stream: bool = False,
) -> StatusError:
    context_id = _text(payload, "contextId")
    limit, details = payload.get("limit"), payload.get("details")
    return _class_for(status)(
        message,
        status=status,
        code=_code(payload),
        context_id=context_id,
        correlation_id=correlation_id or context_id,
        limit=limit if isinstance(limit, Mapping) else None,
        details=tuple(details) if isinstance(details, list) else (),
        body=body,
        retry_after=retry_after,
        in_stream=in_stream,
    )


def _as_object(body: bytes) -> Mapping[str, Any]:
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return _unnested(payload) if isinstance(payload, dict) else {}


def _unnested(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the error's fields at the top, as Genesys Cloud and OAuth have them; OpenAI nests them in `error`."""
    inner = payload.get("error")
    return {**payload, "error": None, **inner} if isinstance(inner, Mapping) else payload


def _code(payload: Mapping[str, Any]) -> str:
    words = [payload.get(name) for name in ("code", "error", "type")]
    found = [join_surrogates(str(word)) for word in words if word and _is_word(word)]
    # A number is mostly the status over again, and a word says more.
    return next((word for word in found if not word.isdecimal()), found[0] if found else "")


def _is_word(value: object) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool)


def _message(payload: Mapping[str, Any]) -> str:
    return _text(payload, "message", "error_description", "description", "detail", "error")


def _text(payload: Mapping[str, Any], *names: str) -> str:
    texts = (payload.get(name) for name in names)
    return next((join_surrogates(text) for text in texts if isinstance(text, str) and text), "")


def _plain_message(reply: Reply) -> str:
    excerpt = reply.body[:_EXCERPT].decode("utf-8", "replace").strip()
    if not excerpt:
        return "the service answered without a word"
    return f"the service answered {reply.media_type or 'without a content type'}: {excerpt!r}"


def _wait_in_words(status: int, message: str) -> float | None:
    """Return the wait that Genesys Cloud's 429 names in its message, for gateways that drop the Retry-After header."""
    found = re.search(r"[Rr]etry the request in \[([0-9]+)\] seconds", message)
    return float(found[1]) if found and status == 429 else None


def _status_in(payload: Mapping[str, Any]) -> int:
    """Return the status of an error object without one, from a number or the words in it."""
    for name in ("status", "status_code", "code"):
        value = payload.get(name)
        if isinstance(value, str) and re.fullmatch(r"[45][0-9][0-9]", value):
            value = int(value)
        if isinstance(value, int) and 400 <= value < 600:
            return value
    named = [payload.get(name) for name in ("code", "type", "status", "error")]
    words = " ".join(word for word in named if isinstance(word, str))
    spelt = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", words).lower())
    return next((status for word, status in _BY_WORD if word in spelt), 500)
