"""Sends requests, async: performs the steps that `BaseSession` decides."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias, TypeVar

import anyio

from .. import _errors
from .._auth import TokenSource
from .._core.http.retry import Outcome, RequestFlow
from .._core.http.settings import CallSettings
from .._http import (
    BodyBuffer,
    advance,
    http_library,
    log_exchange,
    make_client,
    missing_extra,
    request_maker,
    shut_down_if_unread,
)
from .._session import BaseSession, Send, Sleep, Steps
from .bodies import BodyReader
from .httpcore import ShieldedTasks, lighten
from .tasks import CleanupTasks, Timeouts, current_loop, on_asyncio

T = TypeVar("T")
Clock: TypeAlias = Callable[[], float]


def clock_here() -> Clock:
    """Return the event loop's own clock, which is faster than anyio's, that looks for the event loop at every call."""
    return asyncio.get_running_loop().time if on_asyncio() else anyio.current_time


def clock() -> float:
    """Return the event loop's time."""
    return clock_here()()


_LATE_SECONDS = 0.25
"""How much longer than its deadline a request may take, for the HTTP library's timeouts, which say more, to expire."""

_log = logging.getLogger("genesys_stream")


class HttpSession(BaseSession):
    """Sends requests over two pools of connections: one for completions, one for pushes and tokens.

    Args:
        http: An HTTP client of the caller's; None to make two.
        credentials: Where tokens come from; None if `access_token` is all there is.
        access_token: A token of the caller's.
        max_connections: How many connections each of the two pools may open.
        transport: What the HTTP clients are made with.
    """

    def __init__(
        self,
        http: Any,
        credentials: TokenSource | None,
        access_token: str | None,
        max_connections: int,
        transport: str = "httpx",
    ) -> None:
        super().__init__(credentials, access_token, shared=http is not None)
        library = http_library(transport)
        if http is None:
            cls, self._make_request = library.AsyncClient, request_maker(library)
            if transport == "aiohttp":
                cls, self._make_request = _over_aiohttp()
            self._pools = {long: make_client(cls, library, max_connections) for long in (True, False)}
            if transport != "aiohttp":
                for pool in self._pools.values():
                    lighten(pool)
        else:
            self._make_request = http.build_request
            self._pools = {True: http, False: http}
        self._may_ignore_timeouts = http is not None and not _honours_timeouts(http)
        self._loop: Any = None
        # aiohttp's pool survives cancellations at any point; for httpcore's see httpcore.py.
        self.cleanup = CleanupTasks() if transport == "aiohttp" else ShieldedTasks()

    def http(self, *, long: bool) -> Any:
        """Return the HTTP client for requests that take long, or for short ones.

        Raises:
            UsageError: The client was used on another event loop, whose connections cannot be used on this one.
        """
        here = current_loop()
        if self._loop is None or self._shared:
            self._loop = here
        elif self._loop is not here:
            raise _errors.UsageError(
                "this AsyncClient was used on another event loop, whose connections cannot be used on this one; "
                "make one client for each event loop, for example inside the function that asyncio.run() is given"
            )
        return self._pools[long]

    async def aclose(self) -> None:
        """Close the HTTP clients, unless the caller brought one."""
        await self.cleanup.settle(cancel=not self._shared)
        if not self._shared:
            for http in self._pools.values():
                await self.cleanup.close(http.aclose)

    async def run(self, flow: RequestFlow[T], settings: CallSettings, *, answer_within: float | None) -> T:
        """Run a request flow whose replies are read as a whole.

        Args:
            flow: The requests.
            settings: The timeouts, the headers and the hook.
            answer_within: For how many seconds each reply may keep its reader waiting.

        Returns:
            What the flow returns.
        """
        return await self.perform(self.flow_steps(flow, settings, answer_within=answer_within))

    async def perform(self, steps: Steps[T], sleep: Callable[[float], Awaitable[object]] = anyio.sleep) -> T:
        """Perform steps.

        Args:
            steps: The steps.
            sleep: Waits for some seconds; returns True if the caller has gone meanwhile.

        Returns:
            What the steps return.
        """
        result: T
        try:
            step, result = advance(steps)
            while step is not None:
                done: object = None
                if isinstance(step, Send):
                    done = await self._send(step)
                elif isinstance(step, Sleep):
                    done = await sleep(step.seconds)
                else:
                    with anyio.CancelScope(deadline=math.inf if step.until is None else step.until):
                        await step.signal.wait_async()
                step, result = advance(steps, done)
        finally:
            steps.close()
        return result

    def now(self) -> float:
        """Return the event loop's time."""
        return clock()

    async def _send(self, send: Send) -> tuple[Outcome, Any]:
        """Send a request; return the outcome, and the open response if its body is to be streamed."""
        clock = clock_here()
        started = clock()
        answer: tuple[Outcome, Any] | None = None
        try:
            deadline = self._give_up_at(send)
            if deadline == math.inf:
                answer = await self.cleanup.open(partial(self._answer, send, clock, None), _close_unread, send.timeouts)
            else:
                # Transports such as httpx.ASGITransport ignore the HTTP library's timeouts.
                with anyio.CancelScope(deadline=deadline) as scope:
                    answer = await self.cleanup.open(
                        partial(self._answer, send, clock, scope), _close_unread, send.timeouts
                    )
            if answer is None:
                raise _errors.TransportIdleTimeout("no answer came in time", seconds=send.answer_within)
        except Exception as error:  # noqa: BLE001 - whatever the HTTP library raises becomes one of our exceptions
            answer = send.failure(error, clock()), None
        outcome, response = answer
        try:
            log_exchange(_log, send.settings, send.attempt, outcome, clock() - started)
        except BaseException:
            # For example KeyboardInterrupt in the hook.
            if response is not None:
                await self.cleanup.close(response.aclose)
            raise
        return outcome, response

    def _give_up_at(self, send: Send) -> float:
        """Return the clock's time at which to cancel a request that waits from now on for its answer, or more of it."""
        until = math.inf if send.until is None else send.until
        if self._may_ignore_timeouts and send.answer_within is not None:
            until = min(until, clock() + send.answer_within)
        return until + _LATE_SECONDS

    async def _answer(
        self, send: Send, clock: Clock, scope: anyio.CancelScope | None, timeouts: Timeouts
    ) -> tuple[Outcome, Any]:
        http = self.http(long=send.attempt.request.long)
        send.timeouts = timeouts
        request = self.cleanup.prepared(send.request(self._make_request))
        response = await http.send(request, stream=True, auth=None, follow_redirects=False)
        if send.reads_body(response, clock):
            return send.reply(response, await self._read(response, send, clock, scope)), None
        # The stream keeps its own timers; a second timer for each read would only cost time.
        send.timeouts["read"] = None
        return send.reply(response), response

    async def _read(self, response: Any, send: Send, clock: Clock, scope: anyio.CancelScope | None) -> bytes:
        """Read a whole body as it is on the wire; the core decodes it."""
        body = BodyBuffer(response.status_code)
        reader = BodyReader(response.stream)
        try:
            if scope is not None:
                scope.deadline = self._give_up_at(send)
            while (piece := await reader.read()) is not None and body.add(piece):
                send.check_time(clock)
                if scope is not None and self._may_ignore_timeouts:
                    scope.deadline = self._give_up_at(send)
        except Exception:
            if not body.optional:
                raise
        finally:
            await self.cleanup.close(partial(close_response, response))
        return body.bytes


def _honours_timeouts(http: Any) -> bool:
    """Return whether an HTTP client of the caller's certainly honours timeouts: its transport is the HTTP library's."""
    return any(cls.__name__ == "AsyncHTTPTransport" for cls in type(getattr(http, "_transport", None)).__mro__)


def _over_aiohttp() -> tuple[Any, Any]:
    """Return the classes of clients and of requests that use aiohttp."""
    try:
        from .over_aiohttp import Client, Request
    except ImportError as error:
        raise missing_extra('transport="aiohttp"', "aiohttp") from error
    return Client, Request


async def _close_unread(answer: tuple[Outcome, Any]) -> None:
    _, response = answer
    if response is not None:
        await close_response(response)


async def close_response(response: Any) -> None:
    """Close a response; its connection is reused if nothing but the answer came over it."""
    shut_down_if_unread(response)
    # The answer has been read, and the HTTP library drops a connection that cannot be closed.
    with suppress(Exception):
        await response.aclose()
