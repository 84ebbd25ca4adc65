"""What all fakes have: a clock, a request log, and the two ways to reach them."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from ._responder import Responder
from ._server import FakeServer
from ._transport import FakeTransport
from ._values import Entry


class Timed:
    """A fake with a clock of its own, which can be moved forward.

    Args:
        clock: Returns seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._advanced = 0.0

    def now(self) -> float:
        """Return the fake's time, in seconds since 1970."""
        return self._clock() + self._advanced

    def advance(self, seconds: float) -> None:
        """Move the fake's time forward: tokens expire, windows of the rate limit pass; nothing sleeps.

        Args:
            seconds: By how much.
        """
        self._advanced += seconds


class FakeService(Timed):
    """The base of a fake: in memory, give its `transport` to an httpx client; on the loopback, `serve()` it.

    Attributes:
        transport: For `httpx.Client(transport=...)` and `httpx.AsyncClient(transport=...)`.
    """

    def __init__(self, responder: Responder, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._responder = responder
        self.transport = FakeTransport(responder, self.now)

    def transport_for(self, http: ModuleType) -> Any:
        """Return a transport for an HTTP library with httpx's API under another name, such as `httpx2`.

        Args:
            http: The module.

        Returns:
            The transport, for its `Client` and its `AsyncClient`.
        """
        return FakeTransport(self._responder, self.now, http)

    def serve(self, host: str = "127.0.0.1", port: int = 0) -> FakeServer:
        """Return a server for this fake: `with fake.serve() as server: server.base_url`.

        Args:
            host: The address to listen on.
            port: The port to listen on; 0 for any that is free.

        Returns:
            The server, which listens from `start()` on, or inside its `with` block.
        """
        return FakeServer(self._responder, self.now, host, port)

    @property
    def request_log(self) -> list[Entry]:
        """Every request and how it was answered, in the order of arrival."""
        with self._responder.lock:
            return list(self._responder.request_log)

    def requests(self, path: str | None = None) -> list[Entry]:
        """Return the log entries of one path; see also `fake.push.requests` and its like.

        Args:
            path: The path; None for all.

        Returns:
            The entries, in the order of arrival.
        """
        return [entry for entry in self.request_log if path is None or entry.path == path]

    @property
    def connections(self) -> int:
        """How many TCP connections were accepted; in memory there are none."""
        return self._responder.connections

    @property
    def open_connections(self) -> int:
        """How many TCP connections are open now."""
        return self._responder.open_connections

    @property
    def open_answers(self) -> int:
        """How many answers have begun and neither ended nor been abandoned by the client."""
        return self._responder.open_answers
