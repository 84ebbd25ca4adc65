"""Pushes over HTTP/2, awaited; pyqwest runs on threads of its own, and answers tasks of asyncio and of trio alike."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import Any, TypeVar

import anyio

from .._core.http.exchange import Request
from .._core.http.retry import Attempt, Outcome, RequestFlow
from .._core.http.settings import CallSettings
from .._errors import NetworkError
from .._http import advance, log_exchange
from .._http2 import FIRST_SECONDS, LONGEST_PAUSE, PAUSE, Connection, Connections, log
from .session import Clock, clock_here
from .tasks import on_asyncio

T = TypeVar("T")


class Http2Session(Connections[anyio.Event]):
    """Sends requests over HTTP/2."""

    _transport, _client = "HTTPTransport", "Client"

    def _make_event(self) -> anyio.Event:
        return anyio.Event()

    async def run(self, flow: RequestFlow[T], settings: CallSettings, *, answer_within: float | None) -> T:
        """Run a request flow; see `HttpSession.run`."""
        result: T
        with closing(flow):
            attempt, result = advance(flow)
            while attempt is not None:
                outcome = await self._attempt(attempt, settings, answer_within)
                attempt, result = advance(flow, outcome)
        return result

    async def _attempt(self, attempt: Attempt, settings: CallSettings, answer_within: float | None) -> Outcome:
        clock = clock_here()
        started = clock()
        outcome: Outcome
        token, headers = self.prepare(attempt, settings)
        deadline = started + self.seconds(settings, answer_within)
        try:
            outcome = self.reply(await self._post(attempt.request, headers, deadline, clock), token)
        except NetworkError as error:
            outcome = error
        log_exchange(log, settings, attempt, outcome, clock() - started)
        return outcome

    async def _post(self, request: Request, headers: dict[str, str], deadline: float, clock: Clock) -> Any:
        """Send a request, again for as long as the service says that it has not processed it."""
        connection = self.connection()
        if connection.is_open:
            return await self._send(connection, request, headers, deadline, clock)
        if not connection.is_first():
            with anyio.move_on_after(min(deadline - clock(), FIRST_SECONDS)):
                await connection.opened.wait()
            return await self._send(connection, request, headers, deadline, clock)
        try:
            return await self._send(connection, request, headers, deadline, clock)
        finally:
            connection.open()

    async def _send(
        self, connection: Connection[Any], request: Request, headers: dict[str, str], deadline: float, clock: Clock
    ) -> Any:
        pause = PAUSE
        failure: NetworkError | None = None
        while failure is None:
            try:
                if on_asyncio():  # whose own timeout costs less than a cancel scope
                    async with asyncio.timeout_at(deadline):
                        response = await connection.http.post(request.url, headers, request.content)
                else:
                    with anyio.fail_after(deadline - clock()):
                        response = await connection.http.post(request.url, headers, request.content)
                connection.note(silent=False)
                return response
            except Exception as error:  # noqa: BLE001 - whatever pyqwest raises becomes one of our exceptions
                if not self.is_unprocessed(error) or clock() + pause >= deadline:
                    failure = self.failure(error, connection)
            if failure is None:
                await anyio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        raise failure

    async def aclose(self) -> None:
        """Let the connection go; what is in flight may still be answered."""
        self.mark_closed()
