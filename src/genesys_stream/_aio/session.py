"""One pooled HTTP client and one token, awaited."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing, suppress
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

import anyio
import httpx

from .. import _errors
from .._auth import ClientCredentials, Flight
from .._core.http.exchange import Reply, Request
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
from .shield import Direct, Pieces, Reaper, Trace, on_asyncio

if TYPE_CHECKING:
    from .._core.http.settings import Settings

T = TypeVar("T")


def clock_here() -> Callable[[], float]:
    """The event loop's own clock, for who asks it at every token: anyio's finds out each time where it is."""
    return asyncio.get_running_loop().time if on_asyncio() else anyio.current_time


def clock() -> float:
    """The event loop's time."""
    return clock_here()()


_log = logging.getLogger("genesys_stream")


class Session:
    """Sends what conversations ask for.

    Args:
        http: The HTTP client; None for one of our own.
        credentials: Where tokens come from; None when `access_token` is all there is.
        access_token: A token that the caller brought.
        max_connections: How many connections a client of our own may open.
        transport: What a client of our own speaks through.
    """

    def __init__(
        self,
        http: Any,
        credentials: ClientCredentials | None,
        access_token: str | None,
        max_connections: int,
        transport: str = "httpx",
    ) -> None:
        self._owns = http is None
        self.http = http if http is not None else _client(transport, max_connections)
        self._credentials = credentials
        self._access_token = access_token
        self.reauthorises = credentials is not None
        self.reaper = Direct() if getattr(self.http, "bears_cancellation", False) else Reaper()

    async def aclose(self) -> None:
        """Close the HTTP client, if it is our own."""
        await self.reaper.settle(cancel=self._owns)
        if self._owns:
            await self.reaper.close(self.http.aclose)

    async def converse(self, conversation: Conversation[T], settings: Settings, *, answer_within: float | None) -> T:
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
                outcome, _ = await self.exchange(attempt, settings, until=until, answer_within=answer_within)
                attempt, result = step(lambda: conversation.send(outcome))  # noqa: B023 - called at once
        return result

    async def exchange(
        self,
        attempt: Attempt,
        settings: Settings,
        *,
        until: float | None,
        answer_within: float | None,
        keep: bool = False,
        rest: Callable[[float], Awaitable[object]] = anyio.sleep,
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
        request = attempt.request
        wait = attempt.after
        if until is not None and wait >= until - clock():
            if request.needs_token:
                return overdue(settings), None
            wait = until - clock()  # for a token, for which others with more time may wait as well
        if wait > 0 and await rest(wait):
            raise _errors.StreamStateError("the stream was closed before it was answered")
        token = await self._token(attempt, settings, until) if request.needs_token else None
        left = None if until is None else until - clock()
        if left is not None and left <= 0:
            return overdue(settings), None
        timeout = phases(settings.timeouts, left, headers=answer_within)
        started = clock()

        async def answer(trace: Trace) -> tuple[Outcome, Any]:
            response = await self._send(request, token, settings, timeout, trace)
            if keep and response.is_success:
                # Whoever reads the body keeps the clocks; a second timer for each read would only cost time.
                timeout["read"] = None
                return reply_of(response, b"", token), response
            timeout["read"] = shortest(answer_within, None if until is None else until - clock())
            return reply_of(response, await self._read(response, until), token), None

        outcome: Outcome
        response: Any = None
        try:
            outcome, response = await self.reaper.open(answer, _give_back_unread)
        except Exception as error:  # noqa: BLE001 - the HTTP library's, of which we make ours
            outcome = failure(error)
            if until is not None and clock() >= until:
                outcome = overdue(settings, outcome)
        try:
            exchanged(_log, settings, attempt, outcome, clock() - started)
        except BaseException:
            # Ctrl-C, in the hook for one.
            if response is not None:
                await self.reaper.close(response.aclose)
            raise
        return outcome, response

    async def _send(
        self, request: Request, token: str | None, settings: Settings, timeout: dict[str, float | None], trace: Trace
    ) -> Any:
        sent = self.http.build_request(
            request.method,
            request.url,
            headers=headers_of(request, token, settings.headers),
            content=request.content,
            extensions={"timeout": timeout, "trace": trace},
        )
        body: type[Any] = type(sent.stream)
        sent.stream = _body_class(body)(request.content)  # type: ignore[arg-type]  # a class is hashable
        return await self.http.send(sent, stream=True, auth=None, follow_redirects=False)

    async def _token(self, attempt: Attempt, settings: Settings, until: float | None) -> str | None:
        """A good token; or None if the time is up, when somebody else, if anybody waits, goes on to ask for one."""
        if self._credentials is None:
            return self._access_token
        token: str | None
        with closing(self._credentials.obtain(attempt.request.token_margin, attempt.refused)) as dialogue:
            wanted, token = step(lambda: next(dialogue))
            while wanted is not None:
                outcome: Outcome | None = None
                if isinstance(wanted, Flight):
                    with anyio.CancelScope(deadline=math.inf if until is None else until):
                        await wanted.arrival()
                else:
                    outcome, _ = await self.exchange(
                        wanted,
                        settings,
                        until=until,
                        answer_within=shortest(settings.timeouts.transport_idle, 30.0),
                    )
                if until is not None and clock() >= until and not isinstance(outcome, Reply):
                    return None
                wanted, token = step(lambda: dialogue.send(outcome))  # noqa: B023 - called at once
        return token

    async def _read(self, response: Any, until: float | None) -> bytes:
        """Read a whole body as it is on the wire; the core undoes its coding."""
        body = Body(response.status_code)
        pieces = Pieces(response.stream)
        try:
            while (piece := await pieces.read()) is not None and body.add(piece):
                if until is not None and clock() >= until:
                    raise _errors.TimeoutExpired("the answer was not whole in time")
        except Exception:
            if not body.dispensable:
                raise
        finally:
            await self.reaper.close(partial(give_back, response))
        return body.bytes


def _client(transport: str, max_connections: int) -> httpx.AsyncClient:
    """An HTTP client of our own."""
    cls = httpx.AsyncClient
    if transport == "aiohttp":
        try:
            from .over_aiohttp import Client as cls  # noqa: N813 - either is the class to make one of
        except ImportError as error:
            msg = 'transport="aiohttp" needs the extra [aiohttp]: pip install "genesys-stream[aiohttp]"'
            raise _errors.ConfigurationError(msg) from error
    return cls(verify=shared_tls(), limits=limits(max_connections))


class _Once:
    """An iterator of one item, which needs no closing."""

    def __init__(self, item: bytes) -> None:
        self._items = [item]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._items:
            raise StopAsyncIteration
        return self._items.pop()


@cache
def _body_class(base: type[Any]) -> type[Any]:
    """A request's body as the HTTP library knows it, but without a generator that a broken connection leaves behind."""

    class Body(base):  # type: ignore[misc]  # whichever HTTP library's it is
        def __init__(self, content: bytes) -> None:
            self._content = content

        def __iter__(self) -> Iterator[bytes]:
            return iter((self._content,))

        def __aiter__(self) -> AsyncIterator[bytes]:
            return _Once(self._content)

    return Body


async def _give_back_unread(answer: tuple[Outcome, Any]) -> None:
    _, response = answer
    if response is not None:
        await give_back(response)


async def give_back(response: Any) -> None:
    """Close a response; its connection is used again if nothing but the answer came over it."""
    part_if_more_was_said(response)
    # What was wanted has been read, and a connection that cannot even be closed is given up by the HTTP library.
    with suppress(Exception):
        await response.aclose()
