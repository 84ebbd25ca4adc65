"""The glue: a stream, a coalescer and a sink, made into a relay that is async if the stream is."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import Any, Protocol, overload

from . import _errors
from ._core.http.retry import Retry
from ._core.relaying.coalescers import Coalescer
from ._core.relaying.limits import Account
from ._core.relaying.relay import GIVE_UP_AFTER, MAX_BACKLOG_BYTES, Desk
from ._sync.relay import Relay
from ._values import Batch, CompletionChunk, RelayReport
from ._values._checks import check_hook, check_kind, check_seconds, check_whole
from ._wire import type_name

DEFAULT_RETRY = Retry(attempts=8)


class Sink(Protocol):
    """What a relay delivers to: any callable, or coroutine function, that takes a `Batch`.

    What it returns is kept in the report.
    What it raises is kept, too: an exception of this library that is `retryable` has the text sent again, as late as
    its `retry_after` says; after any other exception the text is listed as undelivered.

    A sink may also have
    a method `fit(batch) -> int`, which says how many characters of a batch's text it can take at once;
    a number `history` of characters of the text before it that each batch should bring along;
    a `budget`, from which each push is booked ahead, as that of `client.push.to(...)`;
    and a `profile`, a `Profile` that says how to gather text where `relay` is not told.
    """

    def __call__(self, batch: Batch, /) -> object:
        """Deliver a batch."""
        ...


@overload
def relay(
    source: AsyncIterable[CompletionChunk] | AsyncIterable[str],
    sink: Sink,
    *,
    coalescer: Coalescer | None = ...,
    stream_id: str | None = ...,
    retry: Retry | None = ...,
    give_up_after: float = ...,
    grace: float = ...,
    max_backlog_bytes: int = ...,
    on_event: Callable[[object], None] | None = ...,
) -> Awaitable[RelayReport]: ...


@overload
def relay(
    source: Iterable[CompletionChunk] | Iterable[str],
    sink: Sink,
    *,
    coalescer: Coalescer | None = ...,
    stream_id: str | None = ...,
    retry: Retry | None = ...,
    give_up_after: float = ...,
    grace: float = ...,
    max_backlog_bytes: int = ...,
    on_event: Callable[[object], None] | None = ...,
) -> RelayReport: ...


def relay(
    source: Any,
    sink: Sink,
    *,
    coalescer: Coalescer | None = None,
    stream_id: str | None = None,
    retry: Retry | None = None,
    give_up_after: float = GIVE_UP_AFTER,
    grace: float = 5.0,
    max_backlog_bytes: int = MAX_BACKLOG_BYTES,
    on_event: Callable[[object], None] | None = None,
) -> Any:
    """Relay what is said to a phone, or to any other sink, while it is being said.

    The source is read as fast as it speaks, whatever the sink does; text that waits for the sink is sent together.
    When the source ends, fails or is interrupted, what it said before is delivered first.

    Args:
        source: A stream of this library, or any (async) iterable of `CompletionChunk` or of `str`.
        sink: `client.push.to(...)`, or any callable that takes a `Batch`; for an async source it may be async.
        coalescer: Decides when text is due. By default the first text goes out at once; then text is gathered for the
            window of the sink's profile, and for longer where its budget is spent; for 0.2 s where the sink has no
            profile.
        stream_id: Names the stream in every payload; a new ULID by default.
        retry: How patient to be with a sink that fails.
        give_up_after: For how many seconds the end of the stream is tried against a sink that fails.
        grace: For how many seconds what was said is still delivered after a cancellation or Ctrl-C. A push that hangs
            is given up then; a blocking sink of your own can only be waited for.
        max_backlog_bytes: How many bytes of text may wait for the sink before the source is no longer read.
        on_event: Told of each `Delivery` and `Undelivered`, and at last of the `RelayReport`. What it raises is logged,
            and changes nothing.

    Returns:
        The report; for an async source, an awaitable of it.

    Raises:
        BaseException: What ended the source before its end, or interrupted the relay; its `report` says what was
            delivered. What the sink raises is not raised here: see `RelayReport.undelivered`.
        InvalidArgument: An argument will not do.
    """
    is_async = hasattr(source, "__aiter__")
    if not is_async and (isinstance(source, (str, bytes, type)) or not hasattr(source, "__iter__")):
        raise _errors.InvalidArgument(
            "source", f"must be an (async) iterable of chunks or of strings, not {type_name(source)}"
        )
    if not callable(sink):
        raise _errors.InvalidArgument("sink", f"must be callable with a Batch, not {type_name(sink)}")
    if not is_async and (inspect.iscoroutinefunction(sink) or inspect.iscoroutinefunction(type(sink).__call__)):
        raise _errors.InvalidArgument(
            "sink", "must not be async where the source is not; hand both over async, or neither"
        )
    _refuse_spent(source)
    if coalescer is not None and (isinstance(coalescer, type) or not isinstance(coalescer, Coalescer)):
        raise _errors.InvalidArgument("coalescer", "must have the members of Coalescer: due, feed, tick and close")
    check_kind("stream_id", stream_id, str, optional=True)
    check_kind("retry", retry, Retry, optional=True)
    check_seconds("give_up_after", give_up_after, endless=True)
    check_seconds("grace", grace)
    check_whole("max_backlog_bytes", max_backlog_bytes)
    check_hook("on_event", on_event)
    budget: Account | None = getattr(sink, "budget", None)
    if coalescer is None:
        from ._core.relaying.dispatch import dispatcher

        coalescer, budget = dispatcher(getattr(sink, "profile", None), budget)
    desk = Desk(
        coalescer,
        stream_id=stream_id or new_stream_id(),
        fit=getattr(sink, "fit", None),
        history=getattr(sink, "history", 0),
        budget=budget,
        retry=retry or DEFAULT_RETRY,
        give_up_after=give_up_after,
        max_backlog_bytes=max_backlog_bytes,
    )
    if is_async:
        from ._aio.relay import AsyncRelay

        return AsyncRelay(source, sink, desk, grace=grace, on_event=on_event).run()
    return Relay(source, sink, desk, grace=grace, on_event=on_event).run()


def _refuse_spent(source: object) -> None:
    if getattr(source, "committed", False) is True:
        msg = "the stream was read before, so that the beginning of its text is gone; relay a fresh one"
        raise _errors.StreamStateError(msg)


_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_stream_id() -> str:
    """Make a ULID: sortable by time, and unlike any other."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))
