"""Workarounds for the pool of httpcore, which httpx 0.28 and httpx2 2.16 use: not needed for aiohttp.

- httpx loses a connection of its pool when the task that opens or closes a response is cancelled at the wrong moment
  (encode/httpcore#1093): nearly anywhere by asyncio's own cancellation, which anyio's shields do not stop; with cancel
  scopes, between the connection that was made and the request that is sent on it.
- httpx2 keeps its pool in order, but when asyncio cancels a task while a connection is made or closed, the socket is
  left to the garbage collector, and a client that is closed meanwhile leaves the sockets of its open requests.
- Both send a request's body through an async generator, which a broken connection leaves to the garbage collector.
- Both look at every idle connection of the pool before and after each request, whether its socket is readable, and
  look up everything else that is known of the socket each time; and they set up a timeout for reads that have none.

So requests are sent, and responses closed, in tasks of their own, and a caller that is cancelled leaves the rest to
them.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any, Generic, Self, TypeVar

import anyio

from .. import _errors
from .tasks import AsyncCall, CleanupTask, CleanupTasks, Timeouts, on_asyncio

T = TypeVar("T")


class _PendingAnswer(Generic[T]):
    """An answer that a task of its own waits for.

    The task is cancelled only while it waits for the headers or the body, where the HTTP library is safe.
    Every other phase is short, or has a timeout of its own.
    """

    def __init__(
        self,
        make: Callable[[Timeouts], Awaitable[T]],
        close: Callable[[T], Awaitable[object]],
        timeouts: Timeouts,
    ) -> None:
        self.task: CleanupTask
        self.made: list[T] = []
        self.error: Exception | None = None
        self._make = make
        self._close = close
        self._timeouts = _WatchedTimeouts(timeouts, self._begin_phase)
        self._abandoned = False

    async def run(self) -> None:
        """Wait for the answer, and close it if the caller has gone."""
        try:
            self.made.append(await self._make(self._timeouts))
        except Exception as error:  # noqa: BLE001 - it is raised where the caller waits
            self.error = error
        self.task.waits = False
        self._timeouts.begin_phase = None
        if self._abandoned:
            await self.close()

    async def close(self) -> None:
        """Close the answer, if there is one."""
        while self.made:
            await self._close(self.made.pop())

    def _begin_phase(self, *, waits: bool) -> None:
        self.task.waits = waits
        if waits and self._abandoned:
            self.task.cancel()

    def abandon(self) -> None:
        """Stop as soon as that is safe, because the caller has gone."""
        self._abandoned = True
        if self.task.waits:
            self.task.cancel()


class _WatchedTimeouts(dict[str, float | None]):
    """Timeouts that say when the HTTP library reads one of them, as it does when a phase of a request begins.

    Its own trace hook says the same, at ten times the cost.

    Args:
        timeouts: The timeouts.
        begin_phase: See the attribute.

    Attributes:
        begin_phase: Called at each beginning; told whether the request was sent and its answer is waited for. None for
            nobody.
        is_sent: Whether the request was sent.
    """

    def __init__(self, timeouts: Timeouts, begin_phase: Callable[..., None]) -> None:
        super().__init__(timeouts)
        self.begin_phase: Callable[..., None] | None = begin_phase
        self.is_sent = False

    def get(self, name: str, default: Any = None) -> Any:
        if self.begin_phase is not None:
            self.begin_phase(waits=self.is_sent and name == "read")
        return super().get(name, default)


class ShieldedTasks(CleanupTasks):
    """Opens and closes responses in tasks of their own, which no cancellation of the caller interrupts."""

    def __init__(self) -> None:
        super().__init__()
        self._pending: set[_PendingAnswer[Any]] = set()

    async def open(
        self,
        make: Callable[[Timeouts], Awaitable[T]],
        close: Callable[[T], Awaitable[object]],
        timeouts: Timeouts,
    ) -> T:
        """Return what `make` returns; if the caller is cancelled meanwhile, it is closed.

        Raises:
            StreamStateError: The client was closed meanwhile.
        """
        pending = _PendingAnswer(make, close, timeouts)
        pending.task = self.start(pending.run)
        self._pending.add(pending)
        try:
            await pending.task.done.wait()
        except BaseException:
            pending.abandon()
            if pending.task.done.is_set():
                self.start(pending.close)
            raise
        finally:
            self._pending.discard(pending)
        if pending.made:
            return pending.made.pop()
        error, pending.error = pending.error, None
        try:
            raise error or _errors.StreamStateError("the client was closed while the request was under way")
        finally:
            # Its traceback leads here, and would keep both alive until the garbage collector comes.
            del error, pending

    def prepared(self, request: Any) -> Any:
        """Replace the body of a request by one that is no async generator, and tells the timeouts when it was taken."""
        body_class = _body_class(type(request.stream))  # type: ignore[arg-type]  # a class is hashable
        request.stream = body_class(request.content, request.extensions["timeout"])
        return request

    async def close(self, call: AsyncCall) -> None:
        """Await `call()` to its end, even if the caller is cancelled; what it raises is ignored."""
        own = self._tasks.get(asyncio.current_task()) if on_asyncio() else None  # type: ignore[arg-type]  # there is one
        if own is not None:
            own.waits = False
        with anyio.CancelScope(shield=True):
            # A task of our own is cancelled by nobody else, so that it can close what it has opened.
            if own is None and on_asyncio():
                await self.start(call).done.wait()
            else:
                with suppress(Exception):
                    await call()

    async def settle(self, *, cancel: bool) -> None:
        """Wait until the tasks of this event loop have ended.

        Args:
            cancel: Whether to cancel requests that wait for their answer, because their connections will be closed.
        """
        pending = {pending.task for pending in self._pending}
        for task in pending if cancel else ():
            task.cancel()
        await self._wait_for(self._running if cancel else self._running - pending)


class _OneItem:
    """An async iterator of one item, which needs no closing."""

    def __init__(self, item: bytes, timeouts: _WatchedTimeouts) -> None:
        self._items = [item]
        self._timeouts = timeouts

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._items:
            self._timeouts.is_sent = True
            raise StopAsyncIteration
        return self._items.pop()


@cache
def _body_class(base: type[Any]) -> type[Any]:
    """Return a class of request bodies that the HTTP library takes for one of its own."""

    class RequestBody(base):  # type: ignore[misc]  # whichever HTTP library's it is
        def __init__(self, content: bytes, timeouts: _WatchedTimeouts) -> None:
            self._content = content
            self._timeouts = timeouts

        def __iter__(self) -> Iterator[bytes]:
            return iter((self._content,))

        def __aiter__(self) -> AsyncIterator[bytes]:
            return _OneItem(self._content, self._timeouts)

    return RequestBody


def lighten(http: Any) -> None:
    """Make an async client of the HTTP library read, and look at its idle connections, at less cost."""
    for transport in (http._transport, *http._mounts.values()):
        pool: Any = getattr(transport, "_pool", None)
        if hasattr(pool, "_network_backend"):
            pool._network_backend = _Backend(pool._network_backend)


class _Backend:
    """Opens connections as another network backend does."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    async def connect_tcp(self, *args: Any, **options: Any) -> _Connection:
        return _Connection(await self._backend.connect_tcp(*args, **options))


class _Connection:
    """A connection as another network backend makes it, whose socket is looked up once."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._socket = stream.get_extra_info("socket")
        # That of anyio's stream, on asyncio.
        self._receive = getattr(getattr(stream, "_stream", None), "receive", None)
        self.write = stream.write
        self.aclose = stream.aclose

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if timeout is not None or self._receive is None:
            data: bytes = await self._stream.read(max_bytes, timeout)
            return data
        try:
            received: bytes = await self._receive(max_bytes)
        except anyio.EndOfStream:
            return b""
        return received

    async def start_tls(self, *args: Any, **options: Any) -> _Connection:
        return _Connection(await self._stream.start_tls(*args, **options))

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable" and self._socket is not None:
            return self._socket.fileno() < 0 or _is_readable(self._socket)
        return self._stream.get_extra_info(info)


def _is_readable(connection: Any) -> bool:
    if not hasattr(select, "poll"):  # as on Windows
        return bool(select.select([connection], [], [], 0)[0])
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))
