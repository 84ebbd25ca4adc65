"""The relay, awaited: one task reads the source, the caller's sends."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio

from .. import _errors
from .._core.relaying.relay import Desk, Listener, finish_reason_of, lost_in_hand, state_after
from .._hooks import emit
from .._values import Batch, CompletionChunk, RelayReport
from .completions import AsyncCompletionStream
from .session import clock_here
from .tasks import on_asyncio

_CANCELLED = float("-inf")
"""The effective deadline of a task whose cancel scope was cancelled."""


class AsyncRelay:
    """One relay under way.

    Args:
        source: What is said.
        sink: Takes the batches.
        desk: Keeps account.
        grace: For how many seconds what was said is still delivered after a cancellation.
        on_event: Told of every delivery and loss, and of the report.
    """

    def __init__(
        self,
        source: AsyncIterable[CompletionChunk] | AsyncIterable[str],
        sink: Callable[[Batch], object],
        desk: Desk,
        *,
        grace: float,
        on_event: Callable[[object], None] | None,
    ) -> None:
        self._source = source
        self._sink = sink
        self._desk = desk
        self._grace = grace
        self._on_event = on_event
        self._listener = Listener()
        self._clock: Callable[[], float]
        self._bell: _Bell | _ScopeBell
        self._patience: anyio.CancelScope
        self._room: anyio.Event | None = None

    async def run(self) -> RelayReport:
        """Relay to the end.

        Returns:
            The report.

        Raises:
            BaseException: What ended the source, after what was said is delivered; the report is on it.
        """
        interruption: BaseException | None = None
        self._clock = clock_here()
        self._bell = _Bell() if on_asyncio() else _ScopeBell()
        self._patience = anyio.CancelScope()
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._read)
                try:
                    with self._patience:
                        await self._send()
                    if self._patience.cancelled_caught:
                        self._desk.abandon(self._grace_is_over())
                except BaseException as error:  # noqa: BLE001 - it is raised below
                    interruption = error
                    group.cancel_scope.cancel()
                    await self._interrupt(error)
        except BaseException:
            # The interruption over again, as the task group saw it; it is raised below, with the report.
            if interruption is None:
                raise
        report = self._desk.report(self._listener.completion)
        emit(self._on_event, report)
        failure = interruption or report.error
        if failure is not None:
            _errors.attach_report(failure, report)
            raise failure
        return report

    async def _read(self) -> None:
        error: BaseException | None = None
        try:
            async with _closed_at_last(self._source) as items:
                async for item in items:
                    if self._desk.arrive(self._listener.hear(item), self._clock()):
                        self._bell.set(self._desk.due)
                    while self._desk.full and not self._desk.closing:
                        self._room = anyio.Event()
                        await self._room.wait()
            if isinstance(self._source, AsyncCompletionStream):
                await self._source.result()  # one that somebody has closed ends as quietly as one that is whole
        except BaseException as caught:
            if isinstance(caught, anyio.get_cancelled_exc_class()) and anyio.current_effective_deadline() == _CANCELLED:
                raise
            # Raised where `relay` was called; even a KeyboardInterrupt, or a cancellation that is the source's own.
            error = caught
        finish_reason = finish_reason_of(self._listener, error)
        self._desk.end(state_after(error), self._clock(), finish_reason=finish_reason, error=error)
        if isinstance(error, KeyboardInterrupt):
            # Ctrl-C hits whichever task runs, and has the same grace wherever it does.
            self._patience.deadline = self._clock() + self._grace
        self._bell.set(self._desk.due)

    async def _send(self) -> None:
        desk = self._desk
        while not desk.done:
            batch = desk.take(self._clock())
            if batch is None:
                await self._bell.wait(desk.due)
            else:
                await self._deliver(batch)

    async def _deliver(self, batch: Batch) -> None:
        try:
            receipt = self._sink(batch)
            if inspect.isawaitable(receipt):
                receipt = await receipt
        except Exception as error:  # noqa: BLE001 - whatever a sink raises is accounted for
            event: object = self._desk.failed(batch, error, self._clock())
        except BaseException:
            self._desk.failed(batch, lost_in_hand(), self._clock())
            raise
        else:
            event = self._desk.delivered(batch, receipt, self._clock())
        if self._room is not None:
            self._room.set()
        if event is not None:
            emit(self._on_event, event)

    async def _interrupt(self, error: BaseException) -> None:
        """Deliver what was said before the cancellation, for as long as the grace period lasts."""
        in_hand = self._desk._in_hand
        if in_hand is not None:
            # Ctrl-C hit just before the sink was called, or just after; the same bytes again do no harm.
            self._desk.failed(in_hand, lost_in_hand(), self._clock())
        self._desk.end("cancelled", self._clock(), finish_reason=type(error).__name__, error=error)
        try:
            with anyio.CancelScope(deadline=self._clock() + self._grace, shield=True):
                await self._send()
        except BaseException as again:  # noqa: BLE001 - the first cancellation is the one that is raised
            self._desk.abandon(again)
        else:
            self._desk.abandon(self._grace_is_over())

    def _grace_is_over(self) -> _errors.DeadlineExceeded:
        return _errors.DeadlineExceeded("the grace period was over", seconds=self._grace)


class _Bell:
    """Wakes the sender when the desk is due, on asyncio, where a cancel scope for each wait would cost much more."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, due: float | None) -> None:
        """Wait until then, in the event loop's time, or until what `set` says meanwhile; None waits for that alone."""
        self._waiter = self._loop.create_future()
        try:
            self.set(due)
            await self._waiter
        finally:
            self._waiter = None
            self._stop()

    def set(self, due: float | None) -> None:
        """Let the wait, if there is one, end then; None for not at all."""
        self._stop()
        if self._waiter is None or due is None:
            return
        if due <= self._loop.time():
            self._ring()
        else:
            self._timer = self._loop.call_at(due, self._ring)

    def _ring(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _ScopeBell:
    """The same elsewhere."""

    def __init__(self) -> None:
        self._scope = anyio.CancelScope()

    async def wait(self, due: float | None) -> None:
        """As above."""
        with anyio.CancelScope() as self._scope:
            self.set(due)
            await anyio.sleep_forever()

    def set(self, due: float | None) -> None:
        """As above."""
        self._scope.deadline = float("inf") if due is None else due


@asynccontextmanager
async def _closed_at_last(source: AsyncIterable[Any]) -> AsyncGenerator[AsyncIterator[Any], None]:
    items = aiter(source)
    try:
        yield items
    finally:
        with anyio.CancelScope(shield=True):
            await _close(items)
            await _close(source)


async def _close(source: object) -> None:
    close: Any = getattr(source, "aclose", None)
    if callable(close):
        # It was asked for what it had to say, and is asked for no more.
        with suppress(Exception):
            closing: Any = close()
            await closing
