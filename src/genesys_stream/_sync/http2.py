"""Pushes over HTTP/2, blocking; any number of threads share the connection."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import Any, TypeVar

from .._core.http.exchange import Request
from .._core.http.retry import Attempt, Outcome, RequestFlow
from .._core.http.settings import CallSettings
from .._errors import NetworkError
from .._http import advance, log_exchange
from .._http2 import FIRST_SECONDS, LONGEST_PAUSE, PAUSE, Connection, Connections, log
from .session import clock, leave_by

T = TypeVar("T")


class Http2Session(Connections[threading.Event]):
    """Sends requests over HTTP/2."""

    _transport, _client = "SyncHTTPTransport", "SyncClient"

    def _make_event(self) -> threading.Event:
        return threading.Event()

    def run(self, flow: RequestFlow[T], settings: CallSettings, *, answer_within: float | None) -> T:
        """Run a request flow; see `HttpSession.run`."""
        result: T
        with closing(flow):
            attempt, result = advance(flow)
            while attempt is not None:
                outcome = self._attempt(attempt, settings, answer_within)
                attempt, result = advance(flow, outcome)
        return result

    def _attempt(self, attempt: Attempt, settings: CallSettings, answer_within: float | None) -> Outcome:
        started = clock()
        outcome: Outcome
        token, headers = self.prepare(attempt, settings)
        try:
            outcome = self.reply(self._post(attempt.request, headers, self.seconds(settings, answer_within)), token)
        except NetworkError as error:
            outcome = error
        log_exchange(log, settings, attempt, outcome, clock() - started)
        return outcome

    def _post(self, request: Request, headers: dict[str, str], timeout: float) -> Any:
        """Send a request, again for as long as the service says that it has not processed it."""
        deadline = clock() + timeout
        if (leaving := leave_by.get()) is not None:
            deadline = min(deadline, leaving)
        connection = self.connection()
        if connection.is_open:
            return self._send(connection, request, headers, deadline)
        if not connection.is_first():
            connection.opened.wait(min(max(0.0, deadline - clock()), FIRST_SECONDS))
            return self._send(connection, request, headers, deadline)
        try:
            return self._send(connection, request, headers, deadline)
        finally:
            connection.open()

    def _send(self, connection: Connection[Any], request: Request, headers: dict[str, str], deadline: float) -> Any:
        pause = PAUSE
        failure: NetworkError | None = None
        while failure is None:
            try:
                left = max(0.001, deadline - clock())
                response = connection.http.post(request.url, headers, request.content, timeout=left)
                connection.note(silent=False)
                return response
            except Exception as error:  # noqa: BLE001 - whatever pyqwest raises becomes one of our exceptions
                if not self.is_unprocessed(error) or clock() + pause >= deadline:
                    failure = self.failure(error, connection)
            if failure is None:
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        raise failure

    def close(self) -> None:
        """Let the connection go; what is in flight may still be answered."""
        self.mark_closed()
