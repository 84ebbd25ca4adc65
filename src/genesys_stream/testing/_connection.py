"""An HTTP/1.1 connection of the server: h11 for the bytes, asyncio for the pauses."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from urllib.parse import unquote

import h11

from ._responder import Responder
from ._values import Answer, Drop, Piece, Refuse, Request

# Seconds between the last bytes and a reset, which may discard what the client has not read yet.
BEFORE_RESET = 0.02
# Pieces without a pause between them are sent in writes of about this many bytes.
WRITE_SIZE = 65536


class _Broken(Exception):  # never leaves this module
    """The answer breaks the connection, as it was scripted, or the client has left."""


class Connection(asyncio.Protocol):
    """Reads requests and sends their answers, one after the other, until either side closes.

    Args:
        app: Answers the requests.
        clock: The fake's clock.
        open_connections: The open connections of the server; this one is among them while it is open.
    """

    def __init__(self, app: Responder, clock: Callable[[], float], open_connections: set[Connection]) -> None:
        self._app = app
        self._clock = clock
        self._open_connections = open_connections
        self._http = h11.Connection(h11.SERVER)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._number = 0
        self._request: h11.Request | None = None
        self._body = bytearray()
        self._answering: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self.closed = asyncio.Event()

    # Called by asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker: create_server made it
        self._transport = transport
        self._writable.set()
        self._open_connections.add(self)
        with self._app.lock:
            self._app.connections += 1
            self._app.open_connections += 1
            self._number = self._app.connections

    def data_received(self, data: bytes) -> None:
        self._http.receive_data(data)
        self._read()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self._answering is not None:
            self._answering.cancel()
        self._writable.set()
        self._open_connections.discard(self)
        with self._app.lock:
            self._app.open_connections -= 1
        self.closed.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # Called by the server.

    def abort(self) -> None:
        """Close at once, whatever is being sent."""
        self._transport.abort()

    # Reading.

    def _read(self) -> None:
        try:
            while self._answering is None:
                event = self._http.next_event()
                if isinstance(event, h11.Request):
                    self._request = event
                    self._body.clear()
                    if self._http.they_are_waiting_for_100_continue:
                        self._send(h11.InformationalResponse(status_code=100, headers=[]))
                elif isinstance(event, h11.Data):
                    self._body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    self._answering = self._loop.create_task(self._answer())
                else:
                    if isinstance(event, h11.ConnectionClosed):
                        self._transport.close()
                    return
        except h11.RemoteProtocolError as error:
            with contextlib.suppress(h11.LocalProtocolError):
                self._send(h11.Response(status_code=error.error_status_hint, headers=[("Connection", "close")]))
                self._send(h11.EndOfMessage())
            self._transport.close()

    # Answering.

    async def _answer(self) -> None:
        with self._app.lock:
            self._app.open_answers += 1
        try:
            await self._play(self._app.respond(self._as_request()))
        except (_Broken, h11.LocalProtocolError):
            # The answer is not HTTP, such as one shorter than its Content-Length; the connection breaks there.
            self._transport.close()
        except BaseException:
            self._transport.close()
            raise
        finally:
            with self._app.lock:
                self._app.open_answers -= 1
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            self._answering = None
            self._read()
        else:
            self._transport.close()

    def _as_request(self) -> Request:
        request = self._request
        assert request is not None  # noqa: S101 - for the type checker: h11 gives no end without a beginning
        path, _, query = request.target.decode("latin-1").partition("?")
        return Request(
            method=request.method.decode("ascii"),
            path=unquote(path),
            query=query,
            headers={name.decode("ascii"): value.decode("latin-1") for name, value in request.headers},
            body=bytes(self._body),
            at=self._clock(),
            connection=self._number,
        )

    async def _play(self, answer: Answer) -> None:
        # Pauses count from when the piece before was due, not from when it was written: a model does not wait for
        # its reader.
        due = self._loop.time()
        for piece in answer.before:
            due = await self._wait(piece, due)
        self._send(h11.Response(status_code=answer.status, headers=list(answer.headers)))
        ready: list[bytes] = []
        size = 0
        try:
            for piece in answer.pieces:
                if isinstance(piece, bytes):
                    # With no body to send, as in a 204, h11 gives None or nothing at all.
                    ready.append(self._http.send(h11.Data(data=piece)) or b"")
                    size += len(piece)
                    if size < WRITE_SIZE:
                        continue
                size = 0
                await self._write(ready)
                if not isinstance(piece, bytes):
                    due = await self._wait(piece, due)
            ready.append(self._http.send(h11.EndOfMessage()) or b"")
        except h11.LocalProtocolError:
            await self._write(ready)
            raise
        await self._write(ready)

    async def _write(self, ready: list[bytes]) -> None:
        if self._transport.is_closing():
            # The client has left, and asyncio would log every further write.
            raise _Broken
        if ready:
            self._transport.write(b"".join(ready))
            ready.clear()
        if not self._writable.is_set():
            await self._writable.wait()

    async def _wait(self, piece: Piece, due: float) -> float:
        if isinstance(piece, (Drop, Refuse)):
            await self._break(reset=isinstance(piece, Refuse) or piece.reset)
        if isinstance(piece, float | int):
            due += piece
            late = self._loop.time() - due
            if late < 0:
                await asyncio.sleep(-late)
        return due

    async def _break(self, *, reset: bool) -> None:
        if reset:
            await asyncio.sleep(BEFORE_RESET)
            connection = self._transport.get_extra_info("socket")
            # With a linger time of zero the close is a reset.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        raise _Broken

    def _send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            self._transport.write(data)
