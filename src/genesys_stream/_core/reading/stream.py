"""A streamed completion being read, over as many connections as it takes to begin.

`Reading` is told what arrives and when, and says what it wants next:

    OPEN    a connection: drive `opening()`, then tell `opened()` what came of it
    READ    bytes: tell `receive()`, `ended()` or `lost()`; or `expire()` when `due` has passed
    DRAIN   the rest of a body whose meaning is complete, so that its connection can be used again
    NOTHING more

What fails before the first non-empty delta is tried again; what fails afterwards ends the stream, and whoever reads it
gets every chunk that came before the failure.
Chunks that say nothing are kept back until one says something, or the stream is complete: nobody sees an attempt fail.
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

_LINGER = 5.0
"""Seconds to wait for `[DONE]`, or for the usage, once every choice has its finish reason, whatever heartbeats say."""

DRAIN_SECONDS = 0.05
"""How long to wait for the end of a body whose meaning is complete, so that its connection can be used again."""

LATE_SECONDS = 0.25
"""How long a read may take though a clock ran out while nobody read: what came meanwhile is in the socket already."""

_NEVER = float("inf")


def _endless(seconds: float | None) -> float:
    return _NEVER if seconds is None else seconds


_Clock: TypeAlias = tuple[float, float, type[_errors.TimeoutExpired], str]


class Want(Enum):
    """What a `Reading` needs to go on."""

    OPEN = "open"
    READ = "read"
    DRAIN = "drain"
    NOTHING = "nothing"


_OPEN, _READ = Want.OPEN, Want.READ  # an enum's members take their time to be found


class Reading:
    """Reads one streamed completion, over as many connections as it takes to begin.

    Attributes:
        want: What it needs next.
        committed: Whether a non-empty delta was handed out, after which nothing is tried again.
        failure: What ended it before its end.
    """

    def __init__(self, call: Call, *, reauthorise: bool, now: float) -> None:
        self.want = _OPEN
        self.committed = False
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
        set_to = self._timeouts
        self._until = now + _endless(set_to.total)
        self._token_idle = _endless(set_to.token_idle)
        self._transport_idle = _endless(set_to.transport_idle)

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
        """How it flowed so far."""
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
        """When the next clock runs out, in the clock's seconds; None when none is running."""
        heard = self._last_byte
        if heard is None or not self.flows:
            return min((clock[0] for clock in self._clocks()), default=None)
        # As `_clocks` has it, for what is asked at every read that has to wait.
        due = min(self._last_token + self._token_idle, heard + self._transport_idle, self._until)
        return None if due == _NEVER else due

    @property
    def flows(self) -> bool:
        """Whether the answer is being said, so that `due` cannot become sooner while that stays so."""
        return self.committed and self.want is _READ and not self._accumulator.finished

    def _clocks(self) -> list[_Clock]:
        """The clocks that are running, as (when it runs out, what it was set to, its error, what did not happen)."""
        running: list[_Clock] = []
        if self.want is not _OPEN and self.want is not _READ:
            return running
        set_to = self._timeouts
        if self._accumulator.finished:
            running.append((self._last_token + _LINGER, _LINGER, _errors.TransportIdleTimeout, "[DONE] did not come"))
        if set_to.total is not None:
            running.append(
                (self._started + set_to.total, set_to.total, _errors.DeadlineExceeded, "the call was not over")
            )
        if self.committed:
            idle = set_to.token_idle
            if idle is not None:
                running.append((self._last_token + idle, idle, _errors.TokenIdleTimeout, "no other token came"))
        elif set_to.first_token is not None:
            first = set_to.first_token
            running.append((self._started + first, first, _errors.FirstTokenTimeout, "no token came"))
        heard = self._last_byte  # once, because the watchdog asks from a thread of its own
        if set_to.transport_idle is not None and heard is not None:
            idle = set_to.transport_idle
            running.append((heard + idle, idle, _errors.TransportIdleTimeout, "not a byte came"))
        return running

    def expire(self, now: float) -> bool:
        """Take note of the time; returns whether a clock has run out, which ends the stream or the connection."""
        if self._last_token == now < self._until and self.committed:
            return False  # a token came just now, as nearly always
        expired = False
        while (clocks := self._clocks()) and now >= (first := min(clocks, key=itemgetter(0)))[0]:
            _, seconds, cls, what = first
            self.lost(cls(f"{what} within {seconds:g} seconds", seconds=seconds), now)
            expired = True
        return expired

    def opening(self) -> RequestFlow[Reply]:
        """Ask for the stream; returns the reply whose body is the stream."""
        return send_with_retry(
            self._call.request,
            self._retries,
            reauthorise=self._reauthorise,
            after=self._after,
            failed=self._failed,
        )

    def opened(self, reply: Reply, now: float) -> None:
        """Take note of the reply that `opening()` returned."""
        self._last_byte = now
        self._decoder = ChunkDecoder(reply, max_event_bytes=self._call.settings.max_event_bytes)
        self.want = _READ

    def refused(self, error: GenesysStreamError) -> None:
        """Take note of the error that `opening()` raised."""
        self._end(error)

    def receive(self, data: bytes, now: float) -> Sequence[CompletionChunk]:
        """Take bytes of the body; returns the chunks that may be handed out."""
        decoder = self._decoder
        if decoder is None or self.want is not _READ:
            return ()
        self._last_byte = now
        chunks = self._accept(decoder, decoder.feed(data), now)
        if decoder.done and self.want is _READ:
            chunks = [*self._release(), *chunks]
            self.want = Want.DRAIN
        return chunks

    def ended(self, now: float) -> Sequence[CompletionChunk]:
        """Take note of the body's end; returns the chunks that may be handed out."""
        if self.want is Want.DRAIN:
            self.want = Want.NOTHING
        decoder = self._decoder
        if decoder is None or self.want is not _READ:
            return ()
        chunks = self._accept(decoder, decoder.close(), now)
        if self.want is _READ:
            if self.complete:
                chunks = [*self._release(), *chunks]
                self.want = Want.NOTHING
            else:
                self._fail(truncated(self.completion))
        return chunks

    def lost(self, error: NetworkError, now: float) -> Sequence[CompletionChunk]:
        """Take note of a connection that broke, or a clock that ran out; returns the chunks that may be handed out."""
        if self.want is _OPEN:
            self._end(error)
        elif self.want is _READ and not self.complete:
            self._fail(error)
        else:
            return self.ended(now)
        return ()

    def _accept(
        self, decoder: ChunkDecoder, chunks: Sequence[CompletionChunk], now: float
    ) -> Sequence[CompletionChunk]:
        said, count, failure, add = False, 0, decoder.failure, self._accumulator.add
        try:
            for chunk in chunks:
                if add(chunk):
                    said = True
                count += 1
        except _errors.MalformedEvent as error:
            chunks, failure = chunks[:count], error
        self._chunks += count
        if said and self.committed:
            gap = now - self._last_token
            if gap > self._max_gap:  # noqa: PLR1730 - max() takes three times as long, at every token
                self._max_gap = gap
            self._last_token = now
            self._arrivals += 1
        elif said:
            self.committed = True
            self._first_token = self._last_token = now
            self._arrivals = 1
        if not self.committed:
            self._held.extend(chunks)
            chunks = ()
        elif self._held:
            chunks = [*self._release(), *chunks]
        if failure is not None:
            self._fail(failure)
        return chunks

    def _release(self) -> list[CompletionChunk]:
        held, self._held = self._held, []
        return held

    def _fail(self, error: GenesysStreamError) -> None:
        """Try again, if nothing was said and the error is one of this connection alone; else end."""
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
        self.want = _OPEN

    def _end(self, error: GenesysStreamError) -> None:
        if error.partial is None:
            error.partial = self.completion
        self.failure = _errors.bare(error)
        self._held.clear()
        self.want = Want.NOTHING
