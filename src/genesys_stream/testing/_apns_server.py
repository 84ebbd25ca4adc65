"""The fake APNs on the loopback: an HTTP/2 server in its own thread."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ._server import ServerThread

if TYPE_CHECKING:
    from ._apns import FakeApns
    from ._apns_connection import ApnsConnection


class FakeApnsServer(ServerThread):
    """A `FakeApns` that listens on a TCP port; made by `FakeApns.serve`, started and stopped by `with`.

    Attributes:
        host: The address that it listens on.
        port: The port; once started, the real one.
    """

    def __init__(self, fake: FakeApns, host: str, port: int, tls: Any) -> None:
        super().__init__(host, port)
        self._fake = fake
        self._tls = tls
        if tls is not None:
            tls.set_alpn_protocols(["h2"])
            self._scheme = "https"
        self._open: set[ApnsConnection] = set()
        self._listener: asyncio.Server

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

        self._run(run())

    # In the server's thread.

    async def _listen(self) -> None:
        from ._apns_connection import ApnsConnection  # which needs h2

        self._listener = await self._loop.create_server(
            lambda: ApnsConnection(self._fake, self._open), self.host, self.port, ssl=self._tls, backlog=1024
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _unlisten(self) -> None:
        self._listener.close()
        for connection in tuple(self._open):
            connection.abort()
        await self._listener.wait_closed()
