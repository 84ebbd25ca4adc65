"""One pooled HTTP client and one token, blocking."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import closing, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from .. import _errors
from .._auth import ClientCredentials, Flight
from .._core.http.exchange import Reply
from .._core.http.retry import Attempt, Conversation, Outcome
from .._http import (
    Body,
    exchanged,
    failure,
    headers_of,
    limits,
    overdue,
    part_if_more_was_said,
    phases,
    reply_of,
    shared_tls,
    shortest,
    step,
)

if TYPE_CHECKING:
    from .._core.http.settings import Settings

T = TypeVar("T")

clock = time.monotonic
leave_by: ContextVar[float | None] = ContextVar("leave_by", default=None)
"""The clock's time by which this thread wants to be out of every call, whatever their own timeouts say."""

_log = logging.getLogger("genesys_stream")


class Session:
    """Sends what conversations ask for.

    Args:
        http: The HTTP client; None for one of our own.
        credentials: Where tokens come from; None when `access_token` is all there is.
        access_token: A token that the caller brought.
        max_connections: How many connections a client of our own may open.
    """

    def __init__(
        self,
        http: Any,
        credentials: ClientCredentials | None,
        access_token: str | None,
        max_connections: int,
    ) -> None:
        self._owns = http is None
        self._max_connections = max_connections
        self._process = os.getpid()
        self._left_behind: list[Any] = []
        self._http = self._client() if http is None else http
        self._credentials = credentials
        self._access_token = access_token
        self.reauthorises = credentials is not None

    def _client(self) -> httpx.Client:
        return httpx.Client(verify=shared_tls(), limits=limits(self._max_connections))

    @property
    def http(self) -> Any:
        """The HTTP client; in a forked child another one of our own, because two cannot talk over one connection."""
        if self._owns and self._process != os.getpid():
            # The parent's stays untouched: its locks may be held by threads that are not here.
            self._left_behind.append(self._http)
            self._process = os.getpid()
            self._http = self._client()
        return self._http

    def close(self) -> None:
        """Close the HTTP client, if it is our own."""
        if self._owns:
            self.http.close()

    def converse(self, conversation: Conversation[T], settings: Settings, *, answer_within: float | None) -> T:
        """Drive a conversation of whole replies to its end.

        Args:
            conversation: What is said.
            settings: The clocks, the headers and the hook.
            answer_within: For how many seconds each reply may keep its reader waiting.
        """
        total = settings.timeouts.total
        until = None if total is None else clock() + total
        result: T
        with closing(conversation):
            attempt, result = step(lambda: next(conversation))
            while attempt is not None:
                outcome, _ = self.exchange(attempt, settings, until=until, answer_within=answer_within)
                attempt, result = step(lambda: conversation.send(outcome))  # noqa: B023 - called at once
        return result

    def exchange(
        self,
        attempt: Attempt,
        settings: Settings,
        *,
        until: float | None,
        answer_within: float | None,
        keep: bool = False,
        rest: Callable[[float], object] = time.sleep,
    ) -> tuple[Outcome, Any]:
        """Make one attempt.

        Args:
            attempt: What is sent.
            settings: The clocks, the headers and the hook.
            until: The clock's time at which to stop waiting.
            answer_within: For how many seconds the reply may keep its reader waiting.
            keep: Whether a success's body is left to be streamed.
            rest: Waits some seconds before the attempt; returns True when nobody wants it any more.

        Returns:
            The outcome; and the open response, if its body was left.

        Raises:
            StreamStateError: Nobody wants it any more.
        """
        until = shortest(until, leave_by.get())
        request = attempt.request
        wait = attempt.after
        if until is not None and wait >= until - clock():
            if request.needs_token:
                return overdue(settings), None
            wait = until - clock()  # for a token, for which others with more time may wait as well
        if wait > 0 and rest(wait):
            raise _errors.StreamStateError("the stream was closed before it was answered")
        token = self._token(attempt, settings, until) if request.needs_token else None
        left = None if until is None else until - clock()
        if left is not None and left <= 0:
            return overdue(settings), None
        timeout = phases(settings.timeouts, left, headers=answer_within)
        started = clock()
        response: Any = None
        try:
            sent = self.http.build_request(
                request.method,
                request.url,
                headers=headers_of(request, token, settings.headers),
                content=request.content,
                extensions={"timeout": timeout},
            )
            response = self.http.send(sent, stream=True, auth=None, follow_redirects=False)
            if keep and response.is_success:
                timeout["read"] = settings.timeouts.transport_idle
                outcome: Outcome = reply_of(response, b"", token)
            else:
                given, response = response, None
                timeout["read"] = shortest(answer_within, None if until is None else until - clock())
                outcome = reply_of(given, _read(given, until), token)
        except Exception as error:  # noqa: BLE001 - the HTTP library's, of which we make ours
            outcome, response = failure(error), None
            if until is not None and clock() >= until:
                outcome = overdue(settings, outcome)
        try:
            exchanged(_log, settings, attempt, outcome, clock() - started)
        except BaseException:
            # Ctrl-C, in the hook for one.
            if response is not None:
                response.close()
            raise
        return outcome, response

    def _token(self, attempt: Attempt, settings: Settings, until: float | None) -> str | None:
        """A good token; or None if the time is up, when somebody else, if anybody waits, goes on to ask for one."""
        if self._credentials is None:
            return self._access_token
        token: str | None
        with closing(self._credentials.obtain(attempt.request.token_margin, attempt.refused)) as dialogue:
            wanted, token = step(lambda: next(dialogue))
            while wanted is not None:
                outcome: Outcome | None = None
                if isinstance(wanted, Flight):
                    wanted.wait(None if until is None else until - clock())
                else:
                    outcome, _ = self.exchange(
                        wanted,
                        settings,
                        until=until,
                        answer_within=shortest(settings.timeouts.transport_idle, 30.0),
                    )
                if until is not None and clock() >= until and not isinstance(outcome, Reply):
                    return None
                wanted, token = step(lambda: dialogue.send(outcome))  # noqa: B023 - called at once
        return token


def _read(response: Any, until: float | None) -> bytes:
    """Read a whole body as it is on the wire; the core undoes its coding."""
    body = Body(response.status_code)
    try:
        for piece in response.stream:
            if not body.add(piece):
                break
            if until is not None and clock() >= until:
                raise _errors.TimeoutExpired("the answer was not whole in time")
    except Exception:
        if not body.dispensable:
            raise
    finally:
        give_back(response)
    return body.bytes


def give_back(response: Any) -> None:
    """Close a response; its connection is used again if nothing but the answer came over it."""
    part_if_more_was_said(response)
    # What was wanted has been read, and a connection that cannot even be closed is given up by the HTTP library.
    with suppress(Exception):
        response.close()
