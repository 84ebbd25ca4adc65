"""The desk of a relay: text comes in with its time, batches go out one at a time.

Whoever runs it keeps to this order, and never judges:

    arrive(text, now)           as text comes; end(...) once, when no more will
    take(now) -> Batch | None   what to hand to the sink now; then, before the next take,
    delivered(...) / failed(...)  what became of it
    due                         when to call take() again, if nothing arrives before

The sum holds at every moment: text that arrived = delivered + undelivered + in the desk's hands.
The coalescer decides when text goes out; the text itself stays here, so that no strategy's mistake can lose any.
A strategy that breaks its protocol is asked no more: from then on text goes out whenever the sink is free, and in the
end the report has the strategy's error.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Iterator

import backoff
from attrs import evolve

from ... import _errors
from ..._errors import GenesysStreamError
from ..._values import Batch, Completion, CompletionChunk, Delivery, RelayReport, Undelivered
from ..._wire import kind
from ..http.retry import Retry
from ..reading.accumulate import CompletionAccumulator
from ..reading.surrogates import SurrogateJoiner
from .coalescers import Coalescer
from .limits import Account
from .text import last_cut, prefix_length, suffix_within, utf8_size

Fit = Callable[[Batch], int]
"""How many characters of a batch's text one payload can carry."""

MAX_BACKLOG_BYTES = 2**20
"""How much text may wait, in UTF-8 bytes, before the source is no longer read."""

GIVE_UP_AFTER = 300.0
"""For how many seconds the end of a stream is tried against a sink that fails."""

# The sink has refused the batch, or has never seen it, so that its text may go out again in another one under the same
# number. After any other failure the batch may have been taken, and only its very same bytes may be sent again; 503 is
# among these, because proxies answer it, too, when the connection behind them breaks after the request was passed on.
_REFUSED = (_errors.RateLimited, _errors.ConnectFailed, _errors.PoolExhausted)


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
    if isinstance(error, KeyboardInterrupt):
        return "cancelled"  # Ctrl-C may hit the source as well as whoever waits for it
    return "complete" if error is None else "error"


def finish_reason_of(listener: Listener, error: BaseException | None) -> str | None:
    """What the final batch says of why the source ended."""
    return listener.completion.finish_reason if error is None else type(error).__name__


def lost_in_hand() -> _errors.AmbiguousDelivery:
    """What became of a batch whose delivery was interrupted."""
    return _errors.AmbiguousDelivery("the delivery was interrupted; it may have been delivered")


def _as_time(due: object) -> float:
    if not isinstance(due, (int, float)) or math.isnan(due):
        raise _errors.InvalidArgument("coalescer", "must be due at a time in seconds, or None")
    return float(due)


def _all_of(batch: Batch) -> int:
    return len(batch.text)


class Desk:
    """Turns text into batches for one sink, and keeps account of them.

    Args:
        coalescer: Decides when text is due.
        stream_id: Names the stream in every batch.
        fit: How much of a batch one payload can carry; None when there is no limit.
        history: How many characters of the text before it each batch brings along.
        retry: How patient to be with a sink that fails.
        give_up_after: For how many seconds the end of the stream is tried against a sink that fails.
        max_backlog_bytes: How much text may wait before `full` asks the source to wait.
        budget: What the sink's pushes are paid from; None when they cost nothing.
    """

    def __init__(
        self,
        coalescer: Coalescer,
        *,
        stream_id: str,
        fit: Fit | None = None,
        history: int = 0,
        budget: Account | None = None,
        retry: Retry,
        give_up_after: float = GIVE_UP_AFTER,
        max_backlog_bytes: int = MAX_BACKLOG_BYTES,
    ) -> None:
        self._coalescer = coalescer
        self._feedback: Callable[[object, float], None] | None = getattr(coalescer, "feedback", None)
        self._stream_id = stream_id
        self._fit = fit
        self._history = history
        self._before = ""
        self._most: int | None = None  # UTF-8 bytes of a batch and what it repeats, once one was too large
        self._budget = budget
        self._turn: float | None = None
        self._booked_at = 0.0
        self._paced_seconds = 0.0
        self._retry = retry
        self._give_up_after = give_up_after
        self._max_backlog_bytes = max_backlog_bytes

        # Text on its way: what the coalescer holds, what is ready for the sink, and how the stream ends.
        self._joiner = SurrogateJoiner()
        self._held: list[str] = []
        self._held_from = 0.0
        self._held_to = 0.0
        self._tick_at: float | None = None
        self._mistake: Exception | None = None
        self._said_bytes = 0
        self._ready: list[Batch] = []
        self._closing: Batch | None = None
        self._closed_at = float("-inf")
        self._error: BaseException | None = None

        # The batch that the sink has, or that may only be sent again as it is; and where the account stands.
        self._in_hand: Batch | None = None
        self._pending: Batch | None = None
        self._tries = 0
        self._frozen = False  # a try may have been taken
        self._answer_lost = False  # the last try's was
        self._resent = 0
        self._all_resent = 0
        self._seq = 0
        self._offset = 0
        self._crc = 0
        self._finished = False
        self._deliveries: list[Delivery] = []
        self._undelivered: list[Undelivered] = []

        # How the sink fails, since its last success.
        self._hold_since = 0.0
        self._hold_until: float | None = None
        self._asked = 0.0
        self._held_seconds = 0.0
        self._failures = 0
        self._failing_since = 0.0
        self._last_error: GenesysStreamError | None = None
        self._bounds = self._new_bounds()

    def arrive(self, text: str, now: float) -> bool:
        """Take text; returns whether `take` or `due` should be looked at again."""
        if self._closing is not None:
            return False
        before = self.due
        self._feed(self._joiner.feed(text), now)
        if self._hold_until is not None:
            self._lose_patience(now)
        due = self.due
        return due is not None and (before is None or due < before)

    def _feed(self, text: str, now: float) -> None:
        if not text:
            return
        if not self._held:
            self._held_from = now
        self._held.append(text)
        self._held_to = now
        self._said_bytes += utf8_size(text)
        self._consult(self._coalescer.feed, text, now)

    def _consult(self, ask: Callable[..., Iterable[Batch]], *arguments: object) -> None:
        """Ask the coalescer, unless it has made a mistake, and make ready what it gives."""
        if self._mistake is None:
            try:
                batches = ask(*arguments)
                if batches or not isinstance(batches, (list, tuple)):
                    self._accept(batches)
                due = self._coalescer.due
                self._tick_at = None if due is None or self._closing is not None else _as_time(due)
            except Exception as error:  # noqa: BLE001 - it may be anybody's coalescer
                self._mistake = error
        if self._mistake is not None:
            self._release("error")

    def _accept(self, batches: Iterable[Batch]) -> None:
        if not isinstance(batches, Iterable):
            raise _errors.InvalidArgument("coalescer", f"must give batches, not {kind(batches)}")
        held, taken = None, 0
        try:
            for batch in batches:
                held = "".join(self._held) if held is None else held
                text = batch.text if isinstance(batch, Batch) else None
                if not isinstance(text, str) or not held.startswith(text, taken):
                    msg = "must give batches of the text that it was fed, unchanged and in order"
                    raise _errors.InvalidArgument("coalescer", msg)
                if text:
                    self._ready.append(batch)
                    taken += len(text)
        finally:
            if held is not None and taken:
                self._held = [held[taken:]] if taken < len(held) else []
                self._held_from = self._ready[-1].last_at

    def _release(self, reason: str) -> None:
        """Make ready what the coalescer has not given."""
        self._tick_at = None
        if self._held:
            self._ready.append(Batch("".join(self._held), reason, self._held_from, self._held_to, len(self._held)))
            self._held = []

    def end(
        self, state: str, now: float, *, finish_reason: str | None = None, error: BaseException | None = None
    ) -> None:
        """Take note that no more text will arrive; the second time changes nothing.

        Args:
            state: complete, error or cancelled.
            now: The clock's time in seconds.
            finish_reason: What the final batch says of why.
            error: What ended the stream before its end.
        """
        if self._closing is not None:
            return
        self._feed(self._joiner.close(), now)
        self._consult(self._coalescer.close, now)
        self._release("final")
        self._error = error
        self._closed_at = now
        self._closing = Batch("", "final", now, now, 0, state=state, finish_reason=finish_reason)
        self._failures = 0  # the end has all of the patience
        if self._budget is not None and self._turn is not None:
            self._turn = self._budget.turn(now, final=True)
        self._lose_patience(now)

    @property
    def closing(self) -> bool:
        """Whether the end was noted, so that no more text is taken."""
        return self._closing is not None

    @property
    def full(self) -> bool:
        """Whether so much text waits for the sink that the source should not be read."""
        # What the coalescer alone holds waits for more text, so that to read no more would be to wait for ever.
        if self._in_hand is None and self._pending is None and not self._ready:
            return False
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
        if not (self._ready or self._pending is not None or self._closing is not None):
            return self._tick_at
        return max((at for at in (self._hold_until, self._turn) if at is not None), default=float("-inf"))

    def take(self, now: float) -> Batch | None:
        """Give the batch that is to be handed to the sink now; None when there is none.

        Raises:
            Exception: What `fit` raised. Nothing can be sent then, and all of the text is listed as undelivered.
        """
        if self._finished or self._in_hand is not None:
            return None
        if self._tick_at is not None and self._tick_at <= now:
            self._consult(self._coalescer.tick, now)
            if self._tick_at is not None and self._tick_at <= now:
                self._tick_at = None  # against the protocol; it is asked again when there is something new
        if self._hold_until is not None and now < self._hold_until:
            return None
        if not self._is_its_turn(now):
            return None
        try:
            batch = self._pending or self._next(self._room)
        except Exception as error:
            self.end("error", now, finish_reason=type(error).__name__, error=error)
            self.abandon(error)
            raise
        if batch is None:
            return None
        self._release_hold(now)
        self._pending = None
        self._tries += 1
        self._resent += self._answer_lost
        self._all_resent += self._answer_lost
        self._answer_lost = False
        self._in_hand = batch
        return batch

    def _is_its_turn(self, now: float) -> bool:
        """Pay for the next push, or book it for when the budget allows it."""
        if self._budget is None or not (self._pending is not None or self._ready or self._closing is not None):
            return True
        if self._turn is None:
            self._booked_at = now
            self._turn = self._budget.book(now, final=self._closing is not None)
        elif now >= self._turn:
            # Others may have met a rate limit since it was booked.
            self._turn = self._budget.turn(now, final=self._closing is not None)
        if now < self._turn:
            return False
        self._paced_seconds += self._turn - self._booked_at
        self._turn = None
        return True

    def _give_back_turn(self) -> None:
        if self._budget is not None and self._turn is not None:
            self._budget.refund()
            self._turn = None

    def _next(self, room: Fit) -> Batch | None:
        """Make a batch of all that is ready, as far as it fits; the final one, once everything does."""
        ready = self._ready or ([] if self._closing is None else [self._closing])
        if not ready:
            return None
        text = "".join(batch.text for batch in ready)
        whole = Batch(
            text,
            ready[0].reason,
            ready[0].first_at,
            ready[-1].last_at,
            sum(batch.deltas for batch in ready),
            tuple(artifact for batch in ready for artifact in batch.artifacts),
            stream_id=self._stream_id,
            seq=self._seq + 1,
            offset=self._offset,
            before=self._before,
            crc=zlib.crc32(text.encode(), self._crc),
        )
        if self._closing is not None:
            final = evolve(
                whole,
                reason="final",
                state=self._closing.state,
                total=self._said_bytes,
                finish_reason=self._closing.finish_reason,
            )
            if room(final) >= len(text):
                return self._cut(final, len(text))
        return self._cut(whole, max(1, room(whole)))

    def _room(self, batch: Batch) -> int:
        """How many characters of a batch's text the sink takes at once: what it says, and what it has taken."""
        fits = len(batch.text) if self._fit is None else max(0, self._fit(batch))
        if self._most is None or (n := prefix_length(batch.text, self._most)) >= fits:
            return fits
        return last_cut(batch.text[: n + 1], n) or n

    def _cut(self, whole: Batch, count: int) -> Batch:
        text, rest = whole.text[:count], whole.text[count:]
        artifacts, self._ready = whole.artifacts, []
        if not rest and self._most is None:
            return whole
        if rest:
            end = whole.offset + utf8_size(text)
            artifacts = tuple(artifact for artifact in whole.artifacts if artifact.end <= end)
            later = whole.artifacts[len(artifacts) :]
            self._ready = [Batch(rest, whole.reason, whole.first_at, whole.last_at, 0, later)]
        before = whole.before
        if self._most is not None:
            before = suffix_within(before, max(0, self._most - utf8_size(text)))
        crc = zlib.crc32(text.encode(), self._crc)
        return evolve(whole, text=text, artifacts=artifacts, before=before, crc=crc)

    def delivered(self, batch: Batch, receipt: object, now: float) -> Delivery:
        """Take note that the sink took the batch."""
        delivery = Delivery(batch, receipt, self._tries, self._resent)
        self._deliveries.append(delivery)
        self._settle(batch)
        if self._last_error is not None:
            self._failures, self._last_error, self._bounds = 0, None, self._new_bounds()
        self._tell(receipt, now)
        return delivery

    def failed(self, batch: Batch, error: BaseException, now: float) -> Undelivered | None:
        """Take note that the sink failed; returns the loss, if the batch is not tried again."""
        smaller = len(batch.text) > 1 or batch.before
        if isinstance(error, _errors.PayloadTooLarge) and smaller and not self._frozen:
            self._most = (utf8_size(batch.before) + utf8_size(batch.text)) // 2
            self._in_hand, self._tries = None, 0
            self._ready = [batch, *self._ready]
            self._tell(error, now)
            return None
        if not isinstance(error, GenesysStreamError) or not error.retryable:
            lost = Undelivered(batch, error, ambiguous=self._frozen)
            self._undelivered.append(lost)
            self._settle(batch)
            self._tell(error, now)
            return lost
        self._in_hand = None
        refused = isinstance(error, _REFUSED)
        self._frozen = self._frozen or not refused
        self._answer_lost = not refused and not isinstance(error, _errors.StatusError)
        if self._frozen:
            self._pending = batch
        else:
            self._tries = 0
            self._ready = [batch, *self._ready] if batch.text else self._ready
        if self._last_error is None:
            self._failing_since = now
        self._last_error = error
        self._failures += not isinstance(error, _errors.RateLimited)
        self._asked = max(0.0, error.retry_after or 0.0)
        if self._budget is not None and isinstance(error, _errors.RateLimited):
            self._budget.empty_until(now + self._asked, error.scope)
        self._hold_since = now
        self._hold_until = now + self._asked + self._retry.jitter(next(self._bounds))
        self._tell(error, now)
        self._lose_patience(now)
        return None

    def _settle(self, batch: Batch) -> None:
        self._in_hand = None
        self._tries = self._resent = 0
        self._frozen = self._answer_lost = False
        self._seq, self._crc = batch.seq, batch.crc
        self._offset += utf8_size(batch.text)
        if self._history:
            self._before = (self._before + batch.text)[-self._history :]
        self._finished = batch.final

    def _release_hold(self, now: float) -> None:
        if self._hold_until is not None:
            self._held_seconds += min(now, self._hold_until) - self._hold_since
            self._hold_until = None

    def _lose_patience(self, now: float) -> None:
        """Give up what waits for a sink that asks for more patience than there is, or has had it all.

        That is for when nothing else will go on before the sink does: at the end, or when the source has to wait.
        """
        error = self._last_error
        if error is None or self._hold_until is None or not (self._closing is not None or self.full):
            return
        if (
            self._asked - (now - self._hold_since) > self._retry.retry_after_max
            or self._failures >= self._retry.attempts
            or max(self._hold_until, now) - max(self._closed_at, self._failing_since) > self._give_up_after
        ):
            if self._closing is not None:
                self._release_hold(now)
            self._list_undelivered(error)

    def abandon(self, error: BaseException) -> None:
        """List everything that is left as undelivered, for the given reason."""
        if self._finished:
            return
        if self._closing is None:
            self._feed(self._joiner.close(), self._held_to)
            self._release("error")
        self._list_undelivered(error)
        self._finished = True

    def _list_undelivered(self, error: BaseException) -> None:
        self._give_back_turn()
        unsure = self._pending or self._in_hand
        self._pending = None
        if unsure is not None:
            self._undelivered.append(Undelivered(unsure, error, ambiguous=True))
            self._settle(unsure)
        rest = None if self._finished else self._next(_all_of)
        if rest is not None:
            self._undelivered.append(Undelivered(rest, error))
            self._settle(rest)

    def report(self, completion: Completion) -> RelayReport:
        """The account of it all."""
        return RelayReport(
            completion=completion,
            pushes=tuple(self._deliveries),
            undelivered=tuple(self._undelivered),
            state=self._closing.state if self._closing is not None else "streaming",
            error=self._mistake if self._error is None else self._error,
            resent=self._all_resent,
            held_seconds=self._held_seconds,
            paced_seconds=self._paced_seconds,
            stream_id=self._stream_id,
        )

    def _tell(self, outcome: object, now: float) -> None:
        feedback = self._feedback
        if feedback is None:
            return

        def tell() -> Iterable[Batch]:
            feedback(outcome, now)
            return ()

        self._consult(tell)

    def _new_bounds(self) -> Iterator[float]:
        bounds = backoff.expo(factor=self._retry.wait_initial, max_value=self._retry.wait_max)
        next(bounds)
        return bounds
