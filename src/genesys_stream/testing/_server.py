"""The fake on the loopback: an HTTP/1.1 server in its own thread."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Generator
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self

from ._connection import Connection
from ._responder import Responder


class ServerThread:
    """A server on the loopback, with an event loop in a thread of its own; started and stopped by `with`.

    Attributes:
        host: The address that it listens on.
        port: The port; once started, the real one.
    """

    _scheme = "http"

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._thread: Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._ready = Event()
        self._error: BaseException | None = None

    @property
    def base_url(self) -> str:
        """Where it is, for a client's `base_url` and `login_url`, or for its `region`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self._scheme}://{host}:{self.port}"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Start to listen.

        Returns:
            The server itself.

        Raises:
            OSError: The address cannot be listened on.
            RuntimeError: It was started before.
        """
        name = type(self).__name__
        if self._thread is not None:
            msg = f"a {name} starts once; call serve() for another one"
            raise RuntimeError(msg)
        self._thread = Thread(target=lambda: asyncio.run(self._main()), name=name, daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error
        return self

    def stop(self) -> None:
        """Stop listening and close every connection at once, even one that is being answered."""
        if self._thread is not None and self._thread.is_alive():
            # The loop may have closed in the meantime.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    # In the server's thread.

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            await self._listen()
        except (OSError, ImportError) as error:
            self._error = error
            return
        finally:
            self._ready.set()
        try:
            await self._stop.wait()
        finally:
            await self._unlisten()

    async def _listen(self) -> None:
        raise NotImplementedError

    async def _unlisten(self) -> None:
        raise NotImplementedError


class FakeServer(ServerThread):
    """A fake that listens on a TCP port; made by its `serve`, started and stopped by `with`.

    Attributes:
        host: The address that it listens on.
        port: The port; once started, the real one.
    """

    def __init__(self, app: Responder, clock: Callable[[], float], host: str, port: int) -> None:
        super().__init__(host, port)
        self._app = app
        self._clock = clock
        self._connections: set[Connection] = set()
        self._listener: asyncio.Server | None = None
        self._stopped = Event()

    def wait(self) -> None:
        """Block until `stop` is called or Ctrl-C is pressed, which stops the server."""
        # On Windows Ctrl-C interrupts no wait, so this one ends now and then.
        with contextlib.suppress(KeyboardInterrupt):
            while not self._stopped.wait(0.5):
                pass
        self.stop()

    def drop_connections(self) -> None:
        """Close every open connection; new ones are accepted."""
        self._run(self._close_connections())

    @contextlib.contextmanager
    def refusing(self) -> Generator[None, None, None]:
        """Refuse connections while inside, as a host that is down does; open ones are closed."""
        self._run(self._unlisten())
        try:
            yield
        finally:
            self._run(self._listen())

    # In the server's thread.

    async def _main(self) -> None:
        try:
            await super()._main()
        finally:
            self._stopped.set()

    async def _listen(self) -> None:
        self._listener = await self._loop.create_server(
            lambda: Connection(self._app, self._clock, self._connections), self.host, self.port, backlog=1024
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _unlisten(self) -> None:
        if self._listener is not None:
            self._listener.close()
            await self._close_connections()
            await self._listener.wait_closed()
            self._listener = None

    async def _close_connections(self) -> None:
        # A connection that was accepted just now needs some turns of the loop to enter the set.
        for _ in range(5):
            await asyncio.sleep(0)
        # A connection leaves the set when it has closed.
        for connection in tuple(self._connections):
            connection.abort()
            await connection.closed.wait()
