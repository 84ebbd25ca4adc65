"""Completions, blocking."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from .. import _errors
from .._completions import BaseCompletions, BaseCompletionStream
from .._core.http.retry import RequestFlow
from .._core.http.settings import Settings
from .._core.reading.completions import Call
from .._core.reading.stream import DRAIN_SECONDS, Action, StreamState
from .._core.reading.surrogates import SurrogateJoiner
from .._http import network_error
from .._values import Completion, CompletionChunk
from .session import HttpSession, clock, close_response
from .watchdog import Watch, watchdog

if TYPE_CHECKING:
    from .._core.reading.artifacts import ArtifactReader

T = TypeVar("T")

_READ = Action.READ  # faster than to look up the member at every read


class CompletionStream(BaseCompletionStream[HttpSession]):
    """A completion that is read while it is generated: an iterator of chunks, and a context manager.

    Nothing is sent before the first chunk is requested, or the `with` block is entered.
    Leaving a loop over it, leaving the block, or dropping it returns its connection to the pool.
    It can be read once, by one thread at a time; only `close` may be called from another one.

    Raises:
        StreamTruncated: It ended before it was complete.
        StatusError: The service refused the request, before the first chunk or inside the stream.
        NetworkError: The connection broke, or a timeout of `Timeouts` expired.
        ProtocolError: The answer is neither an event stream nor JSON.
        StreamStateError: It was read already, or is read by another thread.
    """

    def __init__(self, session: HttpSession, call: Call) -> None:
        super().__init__(session, call)
        self._pieces: Iterator[bytes] = iter(())
        self._watch: Watch | None = None
        self._busy = threading.Lock()
        self._left = threading.Event()

    def __iter__(self) -> Iterator[CompletionChunk]:
        self._require_unread()
        return _Loop(self)

    def __next__(self) -> CompletionChunk:
        """Return the next chunk."""
        if not self._busy.acquire(False):
            msg = "two threads may not read one stream; read it in one, and hand the chunks on"
            raise _errors.StreamStateError(msg)
        try:
            while not self._ready:
                if self._reading is not None and self._reading.next_action is _READ and not self._closed:
                    self._read(self._reading)
                else:
                    self._pull()
            return self._ready.pop()
        except BaseException:
            self._release()
            raise
        finally:
            self._busy.release()
            if self._closed:
                # By another thread, which left it to this one to close the response.
                self.close()

    def __enter__(self) -> Self:
        try:
            self._open(self._begin())
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

        It raises StreamStateError if the stream is closed before it is complete, as `result` does.
        """
        joiner = SurrogateJoiner()
        for chunk in self:
            text = joiner.feed(chunk.text)
            if text:
                yield text
        rest = joiner.close()
        if rest:
            yield rest
        self._require_complete()

    def artifacts(self, path: str, into: type[T]) -> Iterator[T]:
        """Parse the elements of a JSON array, each as soon as it is complete.

        Args:
            path: Where the array is in the JSON text, such as "items" or "result.items"; "$" if the text is the array.
            into: The class of an element: an attrs class, or any other that cattrs can structure.

        Returns:
            An iterator of values; leaving a loop over it closes the stream.

        Raises:
            InvalidArgument: The path is invalid, or `into` is no class.
            ParseError: While iterating: an element does not fit the class, or there is no such array.
            GenesysStreamError: While iterating: the stream failed; see the class.
        """
        from .._core.reading.artifacts import ArtifactReader

        return self._artifacts(ArtifactReader(path, into))

    def _artifacts(self, reader: ArtifactReader[T]) -> Iterator[T]:
        for chunk in self:
            yield from reader.feed(chunk.text)
        self._require_complete()
        yield from reader.close()

    def result(self) -> Completion:
        """Read to the end.

        Returns:
            The completion.

        Raises:
            GenesysStreamError: The stream failed, or was closed before it was complete; see the class.
        """
        if not self._finished:
            for _ in self:
                pass
        self._require_complete()
        return self.completion

    def close(self) -> None:
        """Return the connection to the pool; `completion` keeps what was read. Idempotent.

        A read of another thread ends at once; a thread that still waits for the headers goes on waiting until they come
        or a timeout expires, and then sends nothing more.
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
            # Another thread is reading: its read ends now, and it closes the response itself.
            watchdog.abort(watch)

    def _pull(self) -> None:
        """Take the next action that is not a plain read."""
        reading = self._begin()
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
        if self._session.perform(self._opening(reading), self._left.wait):
            self._pieces = iter(self._response.stream)
            self._watch = Watch(self._response, reading)

    def _read(self, reading: StreamState) -> None:
        try:
            piece = self._piece()
        except Exception as error:  # noqa: BLE001 - whatever the HTTP library raises becomes one of our exceptions
            now = clock()
            if not reading.expire(now):
                self._ready = [*reversed(reading.lost(network_error(error), now))]
            return
        self._ready = [*reversed(reading.receive(piece, clock()))]

    def _piece(self) -> bytes | None:
        """Return the next piece; None at the end of the body."""
        watch = self._watch
        if watch is None:
            return None
        watch.begin()
        try:
            return next(self._pieces, None)
        finally:
            watch.since = None

    def _drain(self, reading: StreamState) -> None:
        """Read the rest of the body, briefly, so that the connection can be reused."""
        reading.ended(clock())
        until = clock() + DRAIN_SECONDS
        if self._watch is not None:
            self._watch.until = until
        try:
            while self._piece() is not None and clock() < until:
                pass
        except Exception:  # noqa: BLE001, S110 - the completion is complete, and a broken connection is closed
            pass

    def _release(self) -> None:
        """Close the response, if there is one."""
        response, self._response = self._response, None
        watch, self._watch = self._watch, None
        if watch is not None:
            watchdog.leave(watch)
        self._pieces = iter(())
        if response is not None:
            close_response(response)


def _from_finaliser(close: Callable[[], None]) -> None:
    """Call `close` from a finaliser, which the garbage collector may run inside any other function.

    If that is a function of the connection pool or the watchdog, this thread may hold their locks, and only another one
    can wait for them.
    """
    if sys.is_finalizing():
        # Other threads have stopped and may hold locks; the sockets end with the process.
        return
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(_HOLDS_LOCKS):
            threading.Thread(target=close, name="genesys-stream finaliser", daemon=True).start()
            return
        frame = frame.f_back
    close()


_HOLDS_LOCKS = ("httpcore", "httpcore2", f"{__package__}.watchdog")


class _Loop:
    """One loop over a stream; leaving it closes the stream."""

    def __init__(self, stream: CompletionStream) -> None:
        self._stream = stream

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> CompletionChunk:
        return self._stream.__next__()

    def __del__(self) -> None:
        _from_finaliser(self._stream.close)


class Completions(BaseCompletions[HttpSession, CompletionStream, Completion]):
    """Requests completions, blocking."""

    def _stream(self, call: Call) -> CompletionStream:
        return CompletionStream(self._session, call)

    def _run(self, flow: RequestFlow[Completion], settings: Settings, *, answer_within: float | None) -> Completion:
        return self._session.run(flow, settings, answer_within=answer_within)
