"""The queue of what one route answers next, and methods that fill it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from threading import Lock
from typing import Any, Generic, Literal, TypeVar

from ._bodies import encode, event
from ._scripted import (
    DONE,
    EVENT_STREAM,
    JSON,
    Cut,
    ErrorEvent,
    Fail,
    Handle,
    Say,
    Scripted,
    Stall,
    retry_after_header,
    too_many_requests,
)
from ._texts import tokenise
from ._values import Answer, Drop, Entry, Piece, Refuse, headers_of

ScriptedT = TypeVar("ScriptedT")


class Queue(Generic[ScriptedT]):
    """What is answered next: first what was queued, in order, then what is always answered.

    Args:
        usual: What is answered where nothing is scripted.
    """

    def __init__(self, usual: ScriptedT) -> None:
        self._lock = Lock()
        self._queue: deque[ScriptedT] = deque()
        self._usual = self._always = usual

    def queue(self, *scripted: ScriptedT, times: int | None = 1) -> None:
        """Queue values that say what is answered.

        Args:
            *scripted: What to answer, one after the other.
            times: For how many requests each; None for always, of which there can be one.

        Raises:
            ValueError: `times` is below 1.
        """
        if times is not None and times < 1:
            msg = f"times must be at least 1, or None for always; got {times}"
            raise ValueError(msg)
        with self._lock:
            if times is None:
                self._always = scripted[-1]
            else:
                self._queue.extend(what for what in scripted for _ in range(times))

    def clear(self) -> None:
        """Remove everything that was scripted."""
        with self._lock:
            self._queue.clear()
            self._always = self._usual

    def next(self) -> ScriptedT:
        """Return what answers the next request, and remove it from the queue."""
        with self._lock:
            return self._queue.popleft() if self._queue else self._always

    @property
    def pending(self) -> int:
        """How many requests have something queued for them."""
        with self._lock:
            return len(self._queue)


class Script(Queue[Scripted]):
    """What one route answers next: first what was queued, in order, then what it always answers.

    Every method takes `times`: how many requests it is for; None makes it the answer of all further requests
    that nothing else is queued for. `queue` takes values such as `Say` and `Answer`.
    Requests without a valid token do not use up the script, nor do those over the fake's rate limit.
    """

    def __init__(self, requests: Callable[[], list[Entry]]) -> None:
        super().__init__(Handle())
        self._requests = requests

    @property
    def requests(self) -> list[Entry]:
        """The log entries of this route."""
        return self._requests()

    def answer(
        self,
        status: int = 200,
        *,
        json: Any = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        after: float = 0.0,
        times: int | None = 1,
    ) -> None:
        """Answer with this status, body and headers.

        Args:
            status: The HTTP status.
            json: The body as a value; it brings its Content-Type.
            body: The body as bytes, where there is no `json`.
            headers: Further headers.
            after: Seconds before the status line.
            times: For how many requests; None for always.
        """
        kind = () if json is None else (JSON,)
        content = body if json is None else encode(json)
        self.queue(Answer(status, (*kind, *headers_of(headers)), (content,), _pause(after)), times=times)

    def raw(
        self,
        pieces: Iterable[Piece],
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        times: int | None = 1,
    ) -> None:
        """Answer with a body in pieces.

        Args:
            pieces: Bytes, pauses in seconds, and `Drop()` where the connection is to break.
            status: The HTTP status.
            headers: All headers; None for those of an event stream.
            times: For how many requests; None for always.
        """
        pairs = EVENT_STREAM if headers is None else headers_of(headers)
        # An empty piece at the end keeps a single one chunked, as a stream's body is.
        self.queue(Answer(status, pairs, (*pieces, b"")), times=times)

    def fail(
        self,
        status: int = 503,
        *,
        code: str = "",
        message: str = "",
        details: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
        times: int | None = 1,
    ) -> None:
        """Answer with an error body.

        Args:
            status: The HTTP status.
            code: The service's code; "" for the usual one of the status.
            message: The service's message; "" for the usual one of the status.
            details: The body's details, each a mapping with `errorCode` and `fieldName`.
            headers: Further headers.
            times: For how many requests; None for always.
        """
        self.queue(Fail(status, code, message, tuple(details), None, headers_of(headers)), times=times)

    def rate_limit(self, retry_after: float | datetime | str | None = 1, *, times: int | None = 1) -> None:
        """Answer 429.

        Args:
            retry_after: Seconds, the moment to wait for, or the Retry-After header word for word; None for no header.
            times: For how many requests; None for always.
        """
        self.queue(too_many_requests(retry_after), times=times)

    def drop(self, *, reset: bool = False, times: int | None = 1) -> None:
        """Break the connection before the status line; the request is not handled.

        Args:
            reset: By a reset (RST) rather than by a close (FIN).
            times: For how many requests; None for always.
        """
        self.queue(Answer(before=(Drop(reset),)), times=times)

    def refuse(self, *, times: int | None = 1) -> None:
        """Refuse the connection: `ConnectError` in memory, a reset on a real server (see `FakeServer.refusing`).

        Args:
            times: For how many requests; None for always.
        """
        self.queue(Answer(before=(Refuse(),)), times=times)

    def late(self, seconds: float, *, times: int | None = 1) -> None:
        """Handle the request as usual, and answer later.

        Args:
            seconds: By how much.
            times: For how many requests; None for always.
        """
        self.queue(Handle((seconds,)), times=times)

    def lose_answer(self, *, after: float = 0.0, reset: bool = False, times: int | None = 1) -> None:
        """Handle the request as usual, then break the connection instead of answering.

        Args:
            after: Seconds before it breaks.
            reset: By a reset (RST) rather than by a close (FIN).
            times: For how many requests; None for always.
        """
        self.queue(Handle((*_pause(after), Drop(reset))), times=times)


class TokenScript(Script):
    """What `POST /oauth/token` answers next."""

    def rate_limit(self, retry_after: float | datetime | str | None = None, *, times: int | None = 1) -> None:
        """Answer as the token endpoint does when too many tokens are asked for: 400, "rate limit exceeded;".

        Args:
            retry_after: As for the other routes; this endpoint is not known to send the header.
            times: For how many requests; None for always.
        """
        headers = () if retry_after is None else (("Retry-After", retry_after_header(retry_after)),)
        message = "rate limit exceeded; too many token requests"
        self.queue(Fail(400, "invalid_request", message, headers=headers), times=times)


class CompletionScript(Script):
    """What `POST /api/v2/ai/llm/completions`, and its alias, answers next.

    Where `after_events` counts, it counts events on the wire: 0 is right after the headers, 1 after the event that
    carries only the role, 2 after the first delta.
    """

    def say(
        self,
        text: str | Iterable[str] | None = None,
        *faults: Cut | Stall | ErrorEvent,
        every: float | None = None,
        first_after: float = 0.0,
        headers_after: float = 0.0,
        finish_reason: str | None = "stop",
        done: bool = True,
        tool_calls: Iterable[tuple[str, str | Mapping[str, Any]]] = (),
        times: int | None = 1,
    ) -> None:
        """Answer with a completion.

        Args:
            text: Text, cut into word-like tokens, or the deltas themselves; None for the default text, or for none
                where there are tool calls.
            faults: What goes wrong on the way.
            every: Seconds between two deltas; None for the fake's `token_interval`.
            first_after: Seconds between the role and the first delta.
            headers_after: Seconds before the status line.
            finish_reason: Why the model stopped; None leaves the event out, as a stream that is cut would.
            done: Whether `[DONE]` ends the stream.
            tool_calls: The tools that the model calls, after the text: pairs of a name and of arguments, which are a
                mapping or JSON text. The finish reason "stop" becomes "tool_calls".
            times: For how many requests; None for always.
        """
        tokens = tokenise(text) if isinstance(text, str) else None if text is None else tuple(text)
        calls = tuple((name, given if isinstance(given, str) else encode(given).decode()) for name, given in tool_calls)
        if calls and finish_reason == "stop":
            finish_reason = "tool_calls"
        said = Say(tokens, every, first_after, headers_after, finish_reason, done, faults, calls)
        self.queue(said, times=times)

    def events(
        self,
        data: Iterable[Any],
        *,
        every: float = 0.0,
        done: bool = True,
        headers: Mapping[str, str] | None = None,
        times: int | None = 1,
    ) -> None:
        """Answer with a stream of these events, whatever they hold: odd chunks, metadata, other formats.

        Args:
            data: The data of each event: text as it is, anything else as JSON.
            every: Seconds between two events.
            done: Whether `[DONE]` ends the stream.
            headers: All headers; None for those of an event stream.
            times: For how many requests; None for always.
        """
        pieces: list[Piece] = []
        for one in data:
            pieces += [*(_pause(every) if pieces else ()), event(one)]
        self.raw([*pieces, DONE] if done else pieces, headers=headers, times=times)

    def drop(  # the base's drop, and in the body as well
        self,
        *,
        after_events: int | None = None,
        inside: Literal["event", "character"] | None = None,
        reset: bool = False,
        text: str | Iterable[str] | None = None,
        every: float | None = None,
        times: int | None = 1,
    ) -> None:
        """Break the connection: before the status line, or within the stream.

        Args:
            after_events: After how many events; None, without `inside`, is before the status line.
            inside: In the middle of the event that follows, or of a UTF-8 character in it; where no event from there
                on has a character of more than one byte, one is added.
            reset: By a reset (RST) rather than by a close (FIN).
            text: The text; None for the default text.
            every: Seconds between two deltas; None for the fake's `token_interval`.
            times: For how many requests; None for always.
        """
        if after_events is None and inside is None:
            super().drop(reset=reset, times=times)
        else:
            after_events = 2 if after_events is None else after_events
            self.say(text, Cut(after_events, inside, reset), every=every, times=times)

    def stall(
        self,
        seconds: float = 60.0,
        *,
        after_events: int = 1,
        heartbeat_every: float | None = None,
        text: str | Iterable[str] | None = None,
        every: float | None = None,
        times: int | None = 1,
    ) -> None:
        """Send nothing for a while within the stream, then go on.

        Args:
            seconds: For how long.
            after_events: After how many events.
            heartbeat_every: Seconds between comments that keep the connection alive; None for none.
            text: The text; None for the default text.
            every: Seconds between two deltas; None for the fake's `token_interval`.
            times: For how many requests; None for always.
        """
        self.say(text, Stall(after_events, seconds, heartbeat_every), every=every, times=times)

    def error_event(
        self,
        error: Mapping[str, Any] | None = None,
        *,
        after_events: int = 1,
        event_name: str = "",
        text: str | Iterable[str] | None = None,
        every: float | None = None,
        times: int | None = 1,
    ) -> None:
        """End the stream with an error inside it, behind a status of 200.

        Args:
            error: What the `error` field holds; None for a server error.
            after_events: After how many events.
            event_name: The event type, "error" with some gateways; "" sends none.
            text: The text; None for the default text.
            every: Seconds between two deltas; None for the fake's `token_interval`.
            times: For how many requests; None for always.
        """
        if error is None:
            error = {"message": "The server had an error.", "type": "server_error", "code": "internal.server.error"}
        self.say(text, ErrorEvent(after_events, error, event_name), every=every, times=times)


def _pause(seconds: float) -> tuple[Piece, ...]:
    return (seconds,) if seconds > 0 else ()
