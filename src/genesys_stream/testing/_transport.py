"""The fake in memory: an httpx transport, blocking and async, with the pauses and errors of a network."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from types import ModuleType
from typing import Any

import anyio
import anyio.lowlevel
import httpx

from ._responder import Responder
from ._values import Answer, Drop, Piece, Refuse, Request

# Bytes to return, or seconds to sleep.
_Step = Iterator["bytes | float"]


def _play(
    pieces: Iterable[Piece], http: Any, read_timeout: float | None, now: Callable[[], float], promised: int = 0
) -> _Step:
    """Yield what is due by the clock, and raise what httpx raises for a fault of the network.

    Pauses count from when the piece before was due, not from when it was read: a model does not wait for its reader.
    `promised` is the Content-Length, where there is one.
    """
    due = waiting_since = now()
    sent = 0
    for piece in pieces:
        if isinstance(piece, bytes):
            if piece:
                sent += len(piece)
                yield piece
                waiting_since = now()
        elif isinstance(piece, Refuse):
            raise http.ConnectError("All connection attempts failed")
        elif isinstance(piece, Drop):
            if piece.reset:
                raise http.ReadError("Connection reset by peer")
            raise http.RemoteProtocolError("peer closed connection without sending complete message body")
        else:
            due += piece
            timeout_at = float("inf") if read_timeout is None else waiting_since + read_timeout
            if due > timeout_at:
                yield max(0.0, timeout_at - now())
                raise http.ReadTimeout("timed out")
            yield max(0.0, due - now())
    if sent < promised:
        raise http.RemoteProtocolError("peer closed connection without sending complete message body")


class _Body:
    """A response's body; `FakeTransport` adds the stream classes of the HTTP library as bases."""

    def __init__(self, answer: Answer, app: Responder, http: Any, read_timeout: float | None) -> None:
        self._answer = answer
        self._app = app
        self._http = http
        self._read_timeout = read_timeout
        self._open = True
        with app.lock:
            app.open_answers += 1

    def _steps(self, now: Callable[[], float]) -> _Step:
        promised = int(self._answer.header("content-length") or 0)
        return _play(self._answer.pieces, self._http, self._read_timeout, now, promised)

    def __iter__(self) -> Iterator[bytes]:
        for step in self._steps(time.monotonic):
            if isinstance(step, bytes):
                yield step
            else:
                time.sleep(step)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for step in self._steps(anyio.current_time):
            if isinstance(step, bytes):
                await anyio.lowlevel.checkpoint()
                yield step
            else:
                await anyio.sleep(step)

    def close(self) -> None:
        with self._app.lock:
            self._app.open_answers -= self._open
            self._open = False

    async def aclose(self) -> None:
        self.close()


class FakeTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A transport for `httpx.Client` and `httpx.AsyncClient` that is answered by the fake, without a network.

    Host names are ignored. The read timeout of a request holds; the other timeouts have nothing to wait for.
    """

    def __init__(self, app: Responder, clock: Callable[[], float], http: ModuleType = httpx) -> None:
        self._app = app
        self._clock = clock
        self._http: Any = http
        self._body = type("FakeBody", (_Body, self._http.SyncByteStream, self._http.AsyncByteStream), {})

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request of a blocking client."""
        body = request.read()
        answer = self._app.respond(self._read(request, body))
        for step in _play(answer.before, self._http, _read_timeout(request), time.monotonic):
            if not isinstance(step, bytes):
                time.sleep(step)
        return self._response(answer, request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request of an async client, under asyncio or trio."""
        body = await request.aread()
        await anyio.lowlevel.checkpoint()
        answer = self._app.respond(self._read(request, body))
        for step in _play(answer.before, self._http, _read_timeout(request), anyio.current_time):
            if not isinstance(step, bytes):
                await anyio.sleep(step)
        return self._response(answer, request)

    def _read(self, request: httpx.Request, body: bytes) -> Request:
        return Request(
            method=request.method,
            path=request.url.path,
            query=request.url.query.decode("ascii"),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
            at=self._clock(),
        )

    def _response(self, answer: Answer, request: httpx.Request) -> httpx.Response:
        stream = self._body(answer, self._app, self._http, _read_timeout(request))
        response: httpx.Response = self._http.Response(
            answer.status,
            headers=list(answer.headers),
            stream=stream,
            extensions={"http_version": b"HTTP/1.1"},
        )
        return response


def _read_timeout(request: httpx.Request) -> float | None:
    timeout: float | None = request.extensions.get("timeout", {}).get("read")
    return timeout
