"""The bodies that Genesys Cloud answers with, field by field as the platform sends them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

# Codes and messages of the platform's errors by status, from its public SDKs.
ERRORS: dict[int, tuple[str, str]] = {
    400: ("bad.request", "The request could not be understood by the server due to malformed syntax."),
    401: ("bad.credentials", "Invalid login credentials."),
    403: ("missing.permissions", "Unable to perform the requested action. You are missing a required permission."),
    404: ("not.found", "The requested resource was not found."),
    405: ("method.not.allowed", "The method is not allowed on this resource."),
    408: ("request.timeout", "The client did not produce a request within the server timeout limit."),
    409: ("conflict", "The request conflicts with the current state of the resource."),
    413: ("request.entity.too.large", "The request is over the size limit."),
    415: ("unsupported.media.type", "Unsupported Media Type - Unsupported or incorrect media type."),
    429: ("too.many.requests", "Rate limit exceeded the maximum."),
    500: ("internal.server.error", "The server encountered an unexpected condition."),
    502: ("bad.gateway", "A gateway received an invalid response."),
    503: ("service.unavailable", "Service Unavailable - The server is currently unavailable."),
    504: ("request.timeout", "The request timed out."),
}

# RFC 6749, section 5.2, where the platform's own code is not known.
OAUTH_ERRORS: dict[int, tuple[str, str]] = {
    400: ("invalid_request", "bad request"),
    401: ("invalid_client", "authentication failed"),
    503: ("temporarily_unavailable", "service unavailable"),
}


def encode(value: object) -> bytes:
    """Encode compactly; text stays UTF-8, except where half a surrogate pair can only be escaped."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def error_body(
    status: int,
    code: str,
    message: str,
    *,
    context_id: str,
    details: Sequence[Mapping[str, Any]] = (),
    limit: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Build an ErrorBody, the shape of every error of the Platform API."""
    body: dict[str, Any] = {
        "message": message,
        "code": code,
        "status": status,
        "contextId": context_id,
        "details": [dict(detail) for detail in details],
        "errors": [],
    }
    if limit is not None:
        body["limit"] = dict(limit)
    return body


def oauth_error(error: str, description: str) -> dict[str, Any]:
    """Build an error of the token endpoint, which sends its description twice."""
    return {"error": error, "description": description, "error_description": description}


def openai_error(status: int, code: str, message: str) -> dict[str, Any]:
    """Build an error as OpenAI's clients expect it on `/v1/chat/completions`."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def event(data: object, *, name: str = "") -> bytes:
    """Encode one server-sent event; data that is not text becomes JSON."""
    lines = data.encode() if isinstance(data, str) else encode(data)
    head = f"event: {name}\n".encode() if name else b""
    return head + b"".join(b"data: %b\n" % line for line in lines.split(b"\n")) + b"\n"
