"""Completions, blocking."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from typing_extensions import Unpack

from .. import _errors
from .._core.http.exchange import Reply
from .._core.http.settings import Settings
from .._core.reading.chunks import precompile
from .._core.reading.completions import Call, CompletionOptions, complete, completion_call
from .._core.reading.stream import DRAIN_SECONDS, Action, StreamState
from .._core.reading.surrogates import SurrogateJoiner
from .._http import failure, step
from .._values import Completion, CompletionChunk, Message, Timing
from .session import Session, clock, give_back
from .watchdog import Watch, watchdog

if TYPE_CHECKING:
    from .._core.reading.artifacts import ArtifactReader

T = TypeVar("T")

_READ = Action.READ  # an enum's members take their time to be found


class CompletionStream:
    """A completion that is being said: an iterator of chunks, and a context manager.

    Nothing is sent before the first chunk is asked for, or the `with` block is entered.
    Leaving a loop over it, or the block, or letting go of it, gives its connection back.
    A stream is for one thread at a time; only `close` may be called from another one.

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
        self._pieces: Iterator[bytes] = iter(())
        self._watch: Watch | None = None
        self._head: Any = None
        self._busy = threading.Lock()
        self._closed = False
        self._left = threading.Event()

    def __iter__(self) -> Iterator[CompletionChunk]:
        return _Loop(self)

    def __next__(self) -> CompletionChunk:
        """The next chunk."""
        if not self._busy.acquire(False):
            msg = "two threads may not read one stream; read it in one, and hand the chunks on"
            raise _errors.StreamStateError(msg)
        try:
            ready = self._ready
            while not ready:
                if self._reading is not None and self._reading.next_action is _READ and not self._closed:
                    self._read(self._reading)
                else:
                    self._pull()
            return ready.popleft()
        except BaseException:
            self._release()
            raise
        finally:
            self._busy.release()
            if self._closed:
                # By another thread, which left it to this one to give the connection back.
                self.close()

    def __enter__(self) -> Self:
        try:
            self._open(self._begun())
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_response", None) is not None:
            _from_finaliser(self._release)

    @property
    def text_stream(self) -> Iterator[str]:
        """The text alone, piece by piece, with the halves of surrogate pairs joined.

        Where somebody else closes the stream before it is complete, it raises StreamStateError, as `result` does.
        """
        joiner = SurrogateJoiner()
        for chunk in self:
            text = joiner.feed(chunk.text)
            if text:
                yield text
        rest = joiner.close()
        if rest:
            yield rest
        self._insist_on_whole()

    def artifacts(self, path: str, into: type[T]) -> Iterator[T]:
        """Read the elements of a JSON array, each as soon as it is complete.

        Args:
            path: Where the array is in what is said, such as "items" or "result.items"; "$" for a text that is one.
            into: The class of an element: an attrs class, or anything else that cattrs can structure.

        Returns:
            An iterator of values; leaving a loop over it closes the stream.

        Raises:
            InvalidArgument: The path is not one, or `into` is no class.
            ParseError: While iterating: an element is not what the class asks for, or there is no such array.
            GenesysStreamError: While iterating: the stream broke; see the class.
        """
        from .._core.reading.artifacts import ArtifactReader

        return self._artifacts(ArtifactReader(path, into))

    def _artifacts(self, reader: ArtifactReader[T]) -> Iterator[T]:
        for chunk in self:
            yield from reader.feed(chunk.text)
        self._insist_on_whole()
        yield from reader.close()

    @property
    def completion(self) -> Completion:
        """What was said so far."""
        return Completion() if self._reading is None else self._reading.completion

    def result(self) -> Completion:
        """Read to the end.

        Returns:
            The whole completion.

        Raises:
            GenesysStreamError: It did not become whole; see the class.
        """
        for _ in self:
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

    def close(self) -> None:
        """Give the connection back; what was read stays readable in `completion`. The second time does nothing.

        Where another thread reads, its read ends at once; where it still waits for the headers, it waits for them as
        long as the clocks say, and asks no more.
        """
        self._closed = True
        self._left.set()
        if self._busy.acquire(False):
            try:
                self._ready.clear()
                self._release()
            finally:
                self._busy.release()
        elif (watch := self._watch) is not None:
            # Another thread is reading: its read ends now, and it gives the connection back itself.
            watchdog.bark(watch)

    def _begun(self) -> StreamState:
        """The reading, whose clocks start when the stream is first asked for something."""
        if self._reading is None:
            self._reading = StreamState(self._call, reauthorise=self._session.reauthorises, now=clock())
        return self._reading

    def _pull(self) -> None:
        """Do what the reading wants next."""
        reading = self._begun()
        if self._closed or reading.next_action is Action.NOTHING:
            self._release()
            if reading.failure is not None and not self._closed:
                raise reading.failure
            raise StopIteration
        if reading.next_action is Action.OPEN:
            self._release()
            self._open(reading)
        elif reading.next_action is Action.DRAIN:
            self._drain(reading)
        else:
            self._read(reading)

    def _open(self, reading: StreamState) -> None:
        if reading.next_action is not Action.OPEN or self._closed:
            return
        response: Any = None
        try:
            with closing(reading.opening()) as conversation:
                attempt, reply = step(lambda: next(conversation))
                while attempt is not None:
                    outcome, response = self._session.exchange(
                        attempt,
                        self._settings,
                        until=reading.due,
                        answer_within=self._settings.timeouts.transport_idle,
                        keep=True,
                        rest=self._left.wait,
                    )
                    self._response = response
                    if isinstance(outcome, Reply):
                        self._head = outcome
                    if reading.expire(clock()) or self._closed:
                        return
                    attempt, reply = step(lambda: conversation.send(outcome))  # noqa: B023 - called at once
        except _errors.GenesysStreamError as error:
            reading.refused(error)
            return
        reading.opened(reply, clock())
        self._pieces = iter(response.stream)
        self._watch = Watch(response, reading)

    def _read(self, reading: StreamState) -> None:
        try:
            piece = self._piece()
        except Exception as error:  # noqa: BLE001 - the HTTP library's, of which we make ours
            now = clock()
            if not reading.expire(now):
                self._ready.extend(reading.lost(failure(error), now))
            return
        now = clock()
        if piece:
            self._ready += reading.receive(piece, now)
        if not reading.expire(now) and piece is None:
            self._ready.extend(reading.ended(now))

    def _piece(self) -> bytes | None:
        """The next piece; None at the end of the body."""
        watch = self._watch
        if watch is None:
            return None
        watch.begin()
        try:
            return next(self._pieces, None)
        finally:
            watch.since = None

    def _drain(self, reading: StreamState) -> None:
        """Read the little that is left of the body, briefly, so that the connection can be used again."""
        reading.ended(clock())
        until = clock() + DRAIN_SECONDS
        if self._watch is not None:
            self._watch.until = until
        try:
            while self._piece() is not None and clock() < until:
                pass
        except Exception:  # noqa: BLE001, S110 - the completion is whole, and the connection is closed if it is of no more use
            pass

    def _release(self) -> None:
        response, self._response = self._response, None
        watch, self._watch = self._watch, None
        if watch is not None:
            watchdog.leave(watch)
        self._pieces = iter(())
        if response is not None:
            give_back(response)


def _from_finaliser(give_back: Callable[[], None]) -> None:
    """Give a connection back where the garbage collector may have stopped anything.

    If it stopped the very connection pool, or the watchdog, their locks may be held by this thread, and only another
    one can wait for them.
    """
    if sys.is_finalizing():
        # Other threads have stopped for good, whatever they held, and the sockets end with the process.
        return
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(_HOLDS_LOCKS):
            threading.Thread(target=give_back, name="genesys-stream finaliser", daemon=True).start()
            return
        frame = frame.f_back
    give_back()


_HOLDS_LOCKS = ("httpcore", f"{__package__}.watchdog")


class _Loop:
    """One loop over a stream: when it is left, the stream is closed."""

    def __init__(self, stream: CompletionStream) -> None:
        self._stream = stream

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> CompletionChunk:
        return self._stream.__next__()

    def __del__(self) -> None:
        _from_finaliser(self._stream.close)


class Completions:
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
    ) -> CompletionStream:
        """Ask for a completion that is read while it is being said.

        Args:
            model: The model's name.
            messages: The conversation so far, as mappings or as `Message` values.
            **options: See `CompletionOptions`.

        Returns:
            The stream; nothing is sent before it is read.

        Raises:
            InvalidArgument: An argument will not do.
        """
        call = completion_call(self._settings, model=model, messages=messages, stream=True, options=options)
        return CompletionStream(self._session, call)

    def create(
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
        return self._session.converse(conversation, call.settings, answer_within=call.settings.timeouts.answer)
