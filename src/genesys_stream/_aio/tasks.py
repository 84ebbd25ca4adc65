"""Tasks that finish what their caller left, such as closing the response of a stream that was dropped or cancelled."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

import anyio

T = TypeVar("T")
AsyncCall: TypeAlias = Callable[[], Awaitable[object]]
Timeouts: TypeAlias = "dict[str, float | None]"


def on_asyncio() -> bool:
    """Return whether this is a task of asyncio, not of trio."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


def current_loop() -> Any:
    """Return the event loop, or trio's token."""
    if on_asyncio():
        return asyncio.get_running_loop()
    import trio

    return trio.lowlevel.current_trio_token()


class CleanupTask:
    """A task of the library's own.

    Attributes:
        loop: The event loop that it runs on.
        done: Set at its end.
        cancel: Cancels it.
        waits: Whether it waits for an answer, so that cancelling it does no harm.
    """

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.done = anyio.Event()
        self.waits = False
        self.cancel: Callable[[], object]


class CleanupTasks:
    """Opens and closes responses, and has a task close what a finaliser left."""

    def __init__(self) -> None:
        self._running: set[CleanupTask] = set()
        self._tasks: dict[asyncio.Task[None], CleanupTask] = {}

    async def open(
        self,
        make: Callable[[Timeouts], Awaitable[T]],
        close: Callable[[T], Awaitable[object]],  # noqa: ARG002 - for pools that need it; see httpcore.py
        timeouts: Timeouts,
    ) -> T:
        """Return what `make` returns.

        Args:
            make: Sends a request with the timeouts that it is given, and returns the answer.
            close: Closes an answer that nobody waits for any more.
            timeouts: The HTTP library's timeouts.
        """
        return await make(timeouts)

    def prepared(self, request: Any) -> Any:
        """Return a request of the HTTP library as it is to be sent."""
        return request

    async def close(self, call: AsyncCall) -> None:
        """Await `call()`; what it raises is ignored."""
        with suppress(Exception):
            await call()

    def finalizer(self, call: AsyncCall) -> Callable[[], None]:
        """Return a function for a finaliser that has `call()` awaited on this event loop, from any thread."""
        if on_asyncio():
            loop = asyncio.get_running_loop()

            def schedule() -> None:
                # If the event loop has ended, its sockets have ended with it.
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(self.start, call, loop)

            return schedule
        import trio

        token = trio.lowlevel.current_trio_token()

        def schedule_on_trio() -> None:
            # As above.
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(self.start, call, token)

        return schedule_on_trio

    async def settle(self, *, cancel: bool) -> None:  # noqa: ARG002 - for pools that need it; see httpcore.py
        """Wait until the tasks of this event loop have ended.

        Args:
            cancel: Whether to cancel requests that wait for their answer, because their connections will be closed.
        """
        await self._wait_for(self._running)

    async def _wait_for(self, tasks: Iterable[CleanupTask]) -> None:
        here = current_loop()
        with anyio.CancelScope(shield=True):
            for task in tuple(tasks):
                if task.loop is here:
                    await task.done.wait()

    def start(self, call: AsyncCall, loop: Any = None) -> CleanupTask:
        """Start a task that awaits `call()`; what it raises is ignored."""
        task = CleanupTask(loop or current_loop())
        self._running.add(task)

        async def run() -> None:
            try:
                with suppress(Exception):
                    await call()
            finally:
                self._running.discard(task)
                task.done.set()

        if isinstance(task.loop, asyncio.AbstractEventLoop):
            of_asyncio = task.loop.create_task(run())
            task.cancel = of_asyncio.cancel
            self._tasks[of_asyncio] = task

            def ended(of_asyncio: asyncio.Task[None]) -> None:
                self._tasks.pop(of_asyncio, None)
                if task in self._running:
                    # It was cancelled before its first step, so that nothing of the above has run.
                    self._running.discard(task)
                    # Older versions of anyio cannot set an event that was made in a callback, and nobody waits for it.
                    with suppress(RuntimeError):
                        task.done.set()

            of_asyncio.add_done_callback(ended)
            return task
        import trio

        scope = trio.CancelScope()
        task.cancel = scope.cancel

        async def shielded() -> None:
            with trio.CancelScope(shield=True), scope:
                await run()

        try:
            trio.lowlevel.spawn_system_task(shielded, context=contextvars.copy_context())
        except RuntimeError:
            # The event loop is ending, and takes no more tasks; its sockets end with it.
            self._running.discard(task)
            task.done.set()
        return task
