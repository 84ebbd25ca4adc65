"""The fake APNs on the loopback: an HTTP/2 server in its own thread."""

from __future__ import annotations

import asyncio
import contextlib
from threading import Event, Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from ._apns import FakeApns
    from ._apns_connection import ApnsConnection


class FakeApnsServer:
    """A `FakeApns` that listens on a TCP port; made by `FakeApns.serve`, started and stopped by `with`.

    Attributes:
        host: The address that it listens on.
        port: The port; once started, the real one.
    """

    def __init__(self, fake: FakeApns, host: str, port: int, tls: Any) -> None:
        self.host = host
        self.port = port
        self._fake = fake
        self._tls = tls
        if tls is not None:
            tls.set_alpn_protocols(["h2"])
        self._open: set[ApnsConnection] = set()
        self._thread: Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._ready = Event()
        self._error: BaseException | None = None

    @property
    def base_url(self) -> str:
        """Where it is, for a client's `base_url`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'http' if self._tls is None else 'https'}://{host}:{self.port}"

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
        if self._thread is not None:
            msg = "a FakeApnsServer starts once; call serve() for another one"
            raise RuntimeError(msg)
        self._thread = Thread(target=lambda: asyncio.run(self._main()), name="FakeApns", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error
        return self

    def stop(self) -> None:
        """Stop listening and close every connection at once."""
        if self._thread is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # the loop may have closed in the meantime
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def go_away(self, *, two_steps: bool = False) -> None:
        """Send a GOAWAY on every connection: what has come is answered, what comes later is not.

        Args:
            two_steps: Whether a first GOAWAY allows all streams.
        """
        self._each(lambda connection: connection.go_away(two_steps=two_steps))

    def limit_streams(self, streams: int) -> None:
        """Let every connection have only so many streams at once from now on."""
        self._each(lambda connection: connection.limit(streams))

    def drop_connections(self) -> None:
        """Close every open connection, whatever is in flight; new ones are accepted."""
        self._each(lambda connection: connection.abort())

    def _each(self, act: Any) -> None:
        async def run() -> None:
            for connection in tuple(self._open):
                act(connection)

        asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    # In the server's thread.

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            from ._apns_connection import ApnsConnection  # which needs h2

            listener = await self._loop.create_server(
                lambda: ApnsConnection(self._fake, self._open), self.host, self.port, ssl=self._tls, backlog=1024
            )
        except (OSError, ImportError) as error:
            self._error = error
            self._ready.set()
            return
        self.port = listener.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        listener.close()
        for connection in tuple(self._open):
            connection.abort()
        await listener.wait_closed()
