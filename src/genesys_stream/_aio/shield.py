"""What must not be cancelled half-way, and what must not be left to the garbage collector.

httpx 0.28 loses a connection of its pool when the task that opens or closes a response is cancelled natively by
asyncio (encode/httpcore#1093); anyio's shields do not stop such a cancellation.
So on asyncio these steps run in tasks of their own, and whoever is cancelled meanwhile leaves the rest to them.
Under trio a cancellation comes only through scopes, and a shielded scope is enough.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, TypeVar

import anyio
import sniffio

T = TypeVar("T")


def on_asyncio() -> bool:
    """Whether this is asyncio, and not trio."""
    return sniffio.current_async_library() == "asyncio"


class Reaper:
    """Keeps the tasks that finish what a cancelled caller began."""

    def __init__(self) -> None:
        self._tasks: set[Any] = set()

    async def open(self, make: Callable[[], Coroutine[Any, Any, T]], give_back: Callable[[T], Coroutine[Any, Any, None]]) -> T:
        """Await `make()`; if the caller is cancelled meanwhile, what it makes is given back when it is there."""
        if not on_asyncio():
            return await make()
        import asyncio

        task = self._keep(asyncio.ensure_future(make()))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._keep(asyncio.ensure_future(_give_back(task, give_back)))
            raise

    async def close(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Await `step()` to its end, even if the caller is cancelled meanwhile."""
        if not on_asyncio():
            with anyio.CancelScope(shield=True):
                await step()
            return
        import asyncio

        await asyncio.shield(self._keep(asyncio.ensure_future(step())))

    def later(self, step: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
        """Make a function for a finaliser, which may run in any thread: it has `step()` awaited on this event loop."""
        if on_asyncio():
            import asyncio

            loop = asyncio.get_running_loop()

            def start() -> None:
                self._keep(asyncio.ensure_future(step()))

            def schedule() -> None:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(start)

            return schedule
        import trio

        token = trio.lowlevel.current_trio_token()

        async def shielded() -> None:
            with trio.CancelScope(shield=True):
                await step()

        def schedule_on_trio() -> None:
            try:
                token.run_sync_soon(trio.lowlevel.spawn_system_task, shielded)
            except trio.RunFinishedError:
                # The event loop has ended, and its sockets with it.
                return

        return schedule_on_trio

    async def settle(self) -> None:
        """Cancel what is still being opened, and wait until all is given back."""
        if not self._tasks:
            return
        import asyncio

        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _keep(self, task: Any) -> Any:
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: Any) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Looked at, so that an error that nobody waits for any more is not complained about.
            task.exception()


async def _give_back(task: Any, give_back: Callable[[T], Coroutine[Any, Any, None]]) -> None:
    import asyncio

    await asyncio.wait([task])
    if not task.cancelled() and task.exception() is None:
        await give_back(task.result())


class Unhooked(Awaitable[T]):
    """Awaits the first item of nested async generators without the event loop taking note of them.

    An HTTP response is read through four async generators, one inside the other.
    Only the outermost can be closed from outside; the event loops' finalisers would complain of the others, or close
    them in a task of their own.
    Once the response is closed they have nothing left to wait for, and can simply be dropped.
    """

    def __init__(self, make: Callable[[], Awaitable[T]]) -> None:
        self._make = make

    def __await__(self) -> Generator[Any, Any, T]:
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        try:
            steps = self._make().__await__()
            # All four are started before the innermost waits for the network.
            pending = next(steps)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]  # a generator's value is typed as Any
        finally:
            sys.set_asyncgen_hooks(*hooks)
        while True:
            try:
                sent = yield pending
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is for the inner awaitable
                advance = lambda error=error: steps.throw(error)  # type: ignore[misc]  # noqa: E731 - one of two ways on
            else:
                advance = lambda sent=sent: steps.send(sent)  # type: ignore[misc]  # noqa: E731 - the other
            try:
                pending = advance()
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]  # as above
