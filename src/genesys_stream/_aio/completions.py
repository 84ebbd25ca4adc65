"""Completions, awaited."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import anyio
from typing_extensions import Unpack

from .. import _errors
from .._core.http.exchange import Reply
from .._core.http.settings import Settings
from .._core.reading.chunks import precompile
from .._core.reading.completions import Call, CompletionOptions, complete, completion_call
from .._core.reading.stream import DRAIN_SECONDS, LATE_SECONDS, Action, StreamState
from .._core.reading.surrogates import SurrogateJoiner
from .._http import failure, step
from .._values import Completion, CompletionChunk, Message, Timing
from .session import Session, clock, give_back
from .shield import Alarm, Pieces, finish, on_asyncio

if TYPE_CHECKING:
    from .._core.reading.artifacts import ArtifactReader

T = TypeVar("T")

_NEVER = float("inf")
_READ = Action.READ  # an enum's members take their time to be found


class AsyncCompletionStream:
    """A completion that is being said: an async iterator of chunks, and an async context manager.

    Nothing is sent before the first chunk is asked for, or the `async with` block is entered.
    Leaving a loop over it, or the block, cancelling it, or letting go of it, gives its connection back.
    A stream is for one task at a time.

    Raises:
        StreamTruncated: It ended before it was complete.
        StatusError: The service said no, before the first chunk or inside the stream.
        NetworkError: The connection broke, or a clock of `Timeouts` ran out.
        ProtocolError: The answer is neither an event stream nor JSON.
    """

    def __init__(self, session: Session, call: Call) -> None:
        self._session = session
        self._call = call
        self._settings = call.settings
        self._reading: StreamState | None = None
        self._ready: deque[CompletionChunk] = deque()
        self._response: Any = None
        self._pieces: Pieces | None = None
        self._give_back_later: Callable[[], None] | None = None
        self._alarm: Alarm | None = None
        self._time: Callable[[], float] = clock
        self._head: Any = None
        self._busy = False
        self._closed = False

    def __aiter__(self) -> AsyncIterator[CompletionChunk]:
        return _Loop(self)

    def __anext__(self) -> Awaitable[CompletionChunk]:
        """The next chunk."""
        return self._following(self)

    async def _following(self, loop: object) -> CompletionChunk:  # noqa: ARG002 - the loop lives as long as it waits
        while not self._ready:
            if self._busy:
                msg = "two tasks may not read one stream; read it in one, and hand the chunks on"
                raise _errors.StreamStateError(msg)
            self._busy = True
            try:
                reading, pieces = self._reading, self._pieces
                if reading is not None and pieces is not None and reading.next_action is _READ and not self._closed:
                    await self._read(reading, pieces)
                else:
                    await self._pull()
            except BaseException:
                await self._release()
                raise
            finally:
                self._busy = False
        return self._ready.popleft()

    async def __aenter__(self) -> Self:
        try:
            await self._open(self._begun())
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
        if getattr(self, "_give_back_later", None) is not None:
            self._let_go()

    @property
    def text_stream(self) -> AsyncIterator[str]:
        """The text alone, piece by piece, with the halves of surrogate pairs joined.

        Where somebody else closes the stream before it is complete, it raises StreamStateError, as `result` does.
        """
        return _Texts(self)

    def artifacts(self, path: str, into: type[T]) -> AsyncIterator[T]:
        """Read the elements of a JSON array, each as soon as it is complete.

        Args:
            path: Where the array is in what is said, such as "items" or "result.items"; "$" for a text that is one.
            into: The class of an element: an attrs class, or anything else that cattrs can structure.

        Returns:
            An async iterator of values; leaving a loop over it closes the stream.

        Raises:
            InvalidArgument: The path is not one, or `into` is no class.
            ParseError: While iterating: an element is not what the class asks for, or there is no such array.
            GenesysStreamError: While iterating: the stream broke; see the class.
        """
        from .._core.reading.artifacts import ArtifactReader

        return _Artifacts(self, ArtifactReader(path, into))

    @property
    def completion(self) -> Completion:
        """What was said so far."""
        return Completion() if self._reading is None else self._reading.completion

    async def result(self) -> Completion:
        """Read to the end.

        Returns:
            The whole completion.

        Raises:
            GenesysStreamError: It did not become whole; see the class.
        """
        async for _ in self:
            pass
        self._insist_on_whole()
        return self.completion

    def _insist_on_whole(self) -> None:
        """Refuse to take the end for one where somebody else has closed the stream."""
        if self._reading is None or not self._reading.complete:
            error = _errors.StreamStateError(
                "the stream was closed before it was complete; .partial holds what was said"
            )
            error.partial = self.completion
            raise error

    @property
    def committed(self) -> bool:
        """Whether a non-empty delta was handed out, after which a failure is no longer retried."""
        return self._reading is not None and self._reading.committed

    @property
    def status(self) -> int | None:
        """The HTTP status; None before there is an answer."""
        return None if self._head is None else self._head.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers, their names in lower case; empty before there is an answer."""
        return {} if self._head is None else self._head.headers

    @property
    def request_id(self) -> str:
        """The correlation id, which Genesys Cloud support asks for; "" before there is an answer."""
        return "" if self._head is None else self._head.correlation_id or self.headers.get("x-request-id", "")

    @property
    def timing(self) -> Timing:
        """How the stream flowed so far."""
        return Timing() if self._reading is None else self._reading.timing

    async def aclose(self) -> None:
        """Give the connection back; what was read stays readable in `completion`. The second time does nothing."""
        self._closed = True
        self._ready.clear()
        await self._release()

    def _begun(self) -> StreamState:
        """The reading, whose clocks start when the stream is first asked for something."""
        if self._reading is None:
            self._reading = StreamState(self._call, reauthorise=self._session.reauthorises, now=clock())
        return self._reading

    async def _pull(self) -> None:
        """Do what the reading wants next."""
        reading = self._begun()
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
            # The connection was given back in the middle of a read, as by a cancellation.
            self._ready.extend(reading.ended(clock()))

    async def _open(self, reading: StreamState) -> None:
        if reading.next_action is not Action.OPEN or self._closed:
            return
        try:
            with closing(reading.opening()) as conversation:
                attempt, reply = step(lambda: next(conversation))
                while attempt is not None:
                    outcome, response = await self._session.exchange(
                        attempt,
                        self._settings,
                        until=reading.due,
                        answer_within=self._settings.timeouts.transport_idle,
                        keep=True,
                        rest=self._rest,
                    )
                    if response is not None:
                        self._hold(response)
                    if isinstance(outcome, Reply):
                        self._head = outcome
                    if reading.expire(clock()) or self._closed:
                        return
                    attempt, reply = step(lambda: conversation.send(outcome))  # noqa: B023 - called at once
        except _errors.GenesysStreamError as error:
            reading.refused(error)
            return
        reading.opened(reply, clock())
        self._pieces = Pieces(self._response.stream)
        if on_asyncio():
            self._alarm = Alarm()
            self._time = self._alarm.time

    async def _rest(self, seconds: float) -> bool:
        await anyio.sleep(seconds)
        return self._closed

    def _hold(self, response: Any) -> None:
        self._response = response
        self._give_back_later = self._session.reaper.later(partial(give_back, response))

    async def _read(self, reading: StreamState, pieces: Pieces) -> None:
        alarm = self._alarm
        try:
            if alarm is None:
                piece = await self._piece(pieces, self._due_of_a_read(reading))
            else:
                # As `_piece` has it, in a coroutine less at every token.
                steps, piece = pieces.begin()
                if steps is not None:
                    alarm.set(self._due_of_a_read(reading))
                    piece = await finish(steps, piece, alarm)
        except Exception as error:  # noqa: BLE001 - the HTTP library's, of which we make ours
            now = clock()
            if not reading.expire(now):
                self._ready.extend(reading.lost(failure(error), now))
            return
        now = self._time()
        if piece:
            self._ready += reading.receive(piece, now)
        if not reading.expire(now) and piece is None:
            self._ready.extend(reading.ended(now))

    async def _piece(self, pieces: Pieces, due: float) -> bytes | None:
        """The next piece; None at the end of the body; and nothing at all if it is not there when it is due."""
        if self._alarm is not None:
            steps, piece = pieces.begin()
            if steps is not None:
                self._alarm.set(due)
                piece = await finish(steps, piece, self._alarm)
            return piece  # type: ignore[no-any-return]  # what a generator yields is typed as Any
        with anyio.CancelScope(deadline=due):
            return await pieces.read()
        return b""

    def _due_of_a_read(self, reading: StreamState) -> float:
        due = reading.due
        return _NEVER if due is None else max(due, self._time() + LATE_SECONDS)

    async def _drain(self, reading: StreamState) -> None:
        """Read the little that is left of the body, briefly, so that the connection can be used again."""
        reading.ended(clock())
        until = clock() + DRAIN_SECONDS
        try:
            while self._pieces is not None and await self._piece(self._pieces, until):
                pass
        except Exception:  # noqa: BLE001, S110 - the completion is whole, and the connection is closed if it is of no more use
            pass

    async def _release(self) -> None:
        response, self._response = self._response, None
        self._give_back_later = None
        if self._alarm is not None:
            self._alarm.stop()
            self._alarm = None
        if response is not None:
            await self._session.reaper.close(partial(give_back, response))
        self._pieces = None

    def _let_go(self) -> None:
        """Give the connection back from where nothing can be awaited."""
        self._closed = True
        self._ready.clear()
        give_back, self._give_back_later = self._give_back_later, None
        if give_back is not None:
            self._response = None
            give_back()


class _Loop:
    """One loop over a stream: when it is left, the stream is closed."""

    def __init__(self, stream: AsyncCompletionStream) -> None:
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[CompletionChunk]:
        return self._stream._following(self)

    def __del__(self) -> None:
        self._stream._let_go()


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
        self._stream._insist_on_whole()
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
            self._stream._insist_on_whole()
            self._ready.extend(self._reader.close())
            if not self._ready:
                raise StopAsyncIteration
        return self._ready.popleft()


class AsyncCompletions:
    """Asks for completions.

    Args:
        session: Sends the requests.
        settings: The client's settings.
    """

    def __init__(self, session: Session, settings: Settings) -> None:
        self._session = session
        self._settings = settings
        precompile()

    def stream(
        self,
        *,
        model: str,
        messages: Sequence[Message | Mapping[str, Any]],
        **options: Unpack[CompletionOptions],
    ) -> AsyncCompletionStream:
        """Ask for a completion that is read while it is being said.

        Args:
            model: The model's name.
            messages: The conversation so far, as mappings or as `Message` values.
            **options: See `CompletionOptions`.

        Returns:
            The stream, which needs no await; nothing is sent before it is read.

        Raises:
            InvalidArgument: An argument will not do.
        """
        call = completion_call(self._settings, model=model, messages=messages, stream=True, options=options)
        return AsyncCompletionStream(self._session, call)

    async def create(
        self,
        *,
        model: str,
        messages: Sequence[Message | Mapping[str, Any]],
        **options: Unpack[CompletionOptions],
    ) -> Completion:
        """Ask for a whole completion.

        Args:
            model: The model's name.
            messages: The conversation so far, as mappings or as `Message` values.
            **options: See `CompletionOptions`.

        Returns:
            The completion.

        Raises:
            InvalidArgument: An argument will not do.
            StatusError: The service said no.
            NetworkError: No answer could be had.
            ProtocolError: The answer is not a completion.
        """
        call = completion_call(self._settings, model=model, messages=messages, stream=False, options=options)
        del messages, options  # a report that shows the locals of every frame shows nothing that was said
        conversation = complete(call, reauthorise=self._session.reauthorises)
        return await self._session.converse(conversation, call.settings, answer_within=call.settings.timeouts.answer)
