"""The relay: a stream, and a sink or several, with a coalescer between; async if the stream is."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from typing_extensions import TypedDict, Unpack

from . import _errors
from ._core.http.retry import Retry
from ._core.relaying.coalescers.basic import TimeSize
from ._core.relaying.coalescers.checks import check_coalescer
from ._core.relaying.coalescers.protocol import Coalescer
from ._core.relaying.relay import GIVE_UP_AFTER, MAX_BACKLOG_BYTES, RelayState
from ._core.relaying.sink import AsyncSink, Sink
from ._outlets import Outlet, RelaySettings
from ._sync.relay import Relay
from ._values import Batch, CompletionChunk, RelayEvent, RelayReport, RelayStarted
from ._values._checks import check_hook, check_kind, check_seconds, check_whole, hint_at
from ._wire import type_name

if TYPE_CHECKING:
    from ._aio.relay import AsyncRelay

DEFAULT_RETRY = Retry(attempts=8)

AnySource: TypeAlias = "Iterable[CompletionChunk] | Iterable[str]"
AnyAsyncSource: TypeAlias = "AsyncIterable[CompletionChunk] | AsyncIterable[str]"
AnySink: TypeAlias = "Sink | Callable[[Batch], object]"
AnyAsyncSink: TypeAlias = "AsyncSink | Callable[[Batch], object]"


class RelayOptions(TypedDict, total=False):
    """What `relay` and `relay_each` may be told, beside the source and the sinks.

    Attributes:
        coalescer: Says where to cut. By default the first text goes out at once; then text is gathered for the sink's
            `window`, and for longer where its limiter makes it wait; for 0.2 s where the sink has no window.
        stream_id: Names the stream in every payload; a new ULID by default.
        epoch: Which generation of the stream this is, from 1; receivers drop the text of lower ones.
        retry: The retry policy for a sink that fails; 8 attempts by default.
        give_up_after: For how many seconds the end of the stream is tried against a sink that fails; 300 by default.
        grace: For how many seconds what was said is still delivered after a cancellation or Ctrl-C; 5 by default. A
            push that hangs is given up then; a blocking sink of your own can only be waited for.
        max_backlog_bytes: How many bytes of text may wait for a sink before the source is no longer read; 1 MiB by
            default. With several sinks it is read on as long as one of them has room.
        strict: Whether to raise if text could not be delivered, with the report on the error; by default a warning is
            logged.
        on_event: Told of the `RelayStarted`, of each `Delivery` and `Undelivered`, and at last of the `RelayReport`.
            What it raises is logged, and changes nothing.
    """

    coalescer: Coalescer | None
    stream_id: str | None
    epoch: int
    retry: Retry | None
    give_up_after: float
    grace: float
    max_backlog_bytes: int
    strict: bool
    on_event: Callable[[RelayEvent], object] | None


@overload
def relay(
    source: AnyAsyncSource, sink: AnyAsyncSink, **options: Unpack[RelayOptions]
) -> Coroutine[Any, Any, RelayReport]: ...


@overload
def relay(source: AnySource, sink: AnySink, **options: Unpack[RelayOptions]) -> RelayReport: ...


def relay(source: Any, sink: Any, **options: Unpack[RelayOptions]) -> Any:
    """Relay what is said to a phone, or to any other sink, while it is being said.

    The source is read as fast as it speaks, whatever the sink does; text that waits for the sink is sent together.
    When the source ends, fails or is interrupted, what it said before is delivered first.

    Args:
        source: A stream of this library, or any (async) iterable of `CompletionChunk` or of `str`.
        sink: `client.push.to(...)`, a `Sink` or `AsyncSink` of your own, or any callable that takes a `Batch`: what it
            returns becomes the delivery's receipt; an exception of this library that is `retryable` has the text sent
            again, any other one lists it as undelivered. For an async source a callable may be async; one that blocks
            stops the event loop while it does.
        **options: See `RelayOptions`.

    Returns:
        The report; for an async source, a coroutine that returns it.

    Raises:
        BaseException: What ended the source before its end, or interrupted the relay; its `report` says what was
            delivered. What the sink raises is raised only with `strict`: see `RelayReport.undelivered`.
        InvalidArgument: An argument is invalid.
    """
    prepared = _prepare(source, {"sink": sink}, options)
    if isinstance(prepared, Relay):
        return prepared.run()[0]
    return _only_report(prepared)


async def _only_report(prepared: AsyncRelay) -> RelayReport:
    return (await prepared.run())[0]


@overload
def relay_each(
    source: AnyAsyncSource, sinks: Sequence[AnyAsyncSink], **options: Unpack[RelayOptions]
) -> Coroutine[Any, Any, tuple[RelayReport, ...]]: ...


@overload
def relay_each(
    source: AnySource, sinks: Sequence[AnySink], **options: Unpack[RelayOptions]
) -> tuple[RelayReport, ...]: ...


def relay_each(source: Any, sinks: Sequence[Any], **options: Unpack[RelayOptions]) -> Any:
    """Relay what is said to several sinks at once; the source is read once.

    Each sink has its own queue, pace and report, so that a slow one never slows another.

    Args:
        source: As for `relay`.
        sinks: At least one, each as for `relay`.
        **options: See `RelayOptions`; they hold for each sink.

    Returns:
        The reports in the order of the sinks; for an async source, a coroutine that returns them.

    Raises:
        BaseException: As `relay`; the exception's `reports` has one for each sink.
        InvalidArgument: An argument is invalid.
    """
    if isinstance(sinks, (str, bytes)) or not isinstance(sinks, Sequence):
        raise _errors.InvalidArgument("sinks", f"must be a list of sinks, not {type_name(sinks)}")
    if not sinks:
        raise _errors.InvalidArgument("sinks", "must be at least one")
    return _prepare(source, {f"sinks[{i}]": sink for i, sink in enumerate(sinks)}, options).run()


def _prepare(source: Any, sinks: dict[str, Any], options: RelayOptions) -> Relay | AsyncRelay:
    is_async = hasattr(source, "__aiter__")
    if not is_async and (isinstance(source, (str, bytes, type)) or not hasattr(source, "__iter__")):
        raise _errors.InvalidArgument(
            "source", f"must be an (async) iterable of chunks or of strings, not {type_name(source)}"
        )
    for argument, sink in sinks.items():
        _check_sink(argument, sink, is_async=is_async)
    if getattr(source, "committed", False) is True:
        msg = "the stream was read before, so that the beginning of its text is gone; relay a fresh one"
        raise _errors.StreamStateError(msg)
    chosen = _checked(options)
    stream_id = chosen.get("stream_id") or new_stream_id()
    outlets = [_outlet(sink, chosen, stream_id) for sink in sinks.values()]
    started = RelayStarted(stream_id, chosen.get("epoch", 1), len(outlets))
    settings = RelaySettings(started, chosen.get("grace", 5.0), chosen.get("strict", False), chosen.get("on_event"))
    if is_async:
        from ._aio.relay import AsyncRelay

        return AsyncRelay(source, outlets, settings)
    return Relay(source, outlets, settings)


def _check_sink(argument: str, sink: object, *, is_async: bool) -> None:
    if isinstance(sink, Sink if is_async else AsyncSink):
        problem = (
            "is blocking, and would stop the event loop; take one of an AsyncClient, or an AsyncSink"
            if is_async
            else "must not be async where the source is not; hand both over async, or neither"
        )
        raise _errors.InvalidArgument(argument, problem)
    if isinstance(sink, (Sink, AsyncSink)):
        return
    if not callable(sink):
        raise _errors.InvalidArgument(argument, f"must be a Sink, or callable with a Batch, not {type_name(sink)}")
    if not is_async and (inspect.iscoroutinefunction(sink) or inspect.iscoroutinefunction(type(sink).__call__)):
        raise _errors.InvalidArgument(
            argument, "must not be async where the source is not; hand both over async, or neither"
        )


def _checked(options: RelayOptions) -> RelayOptions:
    for name in options:
        if name not in RelayOptions.__annotations__:
            hint = hint_at(name, _OPTIONS) or f"it takes {', '.join(_OPTIONS)}"
            raise _errors.InvalidArgument(name, f"is not an option of a relay; {hint}")
    coalescer = options.get("coalescer")
    if coalescer is not None:
        check_coalescer("coalescer", coalescer)
    check_kind("stream_id", options.get("stream_id"), str, optional=True)
    check_whole("epoch", options.get("epoch", 1))
    check_kind("retry", options.get("retry"), Retry, optional=True)
    check_seconds("give_up_after", options.get("give_up_after", 0.0), endless=True)
    check_seconds("grace", options.get("grace", 0.0))
    check_whole("max_backlog_bytes", options.get("max_backlog_bytes", 1))
    check_kind("strict", options.get("strict", False), bool)
    check_hook("on_event", options.get("on_event"))
    return options


_OPTIONS = sorted(RelayOptions.__annotations__)


def _outlet(sink: Any, options: RelayOptions, stream_id: str) -> Outlet:
    is_channel = isinstance(sink, (Sink, AsyncSink))
    coalescer = options.get("coalescer")
    if coalescer is None:
        coalescer = sink.default_coalescer() if is_channel else TimeSize()
    state = RelayState(
        coalescer,
        stream_id=stream_id,
        epoch=options.get("epoch", 1),
        channel=sink if is_channel else None,
        retry=options.get("retry") or DEFAULT_RETRY,
        give_up_after=options.get("give_up_after", GIVE_UP_AFTER),
        max_backlog_bytes=options.get("max_backlog_bytes", MAX_BACKLOG_BYTES),
    )
    return Outlet(state, sink.send if is_channel else lambda _, batch: sink(batch))


_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_stream_id() -> str:
    """Make a ULID: sortable by time, and unlike any other."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))
