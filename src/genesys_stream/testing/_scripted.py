"""What a route can be scripted to answer, as frozen values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Literal, TypeAlias

from attrs import frozen

from ._bodies import event
from ._values import Answer, Piece

EVENT_STREAM = (("Content-Type", "text/event-stream"), ("Cache-Control", "no-store"))
JSON = ("Content-Type", "application/json")
DONE = event("[DONE]")


@frozen
class Cut:
    """A stream breaks off: the connection drops.

    Attributes:
        after_events: After how many events on the wire; the first one carries only the role.
        inside: Half of one more event is sent: cut anywhere, or in the middle of a UTF-8 character.
        reset: By a reset (RST) rather than by a close (FIN).
    """

    after_events: int
    inside: Literal["event", "character"] | None = None
    reset: bool = False


@frozen
class Stall:
    """A stream sends nothing for a while, then goes on.

    Attributes:
        after_events: After how many events on the wire; the first one carries only the role.
        seconds: For how long.
        heartbeat_every: Seconds between comments that keep the connection alive; None for none.
    """

    after_events: int
    seconds: float
    heartbeat_every: float | None = None


@frozen
class ErrorEvent:
    """A stream ends with an error instead of its end.

    Attributes:
        after_events: After how many events on the wire; the first one carries only the role.
        error: What the event's `error` field holds.
        event_name: The event type, "error" with some gateways; "" sends none.
    """

    after_events: int
    error: Mapping[str, Any]
    event_name: str = ""


@frozen
class Say:
    """A completion: streamed if the request asks for it, whole otherwise.

    Attributes:
        tokens: The deltas, in order; None for the default text, or for none where there are tool calls.
        every: Seconds between two deltas; None for the fake's `token_interval`.
        first_after: Seconds between the role and the first delta.
        headers_after: Seconds before the status line.
        finish_reason: Why the model stopped; None leaves it out.
        done: Whether `[DONE]` ends the stream.
        faults: What goes wrong on the way.
        tool_calls: The tools that the model calls, after the text: pairs of a name and of arguments as JSON text.
    """

    tokens: tuple[str, ...] | None = None
    every: float | None = None
    first_after: float = 0.0
    headers_after: float = 0.0
    finish_reason: str | None = "stop"
    done: bool = True
    faults: tuple[Cut | Stall | ErrorEvent, ...] = ()
    tool_calls: tuple[tuple[str, str], ...] = ()


@frozen
class Fail:
    """An error in the shape of the route's errors, with a correlation id of its own.

    Attributes:
        status: The HTTP status.
        code: The service's code; "" for the usual one of the status.
        message: The service's message; "" for the usual one of the status.
        details: The body's details.
        limit: The limit that was hit: key, namespace and value.
        headers: Further headers.
    """

    status: int
    code: str = ""
    message: str = ""
    details: tuple[Mapping[str, Any], ...] = ()
    limit: Mapping[str, Any] | None = None
    headers: tuple[tuple[str, str], ...] = ()


@frozen
class Handle:
    """The request is handled as usual, and something happens before the answer's status line.

    Attributes:
        before: Pauses in seconds, or `Drop`, which loses the answer.
    """

    before: tuple[Piece, ...] = ()


Scripted: TypeAlias = Answer | Say | Fail | Handle


def too_many_requests(retry_after: float | datetime | str | None, limit: Mapping[str, Any] | None = None) -> Fail:
    """Build the platform's 429, its message included."""
    if retry_after is None:
        return Fail(429, limit=limit)
    header = retry_after_header(retry_after)
    seconds = header
    if isinstance(retry_after, datetime):
        left = (retry_after - datetime.now(retry_after.tzinfo)).total_seconds()
        seconds = str(max(0, math.ceil(left)))
    message = f"Rate limit exceeded the maximum. Retry the request in [{seconds}] seconds"
    code = "too.many.requests.retry.after"
    return Fail(429, code, message, limit=limit, headers=(("Retry-After", header),))


def too_large(size: int, limit: int) -> Fail:
    """Build the platform's 413, its message included."""
    return Fail(413, message=f"The request is over the size limit. Content-Length: {size}, Maximum bytes: {limit}")


def retry_after_header(value: float | datetime | str) -> str:
    """Format the value of a Retry-After header."""
    if isinstance(value, datetime):
        return format_datetime(value.astimezone(UTC), usegmt=True)
    return value if isinstance(value, str) else f"{value:g}"
