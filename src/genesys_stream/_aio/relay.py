"""The relay, awaited: one task reads the source, and one for each sink sends; the caller's is the first of these."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from math import ceil, isinf
from typing import Any

import anyio

from .._core.relaying.delivery import End, Push
from .._core.relaying.relay import SourceText, TurnRequest, end_of
from .._hooks import emit
from .._outlets import Outlet, RelaySettings, conclude, grace_is_over, interrupted
from .._values import Completion, CompletionChunk, RelayEvent, RelayReport
from .completions import AsyncCompletionStream
from .session import clock_here
from .tasks import on_asyncio

_CANCELLED = float("-inf")
"""The effective deadline of a task whose cancel scope was cancelled."""


_TICK_SECONDS = 0.005
"""Pushes of many relays that are due within so short a time leave together, and wake the event loop once."""


def _tick(due: float) -> float:
    """Return the next time, at or after `due`, at which pushes leave, in the clock's seconds."""
    return due if isinf(due) else ceil(due / _TICK_SECONDS) * _TICK_SECONDS


class AsyncRelay:
    """One relay under way, to any number of sinks.

    Args:
        source: What is said.
        outlets: The sinks, each with the state of the relay to it.
        settings: How it ends.
    """

    def __init__(
        self,
        source: AsyncIterable[CompletionChunk] | AsyncIterable[str],
        outlets: Sequence[Outlet],
        settings: RelaySettings,
    ) -> None:
        self._source = source
        self._outlets = outlets
        self.settings = settings
        self._said = source if isinstance(source, AsyncCompletionStream) else SourceText()
        self._interruption: BaseException | None = None
        self._room: anyio.Event | None = None

    async def run(self) -> tuple[RelayReport, ...]:
        """Relay to the end.

        Returns:
            The reports, one for each sink.

        Raises:
            BaseException: What ended the source, after what was said is delivered; the reports are on it.
        """
        emit(self.settings.on_event, self.settings.started)
        self._clock = clock_here()
        self._senders = [_Sender(self, outlet) for outlet in self._outlets]
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._read)
                for sender in self._senders[1:]:
                    group.start_soon(self._run_beside, sender, group.cancel_scope)
                try:
                    await self._senders[0].run(on_interruption=group.cancel_scope.cancel)
                except BaseException as error:  # noqa: BLE001 - it is raised below
                    self._interruption = self._interruption or error
        except BaseException:
            # The interruption over again, as the task group saw it; it is raised below, with the report.
            if self._interruption is None:
                raise
        return conclude(self._outlets, self.completion(), self._interruption, self.settings)

    async def _run_beside(self, sender: _Sender, scope: anyio.CancelScope) -> None:
        """Run the sender of another sink: what interrupts it, such as Ctrl-C, interrupts the whole relay."""
        try:
            await sender.run(on_interruption=scope.cancel)
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:  # noqa: BLE001 - it is raised where `relay_each` was called
            self._interruption = error

    def completion(self) -> Completion:
        """Return what was said so far."""
        return self._said.completion

    async def _read(self) -> None:
        accumulate = self._said.accumulate if isinstance(self._said, SourceText) else None
        clock, senders, error = self._clock, self._senders, None
        try:
            async with _closed_at_last(self._source) as items:
                async for item in items:
                    text = item.text if accumulate is None else accumulate(item)
                    if text:
                        now, full = clock(), True
                        for sender in senders:
                            state = sender.state
                            if state.feed(text, now):
                                sender.wake(state.due)
                            full = full and state.full
                        if full:
                            await self._wait_for_room()
                    del item  # so that a stream that is silent holds no chunk
            if isinstance(self._said, AsyncCompletionStream):
                await self._said.result()  # one that somebody has closed ends as quietly as one that is whole
        except BaseException as caught:
            text = ""  # a report that shows the locals of every frame shows nothing that was said
            if isinstance(caught, anyio.get_cancelled_exc_class()) and anyio.current_effective_deadline() == _CANCELLED:
                raise
            # Raised where `relay` was called; even a KeyboardInterrupt, or a cancellation that is the source's own.
            error = caught
        self._end(end_of(error, self.completion().finish_reason, self._clock()))
        if isinstance(error, KeyboardInterrupt):
            # Ctrl-C hits whichever task runs, and has the same grace wherever it does.
            for sender in senders:
                sender.scope.deadline = self._clock() + self.settings.grace

    async def _wait_for_room(self) -> None:
        """Wait while every sink that takes text is full."""
        while all(sender.state.full and not sender.state.ended for sender in self._senders):
            self._room = anyio.Event()
            await self._room.wait()

    def _end(self, end: End) -> None:
        for sender in self._senders:
            sender.state.end(end)
            # After a dead device token the end finishes everything, and no push is due that would wake the sender.
            sender.wake(self._clock() if sender.state.finished else sender.state.due)

    def note_room(self) -> None:
        """Let the source be read on, if it waits for a sink."""
        if self._room is not None:
            self._room.set()


class _Sender:
    """Sends the pushes of one sink.

    Attributes:
        state: The state of the relay to the sink.
        scope: Ends the sending.
    """

    def __init__(self, relay: AsyncRelay, outlet: Outlet) -> None:
        self._relay = relay
        self._send_once = outlet.send
        self._clock = clock_here()
        self._timer = _Timer() if on_asyncio() else _ScopeTimer()
        self.state = outlet.state
        self.scope = anyio.CancelScope()
        self.wake = self._timer.set

    async def run(self, on_interruption: Callable[[], object] = lambda: None) -> None:
        """Send until everything is delivered or given up.

        Args:
            on_interruption: Called as soon as the sending is cancelled.

        Raises:
            BaseException: What interrupted it, once what was said was delivered or the grace period was over.
        """
        try:
            with self.scope:
                await self._send()
            if self.scope.cancelled_caught:
                self.state.fail_remaining(grace_is_over(self._relay.settings.grace))
        except BaseException as error:
            on_interruption()
            await self._finish_in_grace(error)
            raise

    async def _send(self) -> None:
        state = self.state
        while not state.finished:
            wanted = state.next(self._clock())
            if wanted is None:
                await self._timer.wait(state.due)
            elif isinstance(wanted, TurnRequest):
                await self._ask_for_turn(wanted)
            else:
                await self._deliver(wanted)

    async def _ask_for_turn(self, wanted: TurnRequest) -> None:
        at = wanted.turn.request(self._clock(), final=wanted.final)
        if inspect.isawaitable(at):
            at = await at
        self.state.turn_answered(at, self._clock())

    async def _deliver(self, push: Push) -> None:
        try:
            receipt = self._send_once(push.content, push.batch)
            if inspect.isawaitable(receipt):
                receipt = await receipt
        except Exception as error:  # noqa: BLE001 - whatever a sink raises is accounted for
            event: RelayEvent | None = self.state.failed(push, error, self._clock())
        except BaseException:
            self.state.failed(push, interrupted(), self._clock())
            raise
        else:
            event = self.state.succeeded(push, receipt)
        self._relay.note_room()
        if event is not None:
            emit(self._relay.settings.on_event, event)

    async def _finish_in_grace(self, error: BaseException) -> None:
        """Deliver what was said before the cancellation, for as long as the grace period lasts."""
        state = self.state
        if state.in_flight is not None:
            # Ctrl-C hit just before the sink was called, or just after; the same bytes again do no harm.
            state.failed(state.in_flight, interrupted(), self._clock())
        state.catch_up(self._relay.completion().text, self._clock())
        state.end(End("cancelled", self._clock(), type(error).__name__, error))
        try:
            with anyio.CancelScope(deadline=self._clock() + self._relay.settings.grace, shield=True):
                await self._send()
        except BaseException as again:  # noqa: BLE001 - the first cancellation is the one that is raised
            state.fail_remaining(again)
        else:
            state.fail_remaining(grace_is_over(self._relay.settings.grace))


class _Timer:
    """Wakes a sender when it is due, on asyncio, where a cancel scope for each wait would cost much more."""

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
            self._wake()
        else:
            self._timer = self._loop.call_at(_tick(due), self._wake)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _ScopeTimer:
    """The same on other event loops."""

    def __init__(self) -> None:
        self._scope = anyio.CancelScope()

    async def wait(self, due: float | None) -> None:
        """Wait as above."""
        with anyio.CancelScope() as self._scope:
            self.set(due)
            await anyio.sleep_forever()

    def set(self, due: float | None) -> None:
        """Let the wait end as above."""
        self._scope.deadline = float("inf") if due is None else _tick(due)


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
        # All that was wanted of it has been read.
        with suppress(Exception):
            closing: Any = close()
            await closing
