"""Timeouts, and what is measured of a stream or a request."""

from __future__ import annotations

from typing import TypeAlias

from attrs import frozen

from .. import _errors
from ._checks import check_seconds


@frozen(kw_only=True)
class Timeouts:
    """The timeouts of a call, in seconds; None switches one off.

    Attributes:
        connect: For a connection to be made.
        write: For a part of the request to be taken.
        pool: For a connection of the pool to be free.
        first_token: From the call to the first non-empty delta of a stream, retries included.
        token_idle: Between one delta and the next; heartbeats do not count.
        transport_idle: Between one byte and the next; heartbeats count.
        answer: For a whole completion, which is generated before it is sent, to begin to arrive.
        push: For the answer to a push.
        total: For the whole call.

    Raises:
        InvalidArgument: A timeout is neither None nor a number of seconds from 0.
    """

    connect: float | None = 5.0
    write: float | None = 30.0
    pool: float | None = 10.0
    first_token: float | None = 120.0
    token_idle: float | None = 60.0
    transport_idle: float | None = 120.0
    answer: float | None = 600.0
    push: float | None = 30.0
    total: float | None = None

    def __attrs_post_init__(self) -> None:
        for name in Timeouts.__annotations__:
            seconds = getattr(self, name)
            if seconds is not None:
                check_seconds(name, seconds)


@frozen
class Timing:
    """How a stream flowed, in seconds of a monotonic clock.

    Attributes:
        first_token: From the call to the first non-empty delta; None before it came.
        chunks: How many chunks came.
        mean_gap: Between one arrival of text and the next, on average.
        max_gap: The longest of these gaps.
        last_activity: The clock's time of the last byte, heartbeats included.
    """

    first_token: float | None = None
    chunks: int = 0
    mean_gap: float = 0.0
    max_gap: float = 0.0
    last_activity: float | None = None


@frozen
class ExchangeStarted:
    """A request is about to be sent, for `on_event` hooks; an `Exchange` follows.

    Attributes:
        method: The HTTP method.
        url: The URL.
    """

    method: str
    url: str


@frozen
class Exchange:
    """One request and what came of it, for `on_event` hooks.

    Attributes:
        method: The HTTP method.
        url: The URL.
        status: The HTTP status; None when there was no answer.
        error: Why there was no answer.
        seconds: How long it took, to the headers of a stream or to the end of another body.
        correlation_id: The correlation header, which Genesys Cloud support asks for.
    """

    method: str
    url: str
    status: int | None
    error: _errors.NetworkError | None
    seconds: float
    correlation_id: str = ""


ClientEvent: TypeAlias = ExchangeStarted | Exchange
"""What the `on_event` hook of a client is called with."""
