"""Sends requests, blocking: performs the steps that `BaseSession` decides."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import closing, suppress
from contextvars import ContextVar
from typing import Any, TypeVar

from .._auth import TokenSource
from .._core.http.retry import Outcome, RequestFlow
from .._core.http.settings import CallSettings
from .._http import (
    BodyBuffer,
    advance,
    http_library,
    log_exchange,
    make_client,
    request_maker,
    shortest,
    shut_down_if_unread,
)
from .._session import BaseSession, Send, Sleep, Steps

T = TypeVar("T")

clock = time.monotonic
leave_by: ContextVar[float | None] = ContextVar("leave_by", default=None)
"""The clock's time at which every call of this thread must end, whatever the call's own timeouts are."""

_log = logging.getLogger("genesys_stream")


class HttpSession(BaseSession):
    """Sends requests over two pools of connections: one for completions, one for pushes and tokens.

    Args:
        http: An HTTP client of the caller's; None to make two.
        credentials: Where tokens come from; None if `access_token` is all there is.
        access_token: A token of the caller's.
        max_connections: How many connections each of the two pools may open.
        transport: The HTTP library to use.
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
        self._library = http_library(transport)
        self._max_connections = max_connections
        self._process = os.getpid()
        self._left_behind: list[Any] = []
        self._make_request = request_maker(self._library) if http is None else http.build_request
        self._pools = self._make_pools() if http is None else {True: http, False: http}

    def _make_pools(self) -> dict[bool, Any]:
        return {long: make_client(self._library.Client, self._library, self._max_connections) for long in (True, False)}

    def http(self, *, long: bool) -> Any:
        """Return the HTTP client for requests that take long, or for short ones."""
        if not self._shared and self._process != os.getpid():
            # A forked child gets pools of its own, because two processes cannot share a connection.
            # The parent's stay untouched: their locks may be held by threads that do not exist here.
            self._left_behind.append(self._pools)
            self._process = os.getpid()
            self._pools = self._make_pools()
        return self._pools[long]

    def close(self) -> None:
        """Close the HTTP clients, unless the caller brought one."""
        if not self._shared:
            for long in (True, False):
                self.http(long=long).close()

    def run(self, flow: RequestFlow[T], settings: CallSettings, *, answer_within: float | None) -> T:
        """Run a request flow whose replies are read as a whole.

        Args:
            flow: The requests.
            settings: The timeouts, the headers and the hook.
            answer_within: For how many seconds each reply may keep its reader waiting.

        Returns:
            What the flow returns.
        """
        return self.perform(self.flow_steps(flow, settings, answer_within=answer_within))

    def perform(self, steps: Steps[T], sleep: Callable[[float], object] = time.sleep) -> T:
        """Perform steps.

        Args:
            steps: The steps.
            sleep: Waits for some seconds; returns True if the caller has gone meanwhile.

        Returns:
            What the steps return.
        """
        result: T
        with closing(steps):
            step, result = advance(steps)
            while step is not None:
                done: object = None
                if isinstance(step, Send):
                    done = self._send(step)
                elif isinstance(step, Sleep):
                    done = sleep(step.seconds)
                else:
                    step.signal.wait(None if step.until is None else step.until - clock())
                step, result = advance(steps, done)
        return result

    def now(self) -> float:
        """Return the clock's time."""
        return clock()

    def _deadline(self, until: float | None) -> float | None:
        return shortest(until, leave_by.get())

    def _send(self, send: Send) -> tuple[Outcome, Any]:
        """Send a request; return the outcome, and the open response if its body is to be streamed."""
        started = clock()
        response: Any = None
        try:
            http = self.http(long=send.attempt.request.long)
            response = http.send(send.request(self._make_request), stream=True, auth=None, follow_redirects=False)
            if send.reads_body(response, clock):
                given, response = response, None
                outcome: Outcome = send.reply(given, _read(given, send))
            else:
                send.timeouts["read"] = send.settings.timeouts.transport_idle
                outcome = send.reply(response)
        except Exception as error:  # noqa: BLE001 - whatever the HTTP library raises becomes one of our exceptions
            outcome, response = send.failure(error, clock()), None
        try:
            log_exchange(_log, send.settings, send.attempt, outcome, clock() - started)
        except BaseException:
            # For example KeyboardInterrupt in the hook.
            if response is not None:
                response.close()
            raise
        return outcome, response


def _read(response: Any, send: Send) -> bytes:
    """Read a whole body as it is on the wire; the core decodes it."""
    body = BodyBuffer(response.status_code)
    try:
        for piece in response.stream:
            if not body.add(piece):
                break
            send.check_time(clock)
    except Exception:
        if not body.optional:
            raise
    finally:
        close_response(response)
    return body.bytes


def close_response(response: Any) -> None:
    """Close a response; its connection is reused if nothing but the answer came over it."""
    shut_down_if_unread(response)
    # The answer has been read, and the HTTP library drops a connection that cannot be closed.
    with suppress(Exception):
        response.close()
