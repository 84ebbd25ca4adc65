"""The state of one streamed completion, over as many connections as it takes to begin.

`StreamState` is told what arrived and when, and `next_action` says what to do next:

    OPEN    a connection: run `opening()`, then call `opened()` or `refused()` with its result
    READ    bytes: call `receive()` with what arrived, `lost()` with an error, `expire()` when `due` has passed
    DRAIN   the rest of a body whose meaning is complete, so that its connection can be used again
    NOTHING more

A failure before the first non-empty delta is retried; a later one ends the stream, after every chunk before it.
Chunks without content are held until one has content, or the stream is complete, so that no trace of a failed attempt
is handed out.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from operator import itemgetter
from typing import TypeAlias

from ... import _errors
from ..._errors import GenesysStreamError, NetworkError
from ..._values import Completion, CompletionChunk, Timing
from ..http.exchange import Reply
from ..http.retry import RequestFlow, RetryState, send_with_retry
from .accumulate import CompletionAccumulator
from .chunks import ChunkDecoder, truncated
from .completions import Call

_LINGER = 0.5
"""Seconds to wait for `[DONE]` once every choice has its finish reason, whatever heartbeats say.

Only `[DONE]` can follow, which the service sends together with the finish reason or right after it.
Where it comes later, or never, no text is missing; the connection is closed instead of used again.
"""

_USAGE_LINGER = 5.0
"""The same where the usage was asked for, which comes in a chunk of its own that some gateways have to compute."""

DRAIN_SECONDS = 0.05
"""How long to wait for the end of a body whose meaning is complete, so that its connection can be used again."""

LATE_SECONDS = 0.25
"""How long a read may take though a deadline passed while nobody read: what came meanwhile is in the socket already."""

_NEVER = float("inf")

_Deadline: TypeAlias = tuple[float, float, type[_errors.TimeoutExpired], str]


def _or_never(seconds: float | None) -> float:
    return _NEVER if seconds is None else seconds


class Action(Enum):
    """What is to be done next for a stream."""

    OPEN = "open"
    READ = "read"
    DRAIN = "drain"
    NOTHING = "nothing"


_OPEN, _READ = Action.OPEN, Action.READ  # an enum's members take their time to be found


class StreamState:
    """Reads one streamed completion, over as many connections as it takes to begin.

    Args:
        call: What was asked for.
        reauthorise: Whether a refused token can be replaced.
        now: The time, in seconds of the caller's clock, as everywhere below.

    Attributes:
        next_action: What to do next.
        committed: Whether a non-empty delta was handed out, after which nothing is retried.
        flows: Whether tokens are coming, so that `due` cannot become sooner while that stays so.
        failure: What ended the stream before it was complete.
    """

    def __init__(self, call: Call, *, reauthorise: bool, now: float) -> None:
        self.next_action = _OPEN
        self.committed = False
        self.flows = False
        self.failure: GenesysStreamError | None = None
        self._call = call
        self._retries = RetryState(call.settings.retry)
        self._timeouts = call.settings.timeouts
        self._reauthorise = reauthorise
        self._after = 0.0
        self._failed: GenesysStreamError | None = None
        self._started = now
        self._last_byte: float | None = None
        self._first_token: float | None = None
        self._last_token = now
        self._arrivals = 0
        self._max_gap = 0.0
        self._chunks = 0
        self._held: list[CompletionChunk] = []
        self._accumulator = CompletionAccumulator(call.choices)
        self._decoder: ChunkDecoder | None = None
        self._until = now + _or_never(self._timeouts.total)
        self._token_idle = _or_never(self._timeouts.token_idle)
        self._transport_idle = _or_never(self._timeouts.transport_idle)

    @property
    def completion(self) -> Completion:
        """What was said so far."""
        return self._accumulator.completion

    @property
    def complete(self) -> bool:
        """Whether all was said: `[DONE]` came, or a finish reason for every choice."""
        return self._accumulator.finished or (self._decoder is not None and self._decoder.done)

    @property
    def timing(self) -> Timing:
        """How the stream flowed so far."""
        first = self._first_token
        return Timing(
            first_token=None if first is None else first - self._started,
            chunks=self._chunks,
            mean_gap=(self._last_token - first) / (self._arrivals - 1)
            if first is not None and self._arrivals > 1
            else 0.0,
            max_gap=self._max_gap,
            last_activity=self._last_byte,
        )

    @property
    def due(self) -> float | None:
        """When the next deadline passes, in the clock's seconds; None if there is none."""
        last_byte = self._last_byte
        if last_byte is None or not self.flows:
            return min((deadline[0] for deadline in self._deadlines()), default=None)
        # The same as `_deadlines` says, without a list, because it is asked at every read that has to wait.
        due = min(self._last_token + self._token_idle, last_byte + self._transport_idle, self._until)
        return None if due == _NEVER else due

    def _deadlines(self) -> list[_Deadline]:
        """Return the deadlines that apply, as (when, the seconds it was set to, its error, what did not happen)."""
        deadlines: list[_Deadline] = []
        if self.next_action is not _OPEN and self.next_action is not _READ:
            return deadlines
        timeouts = self._timeouts
        if self._accumulator.finished:
            linger = _USAGE_LINGER if self._call.usage_wanted else _LINGER
            deadlines.append((self._last_token + linger, linger, _errors.TransportIdleTimeout, "[DONE] did not come"))
        if timeouts.total is not None:
            deadlines.append((self._until, timeouts.total, _errors.DeadlineExceeded, "the call was not over"))
        if self.committed:
            idle = timeouts.token_idle
            if idle is not None:
                deadlines.append((self._last_token + idle, idle, _errors.TokenIdleTimeout, "no other token came"))
        elif timeouts.first_token is not None:
            first = timeouts.first_token
            deadlines.append((self._started + first, first, _errors.FirstTokenTimeout, "no token came"))
        last_byte = self._last_byte  # once, because the watchdog asks from a thread of its own
        if timeouts.transport_idle is not None and last_byte is not None:
            idle = timeouts.transport_idle
            deadlines.append((last_byte + idle, idle, _errors.TransportIdleTimeout, "not a byte came"))
        return deadlines

    def expire(self, now: float) -> bool:
        """Check the deadlines; returns whether one has passed, which ends the stream or the connection."""
        if self._last_token == now < self._until and self.committed:
            return False  # a token came just now
        expired = False
        while (deadlines := self._deadlines()) and now >= (first := min(deadlines, key=itemgetter(0)))[0]:
            _, seconds, cls, what = first
            self.lost(cls(f"{what} within {seconds:g} seconds", seconds=seconds), now)
            expired = True
        return expired

    def opening(self) -> RequestFlow[Reply]:
        """Send the request; returns the reply whose body is the stream."""
        return send_with_retry(
            self._call.request,
            self._retries,
            reauthorise=self._reauthorise,
            after=self._after,
            failed=self._failed,
        )

    def opened(self, reply: Reply, now: float) -> None:
        """Begin to read the body of the reply that `opening()` returned."""
        self._last_byte = now
        self._decoder = ChunkDecoder(reply, max_event_bytes=self._call.settings.max_event_bytes)
        self.next_action = _READ

    def refused(self, error: GenesysStreamError) -> None:
        """End the stream with the error that `opening()` raised."""
        self._end(error)

    def receive(self, data: bytes | None, now: float) -> Sequence[CompletionChunk]:
        """Take what a read returned, and check the deadlines.

        Args:
            data: Bytes of the body; b"" if the read ended without any, None at the end of the body.
            now: The time.

        Returns:
            The chunks that may be handed out.
        """
        decoder = self._decoder
        if decoder is None or self.next_action is not _READ:
            if data is None and self.next_action is Action.DRAIN:
                self.next_action = Action.NOTHING
            return ()
        if data:
            self._last_byte = now
        chunks = decoder.close() if data is None else decoder.feed(data)

        accumulator = self._accumulator
        add, has_content, count, failure = accumulator.add, False, 0, decoder.failure
        try:
            for chunk in chunks:
                if add(chunk):
                    has_content = True
                if accumulator._replacement is not None:
                    chunks[count], accumulator._replacement = accumulator._replacement, None
                count += 1
        except _errors.MalformedEvent as error:
            chunks, failure = chunks[:count], error
        self._chunks += count
        if has_content:
            if self.committed:
                gap = now - self._last_token
                if gap > self._max_gap:  # noqa: PLR1730 - max() takes three times as long, at every token
                    self._max_gap = gap
            else:
                self.committed = True
                self._first_token = now
            self._last_token = now
            self._arrivals += 1
            self.flows = not accumulator.finished

        if not self.committed:
            self._held.extend(chunks)
            chunks = []
        elif self._held:
            chunks = [*self._release(), *chunks]
        if failure is not None:
            self._fail(failure)
        elif decoder.done or (data is None and self.complete):
            chunks = [*self._release(), *chunks]
            self.flows = False
            self.next_action = Action.NOTHING if data is None else Action.DRAIN
        elif data is None:
            self._fail(truncated(self.completion))
        elif not has_content or now >= self._until:
            self.expire(now)
        return chunks

    def ended(self, now: float) -> Sequence[CompletionChunk]:
        """Take the end of the body; returns the chunks that may be handed out."""
        return self.receive(None, now)

    def lost(self, error: NetworkError, now: float) -> Sequence[CompletionChunk]:
        """Take the error of a read, or a deadline that passed; returns the chunks that may be handed out."""
        if self.next_action is _OPEN:
            self._end(error)
        elif self.next_action is _READ and not self.complete:
            self._fail(error)
        else:
            return self.receive(None, now)
        return ()

    def _release(self) -> list[CompletionChunk]:
        held, self._held = self._held, []
        return held

    def _fail(self, error: GenesysStreamError) -> None:
        """Retry, if nothing was handed out and another connection may do better; else end."""
        if self.committed or isinstance(error, (_errors.FirstTokenTimeout, _errors.DeadlineExceeded)):
            self._end(error)
            return
        try:
            self._after, self._failed = self._retries.wait_after(error), error
        except GenesysStreamError:
            self._end(error)
            return
        self._held.clear()
        self._chunks = 0
        self._accumulator = CompletionAccumulator(self._call.choices)
        self._decoder = None
        self._last_byte = None
        self.next_action = _OPEN

    def _end(self, error: GenesysStreamError) -> None:
        if error.partial is None:
            error.partial = self.completion
        self.failure = _errors.strip_traceback(error)
        self._held.clear()
        self.flows = False
        self.next_action = Action.NOTHING
