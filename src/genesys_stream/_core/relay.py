"""The desk of a relay: text comes in with its time, batches go out one at a time.

Whoever runs it keeps to this order, and never judges:

    arrive(text, now)           as text comes; end(...) once, when no more will
    take(now) -> Batch | None   what to hand to the sink now; then, before the next take,
    delivered(...) / failed(...)  what became of it
    due                         when to call take() again, if nothing arrives before

The sum holds at every moment: text that arrived = delivered + undelivered + in the desk's hands.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import backoff
from attrs import evolve

from .. import _errors
from .._errors import GenesysStreamError
from .._values import Batch, Completion, CompletionChunk, Delivery, RelayReport, Undelivered
from .._wire import kind
from .accumulate import CompletionAccumulator
from .conversation import Retry
from .surrogates import SurrogateJoiner

if TYPE_CHECKING:
    from .coalesce import Coalescer

Fit = Callable[[Batch], int]
"""How many characters of a batch's text one payload can carry."""

MAX_BACKLOG_BYTES = 2**20
"""How much text may wait, in UTF-8 bytes, before the source is no longer read."""

GIVE_UP_AFTER = 300.0
"""For how many seconds the end of a stream is tried against a sink that fails."""

# The sink refused the batch, so that its text may go out again in another one; after any other failure the batch
# may have been taken, and only its very same bytes may be sent again.
_REFUSED = (_errors.RateLimited, _errors.ServiceUnavailable, _errors.ConnectFailed, _errors.PoolExhausted)


class Listener:
    """Hears the text of chunks, or of plain strings, and keeps the completion that they make up."""

    def __init__(self) -> None:
        self._accumulator = CompletionAccumulator()

    def hear(self, item: object) -> str:
        """The text that an item adds.

        Raises:
            InvalidArgument: The item is neither a chunk nor a string.
        """
        chunk = CompletionChunk.of_text(item) if isinstance(item, str) else item
        if not isinstance(chunk, CompletionChunk):
            raise _errors.InvalidArgument("the stream", f"must yield CompletionChunk or str, not {kind(item)}")
        self._accumulator.add(chunk)
        return chunk.text

    @property
    def completion(self) -> Completion:
        """What was heard so far."""
        return self._accumulator.completion


def state_after(error: BaseException | None) -> str:
    """The state that the end of a source puts a relay into."""
    return "complete" if error is None else "error"


def finish_reason_of(listener: Listener, error: BaseException | None) -> str | None:
    """What the final batch says of why the source ended."""
    return listener.completion.finish_reason if error is None else type(error).__name__


def lost_in_hand() -> _errors.AmbiguousDelivery:
    """What became of a batch whose delivery was interrupted."""
    return _errors.AmbiguousDelivery("the delivery was interrupted; it may have been delivered")


class Desk:
    """Turns text into batches for one sink, and keeps account of them.

    Args:
        coalescer: Decides when text is due.
        stream_id: Names the stream in every batch.
        fit: How much of a batch one payload can carry; None when there is no limit.
        retry: How patient to be with a sink that fails.
        give_up_after: For how many seconds the end of the stream is tried against a sink that fails.
        max_backlog_bytes: How much text may wait before `full` asks the source to wait.
    """

    def __init__(
        self,
        coalescer: Coalescer,
        *,
        stream_id: str,
        fit: Fit | None = None,
        retry: Retry,
        give_up_after: float = GIVE_UP_AFTER,
        max_backlog_bytes: int = MAX_BACKLOG_BYTES,
    ) -> None:
        self._coalescer = coalescer
        self._feedback: Callable[[Any, float], None] | None = getattr(coalescer, "feedback", None)
        self._stream_id = stream_id
        self._fit = fit
        self._retry = retry
        self._give_up_after = give_up_after
        self._max_backlog_bytes = max_backlog_bytes

        self._joiner = SurrogateJoiner()
        self._said: list[str] = []
        self._said_bytes = 0
        self._coalesced = 0
        self._ready: list[Batch] = []
        self._closing: Batch | None = None
        self._closed_at = 0.0
        self._error: BaseException | None = None

        self._in_hand: Batch | None = None
        self._tries = 0
        self._resent = 0
        self._pending: Batch | None = None
        self._seq = 0
        self._offset = 0
        self._crc = 0
        self._finished = False

        self._hold_until: float | None = None
        self._held_since = 0.0
        self._held_seconds = 0.0
        self._bounds = self._new_bounds()
        self._failures = 0
        self._failing_since: float | None = None
        self._last_error: GenesysStreamError | None = None

        self._deliveries: list[Delivery] = []
        self._undelivered: list[Undelivered] = []

    def arrive(self, text: str, now: float) -> bool:
        """Take text; returns whether `take` or `due` should be looked at again."""
        if self._closing is not None or not text:
            return False
        return self._feed(self._joiner.feed(text), now)

    def _feed(self, text: str, now: float) -> bool:
        if not text:
            return False
        self._said.append(text)
        self._said_bytes += len(text.encode())
        before = self._coalescer.due
        if self._accept(self._coalescer.feed(text, now)):
            return True
        due = self._coalescer.due
        return due is not None and (before is None or due < before)

    def end(self, state: str, now: float, *, finish_reason: str | None = None, error: BaseException | None = None) -> None:
        """Take note that no more text will arrive; the second time changes nothing.

        Args:
            state: complete, error or cancelled.
            now: The clock's time in seconds.
            finish_reason: What the final batch says of why.
            error: What ended the stream before its end.
        """
        if self._closing is not None:
            return
        self._error = error
        self._feed(self._joiner.close(), now)
        try:
            self._accept(self._coalescer.close(now))
        finally:
            self._make_good(now)
            self._closed_at = now
            self._closing = Batch("", "final", now, now, 0, state=state, finish_reason=finish_reason)
            if self._hopeless(now):
                self._give_up()

    def _accept(self, batches: Any) -> bool:
        for batch in batches:
            if batch.text:
                self._ready.append(batch)
                self._coalesced += len(batch.text)
        return bool(self._ready)

    def _make_good(self, now: float) -> None:
        """Add what a coalescer kept for itself: text is never lost to a strategy's mistake."""
        said = "".join(self._said)
        if self._coalesced < len(said):
            self._ready.append(Batch(said[self._coalesced :], "final", now, now, 0))
            self._coalesced = len(said)

    @property
    def closing(self) -> bool:
        """Whether the end was noted, so that no more text is taken."""
        return self._closing is not None

    @property
    def full(self) -> bool:
        """Whether so much text waits that the source should not be read."""
        return self._said_bytes - self._offset >= self._max_backlog_bytes

    @property
    def done(self) -> bool:
        """Whether everything was delivered or given up."""
        return self._finished

    @property
    def due(self) -> float | None:
        """When to call `take`, in the clock's seconds; None while only an arrival or an outcome can change anything."""
        if self._finished or self._in_hand is not None:
            return None
        if self._pending is not None or self._ready or self._closing is not None:
            return float("-inf") if self._hold_until is None else self._hold_until
        return self._coalescer.due

    def take(self, now: float) -> Batch | None:
        """Give the batch that is to be handed to the sink now; None when there is none."""
        if self._finished or self._in_hand is not None:
            return None
        due = self._coalescer.due
        if due is not None and due <= now and self._closing is None:
            self._accept(self._coalescer.tick(now))
        if self._hold_until is not None and now < self._hold_until:
            return None
        batch = self._pending or self._next()
        if batch is None:
            return None
        if self._hold_until is not None:
            self._held_seconds += now - self._held_since
            self._hold_until = None
        if self._pending is not None:
            self._resent += 1
            self._pending = None
        self._tries += 1
        self._in_hand = batch
        return batch

    def _next(self) -> Batch | None:
        if not self._ready and self._closing is None:
            return None
        text = "".join(batch.text for batch in self._ready)
        first, last = (self._ready[0], self._ready[-1]) if self._ready else (self._closing, self._closing)
        assert first is not None  # noqa: S101 - one of the two is there, or there would be nothing to send
        assert last is not None  # noqa: S101 - as above
        whole = evolve(
            first,
            text=text,
            last_at=last.last_at,
            deltas=sum(batch.deltas for batch in self._ready),
            stream_id=self._stream_id,
            seq=self._seq + 1,
            offset=self._offset,
            state="streaming",
            finish_reason=None,
        )
        if self._closing is not None:
            final = evolve(
                self._numbered(whole),
                state=self._closing.state,
                finish_reason=self._closing.finish_reason,
                total=self._said_bytes,
            )
            if self._fit is None or self._fit(final) >= len(text):
                self._ready = []
                return final
        count = len(text) if self._fit is None else self._fit(self._numbered(whole))
        if count < len(text):
            self._ready = [evolve(last, text=text[count:], first_at=first.first_at, deltas=0)]
            return self._numbered(evolve(whole, text=text[:count]))
        self._ready = []
        return self._numbered(whole)

    def _numbered(self, batch: Batch) -> Batch:
        return evolve(batch, crc=zlib.crc32(batch.text.encode(), self._crc))

    def delivered(self, batch: Batch, receipt: object, now: float) -> Delivery:
        """Take note that the sink took the batch."""
        delivery = Delivery(batch, receipt, self._tries, self._resent)
        self._deliveries.append(delivery)
        self._settle(batch)
        self._failures, self._failing_since, self._bounds = 0, None, self._new_bounds()
        self._tell(receipt, now)
        return delivery

    def failed(self, batch: Batch, error: BaseException, now: float) -> Undelivered | None:
        """Take note that the sink failed; returns the loss, if the batch is not tried again."""
        self._tell(error, now)
        if not isinstance(error, GenesysStreamError) or not error.retryable:
            lost = Undelivered(batch, error)
            self._undelivered.append(lost)
            self._settle(batch)
            return lost
        self._in_hand = None
        self._last_error = error
        if self._failing_since is None:
            self._failing_since = now
        self._failures += not isinstance(error, _errors.RateLimited)
        if isinstance(error, _REFUSED) and not self._resent:
            self._put_back(batch)
        else:
            self._pending = batch
        self._hold_until = now + (error.retry_after or 0.0) + self._retry.jitter(next(self._bounds))
        self._held_since = now
        if self._closing is not None and self._hopeless(now):
            self._give_up()
        return None

    def _put_back(self, batch: Batch) -> None:
        self._tries = 0
        if batch.text:
            self._ready.insert(0, evolve(batch, state="streaming", finish_reason=None, total=None))

    def _settle(self, batch: Batch) -> None:
        self._in_hand = None
        self._tries = self._resent = 0
        self._seq, self._crc = batch.seq, batch.crc
        self._offset += len(batch.text.encode())
        self._finished = batch.final

    def _hopeless(self, now: float) -> bool:
        if self._hold_until is None or self._last_error is None or self._failing_since is None:
            return False
        asked = self._last_error.retry_after or 0.0
        since = max(self._closed_at, self._failing_since)
        return (
            asked > self._retry.longest_retry_after
            or self._failures >= self._retry.attempts
            or max(self._hold_until, now) - since > self._give_up_after
        )

    def _give_up(self) -> None:
        assert self._last_error is not None  # noqa: S101 - only a failure can be hopeless
        self.abandon(self._last_error)

    def abandon(self, error: BaseException) -> None:
        """List everything that is left as undelivered, for the given reason."""
        if self._finished:
            return
        pending = self._pending or self._in_hand
        self._pending = self._in_hand = None
        if pending is not None:
            self._undelivered.append(Undelivered(pending, error, ambiguous=True))
            self._settle(pending)
        if not self._finished:
            self._fit = None
            rest = self._next()
            if rest is not None:
                self._undelivered.append(Undelivered(rest, error))
                self._settle(rest)
        self._finished = True

    def report(self, completion: Completion) -> RelayReport:
        """The account of it all."""
        return RelayReport(
            completion=completion,
            pushes=tuple(self._deliveries),
            undelivered=tuple(self._undelivered),
            state=self._closing.state if self._closing is not None else "streaming",
            error=self._error,
            resent=sum(delivery.resent for delivery in self._deliveries),
            held_seconds=self._held_seconds,
            stream_id=self._stream_id,
        )

    def _tell(self, outcome: object, now: float) -> None:
        if self._feedback is not None:
            self._feedback(outcome, now)

    def _new_bounds(self) -> Any:
        bounds = backoff.expo(factor=self._retry.first_wait, max_value=self._retry.longest_wait)
        next(bounds)
        return bounds
