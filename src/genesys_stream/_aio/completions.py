"""Completions, awaited."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import anyio

from .. import _errors
from .._completions import BaseCompletions, BaseCompletionStream
from .._core.http.retry import RequestFlow
from .._core.http.settings import Settings
from .._core.reading.completions import Call
from .._core.reading.stream import DRAIN_SECONDS, LATE_SECONDS, Action, StreamState
from .._core.reading.surrogates import SurrogateJoiner
from .._http import network_error
from .._values import Completion, CompletionChunk
from .bodies import BodyReader, ReadTimer, finish
from .session import HttpSession, clock, close_response
from .tasks import on_asyncio

if TYPE_CHECKING:
    from .._core.reading.artifacts import ArtifactReader

T = TypeVar("T")

_NEVER = float("inf")
_READ = Action.READ  # faster than to look up the member at every read


class AsyncCompletionStream(BaseCompletionStream[HttpSession]):
    """A completion that is read while it is generated: an async iterator of chunks, and an async context manager.

    Nothing is sent before the first chunk is requested, or the `async with` block is entered.
    Leaving a loop over it, leaving the block, cancelling it, or dropping it returns its connection to the pool.
    It can be read once, by one task at a time.

    Raises:
        StreamTruncated: It ended before it was complete.
        StatusError: The service refused the request, before the first chunk or inside the stream.
        NetworkError: The connection broke, or a timeout of `Timeouts` expired.
        ProtocolError: The answer is neither an event stream nor JSON.
        StreamStateError: It was read already, or is read by another task.
    """

    def __init__(self, session: HttpSession, call: Call) -> None:
        super().__init__(session, call)
        self._body: BodyReader | None = None
        self._finalizer: Callable[[], None] | None = None
        self._timer: ReadTimer | None = None
        self._time: Callable[[], float] = clock
        self._busy = False

    def __aiter__(self) -> AsyncIterator[CompletionChunk]:
        self._require_unread()
        return _Loop(self)

    def __anext__(self) -> Awaitable[CompletionChunk]:
        """Return the next chunk."""
        return _Cursor(self).__anext__()

    async def __aenter__(self) -> Self:
        try:
            await self._open(self._begin())
        except BaseException:
            await self._release()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if getattr(self, "_finalizer", None) is not None:
            self._drop()

    @property
    def text_stream(self) -> AsyncIterator[str]:
        """The text alone, piece by piece, with the halves of surrogate pairs joined.

        It raises StreamStateError if the stream is closed before it is complete, as `result` does.
        """
        return _Texts(self)

    def artifacts(self, path: str, into: type[T]) -> AsyncIterator[T]:
        """Parse the elements of a JSON array, each as soon as it is complete.

        Args:
            path: Where the array is in the JSON text, such as "items" or "result.items"; "$" if the text is the array.
            into: The class of an element: an attrs class, or any other that cattrs can structure.

        Returns:
            An async iterator of values; leaving a loop over it closes the stream.

        Raises:
            InvalidArgument: The path is invalid, or `into` is no class.
            ParseError: While iterating: an element does not fit the class, or there is no such array.
            GenesysStreamError: While iterating: the stream failed; see the class.
        """
        from .._core.reading.artifacts import ArtifactReader

        return _Artifacts(self, ArtifactReader(path, into))

    async def result(self) -> Completion:
        """Read to the end.

        Returns:
            The completion.

        Raises:
            GenesysStreamError: The stream failed, or was closed before it was complete; see the class.
        """
        if not self._finished:
            async for _ in self:
                pass
        self._require_complete()
        return self.completion

    async def aclose(self) -> None:
        """Return the connection to the pool; `completion` keeps what was read. Idempotent."""
        self._closed = True
        self._ready.clear()
        await self._release()

    async def _pull(self) -> None:
        """Take the next action that is not a plain read."""
        reading = self._begin()
        if self._closed or reading.next_action is Action.NOTHING:
            await self._release()
            if reading.failure is not None and not self._closed:
                raise reading.failure
            raise StopAsyncIteration
        if reading.next_action is Action.OPEN:
            await self._release()
            await self._open(reading)
        elif reading.next_action is Action.DRAIN:
            await self._drain(reading)
        else:
            # The response was closed in the middle of a read, for example by a cancellation.
            self._ready = [*reversed(reading.ended(clock()))]

    async def _open(self, reading: StreamState) -> None:
        if reading.next_action is not Action.OPEN or self._closed:
            return
        if await self._session.perform(self._opening(reading), self._sleep):
            self._body = BodyReader(self._response.stream)
            if on_asyncio():
                self._timer = ReadTimer()
                self._time = self._timer.time

    async def _sleep(self, seconds: float) -> bool:
        await anyio.sleep(seconds)
        return self._closed

    def _hold(self, response: Any) -> None:
        self._response = response
        self._finalizer = self._session.cleanup.finalizer(partial(close_response, response))

    async def _piece(self, body: BodyReader, due: float) -> bytes | None:
        """Return the next piece; None at the end of the body; b"" if it does not come in time."""
        if self._timer is not None:
            steps, piece = body.begin()
            if steps is not None:
                self._timer.set(due)
                piece = await finish(steps, piece, self._timer)
            return piece  # type: ignore[no-any-return]  # what a generator yields is typed as Any
        with anyio.CancelScope(deadline=due):
            return await body.read()
        return b""

    def _read_deadline(self, reading: StreamState) -> float:
        due = reading.due
        return _NEVER if due is None else max(due, self._time() + LATE_SECONDS)

    async def _drain(self, reading: StreamState) -> None:
        """Read the rest of the body, briefly, so that the connection can be reused."""
        reading.ended(clock())
        until = clock() + DRAIN_SECONDS
        try:
            while self._body is not None and await self._piece(self._body, until):
                pass
        except Exception:  # noqa: BLE001, S110 - the completion is complete, and a broken connection is closed
            pass

    async def _release(self) -> None:
        """Close the response, if there is one."""
        response, self._response = self._response, None
        self._finalizer = None
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        if response is not None:
            await self._session.cleanup.close(partial(close_response, response))
        self._body = None

    def _drop(self) -> None:
        """Have the response closed, from a finaliser, which cannot await."""
        self._closed = True
        self._ready.clear()
        finalizer, self._finalizer = self._finalizer, None
        if finalizer is not None:
            self._response = None
            finalizer()


class _Cursor:
    """Reads the chunks of a stream."""

    def __init__(self, stream: AsyncCompletionStream) -> None:
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> CompletionChunk:
        stream = self._stream
        while not stream._ready:
            if stream._busy:
                msg = "two tasks may not read one stream; read it in one, and hand the chunks on"
                raise _errors.StreamStateError(msg)
            stream._busy = True
            try:
                reading, body, timer = stream._reading, stream._body, stream._timer
                if reading is None or body is None or reading.next_action is not _READ or stream._closed:
                    await stream._pull()
                    continue
                try:
                    if timer is None:
                        piece = await stream._piece(body, stream._read_deadline(reading))
                    else:
                        # The same as `_piece`, with fewer coroutines and calls per token.
                        steps, piece = body.begin()
                        if steps is not None:
                            timer.begin(reading)
                            piece = await finish(steps, piece, timer)
                except Exception as error:  # noqa: BLE001 - what the HTTP library raises becomes one of our exceptions
                    now = clock()
                    if not reading.expire(now):
                        stream._ready = [*reversed(reading.lost(network_error(error), now))]
                else:
                    stream._ready = [*reversed(reading.receive(piece, stream._time()))]
                    piece = None  # a report that shows the locals of every frame shows nothing that was said
            except BaseException:
                await stream._release()
                raise
            finally:
                stream._busy = False
        return stream._ready.pop()


class _Loop(_Cursor):
    """One loop over a stream; leaving it closes the stream."""

    def __del__(self) -> None:
        self._stream._drop()


class _Texts:
    """The text of a stream."""

    def __init__(self, stream: AsyncCompletionStream) -> None:
        self._stream = stream
        self._chunks = stream.__aiter__()
        self._joiner = SurrogateJoiner()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        async for chunk in self._chunks:
            text = self._joiner.feed(chunk.text)
            if text:
                return text
        rest = self._joiner.close()
        if rest:
            return rest
        self._stream._require_complete()
        raise StopAsyncIteration


class _Artifacts(Generic[T]):
    """The elements of an array in a stream."""

    def __init__(self, stream: AsyncCompletionStream, reader: ArtifactReader[T]) -> None:
        self._stream = stream
        self._chunks = stream.__aiter__()
        self._reader = reader
        self._ready: deque[T] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._ready:
            chunk = await anext(self._chunks, None)
            if chunk is not None:
                self._ready.extend(self._reader.feed(chunk.text))
                continue
            self._stream._require_complete()
            self._ready.extend(self._reader.close())
            if not self._ready:
                raise StopAsyncIteration
        return self._ready.popleft()


class AsyncCompletions(BaseCompletions[HttpSession, AsyncCompletionStream, Coroutine[Any, Any, Completion]]):
    """Requests completions, async."""

    def _stream(self, call: Call) -> AsyncCompletionStream:
        return AsyncCompletionStream(self._session, call)

    async def _run(
        self, flow: RequestFlow[Completion], settings: Settings, *, answer_within: float | None
    ) -> Completion:
        return await self._session.run(flow, settings, answer_within=answer_within)
