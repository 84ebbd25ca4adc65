"""Batches of what a source yields, awaited: a task reads the source, and the caller's takes the batches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import suppress
from typing import Any

import anyio

from .._core.relaying.batcher import BatchState
from .._core.relaying.coalescers.protocol import Coalescer
from .._values import Batch, CompletionChunk
from .session import clock_here
from .tasks import on_asyncio


async def batches(
    source: AsyncIterable[CompletionChunk] | AsyncIterable[str], coalescer: Coalescer
) -> AsyncGenerator[Batch, None]:
    """Yield the batches of what a source yields, each when it is due.

    Raises:
        BaseException: What the source or the coalescer raised, after all that was said before.
    """
    reader = _Reader(source, coalescer)
    state = reader.state
    reader.start()
    try:
        while True:
            ready = state.next(reader.clock())
            if ready:
                reader.room.set()
                for batch in ready:
                    yield batch
            elif state.ended:
                break
            else:
                await reader.wait()
        error, state.error = state.error, None
        try:
            if error is not None:
                raise error
        finally:
            del error  # its traceback leads here
    finally:
        await reader.stop()


class _Reader:
    """Reads a source in a task that belongs to no task group: an async generator must not hold one while it yields."""

    def __init__(self, source: AsyncIterable[Any], coalescer: Coalescer) -> None:
        self.state = BatchState(coalescer)
        self.clock = clock_here()
        self.room = anyio.Event()
        self._source = source
        self._changed = anyio.Event()
        self._scope = anyio.CancelScope()
        self._stopped = anyio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to read."""
        if on_asyncio():
            self._task = asyncio.get_running_loop().create_task(self._read())
            self._task.add_done_callback(lambda _: self._stopped.set())
            return
        import trio

        async def read() -> None:
            try:
                await self._read()
            finally:
                self._stopped.set()

        trio.lowlevel.spawn_system_task(read)

    async def wait(self) -> None:
        """Wait until the state is due."""
        self._changed = anyio.Event()
        due = self.state.due
        with anyio.CancelScope(deadline=float("inf") if due is None else due):
            await self._changed.wait()

    async def stop(self) -> None:
        """Read no more, and close the source."""
        self._scope.cancel()
        with anyio.CancelScope(shield=True):
            await self._stopped.wait()

    async def _read(self) -> None:
        state, error = self.state, None
        items: Any = None
        try:
            with self._scope:
                items = aiter(self._source)
                async for item in items:
                    if state.feed(item, self.clock()):
                        self._changed.set()
                    while state.full:
                        self.room = anyio.Event()
                        await self.room.wait()
        except BaseException as caught:  # noqa: BLE001 - it is raised where the batches are taken
            error = caught
        with anyio.CancelScope(shield=True):
            await _close(items)
            await _close(self._source)
        state.end(error, self.clock())
        self._changed.set()


async def _close(source: object) -> None:
    close: Any = getattr(source, "aclose", None)
    if callable(close):
        with suppress(Exception):
            closing: Any = close()
            await closing
