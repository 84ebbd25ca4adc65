"""The state of one relay to one sink: text comes in with its time, pushes go out one at a time.

Whoever runs it keeps to this order, and makes no decisions:

    feed(text, now)             as text comes; end(...) once, when no more will
    next(now)                   what to do now:
        Push                      hand it to the sink; then, before the next call, `succeeded` or `failed`
        TurnRequest               ask the limiter; then `turn_answered`
        None                      nothing, until `due`

The coalescer decides when text goes out; the text itself stays here, so that no mistake of a strategy can lose any.
After a mistake the text goes out whenever the sink is free, and the report has the strategy's error.
"""

from __future__ import annotations

from typing import NamedTuple

from ... import _errors
from ..._errors import GenesysStreamError
from ..._values import Completion, CompletionChunk, Delivery, RelayReport, Undelivered
from ..._wire import type_name
from ..http.retry import Retry
from ..reading.accumulate import CompletionAccumulator
from .coalescers.basic import PassThrough
from .coalescers.protocol import Coalescer
from .delivery import Deliveries, End, Push
from .limits import Limiter, Turn
from .pace import Pace
from .queue import TextQueue
from .sink import Channel

MAX_BACKLOG_BYTES = 2**20
"""How much text may wait, in UTF-8 bytes, before the source is no longer read."""

GIVE_UP_AFTER = 300.0
"""For how many seconds the end of a stream is tried against a sink that fails."""

# The sink has refused the batch, or has never seen it, so that its text may go out again in another one under the same
# number. After any other failure the batch may have been taken, and only its very same bytes may be sent again; 503 is
# among these, because proxies answer it, too, when the connection behind them breaks after the request was passed on.
_REFUSED = (_errors.RateLimited, _errors.ConnectFailed, _errors.PoolExhausted)


class SourceText:
    """Accumulates what a source yields that is no stream of this library: chunks, or plain strings."""

    def __init__(self) -> None:
        self._accumulator = CompletionAccumulator()

    def accumulate(self, item: object) -> str:
        """Return the text that an item adds.

        Raises:
            InvalidArgument: The item is neither a chunk nor a string.
        """
        chunk = CompletionChunk.of_text(item) if isinstance(item, str) else item
        if not isinstance(chunk, CompletionChunk):
            raise _errors.InvalidArgument("the stream", f"must yield CompletionChunk or str, not {type_name(item)}")
        self._accumulator.add(chunk)
        return chunk.text

    @property
    def completion(self) -> Completion:
        """What was said so far."""
        return self._accumulator.completion


class TurnRequest(NamedTuple):
    """A turn that is to be asked for: `turn.request(now, final=final)`."""

    turn: Turn
    final: bool


def end_of(source_error: BaseException | None, finish_reason: str | None, now: float) -> End:
    """Describe how a source ended.

    Args:
        source_error: What ended it before its end.
        finish_reason: Why the model stopped.
        now: The clock's time in seconds.
    """
    if source_error is None:
        return End("complete", now, finish_reason)
    # Ctrl-C may hit the source as well as whoever waits for it.
    state = "cancelled" if isinstance(source_error, KeyboardInterrupt) else "error"
    return End(state, now, type(source_error).__name__, source_error)


class RelayState:
    """Turns text into pushes for one sink, and keeps the account of them.

    Args:
        coalescer: Says where to cut.
        stream_id: Names the stream in every batch.
        epoch: Which generation of the stream it is.
        channel: What the sink bears; None for one that takes batches as they are.
        retry: The retry policy for a sink that fails.
        give_up_after: For how many seconds the end of the stream is tried against a sink that fails.
        max_backlog_bytes: How much text may wait before `full` asks the source to wait.

    Attributes:
        ended: Whether the end was marked, so that no more text is taken.
        full: Whether so much text waits for the sink that the source should not be read.
        dead: What the sink answered when its device token was found to be invalid; nothing is sent to it any more.
    """

    def __init__(
        self,
        coalescer: Coalescer,
        *,
        stream_id: str,
        epoch: int = 1,
        channel: Channel | None = None,
        retry: Retry,
        give_up_after: float = GIVE_UP_AFTER,
        max_backlog_bytes: int = MAX_BACKLOG_BYTES,
    ) -> None:
        limiter: Limiter | None = None
        if channel is None:
            self._deliveries = Deliveries(queue := TextQueue(coalescer), stream_id=stream_id, epoch=epoch)
        else:
            limiter = channel.limiter
            self._deliveries = Deliveries(
                queue := TextQueue(coalescer),
                stream_id=stream_id,
                epoch=epoch,
                encode=channel.encode,
                max_bytes=channel.max_bytes,
                max_chars=channel.max_chars,
                measure=channel.measure,
                repeat=channel.repeat,
            )
        self._queue = queue
        self._at_most_once = channel is not None and channel.at_most_once
        self._pace = Pace(retry, limiter)
        self._stream_id = stream_id
        self._give_up_after = give_up_after
        self._max_backlog_bytes = max_backlog_bytes
        self._end: End | None = None
        self._coalescer_error: Exception | None = None
        self._given_up: list[Undelivered] = []
        self._asked_final = False
        self.ended = False
        self.full = False
        self.dead: _errors.InvalidToken | None = None

    # Text.

    def feed(self, text: str, now: float) -> bool:
        """Take text; returns whether `next` is to be called sooner than `due` has said."""
        if self.ended:
            return False
        queue, pace = self._queue, self._pace
        held = pace.hold_until is not None
        sends = bool(queue.ready) or self._deliveries.under_way is not None
        before = self.due if held else queue.due
        try:
            queue.feed(text, now)
        except Exception as error:  # noqa: BLE001 - it may be anybody's coalescer
            self._replace_coalescer(error, now)
        if queue.size >= self._max_backlog_bytes:
            self._note_full()
        if held:
            self._check_give_up(now)
            due = self.due
        elif sends or self.dead is not None:
            return False
        else:
            due = pace.due if queue.ready else queue.due
        return due is not None and (before is None or due < before)

    def _replace_coalescer(self, error: Exception, now: float) -> None:
        self._coalescer_error = self._coalescer_error or error
        self._queue.use(PassThrough())
        self._queue.release(now)

    def catch_up(self, said: str, now: float) -> None:
        """Take all of the text that was said of which only the beginning was fed, because of an interruption.

        Args:
            said: The whole text so far.
            now: The clock's time in seconds.
        """
        waiting = self._queue.waiting
        waiting.drop_half()
        self.feed(said[waiting.start + waiting.length :], now)

    def end(self, end: End) -> None:
        """Mark the input as ended. Idempotent."""
        if self._end is not None:
            return
        try:
            self._queue.close(end.at)
        except Exception as error:  # noqa: BLE001 - as above
            self._replace_coalescer(error, end.at)
        self._end, self.ended = end, True
        self._pace.restore()
        self._pace.ask_again()
        if self.dead is not None:
            self.fail_remaining(self.dead)
        self._check_give_up(end.at)

    def _note_full(self) -> None:
        # What the coalescer holds back waits for more text, so that to read no more would be to wait for ever.
        waits = bool(self._queue.ready) or self._deliveries.under_way is not None
        self.full = waits and self.dead is None and self._deliveries.bytes_left >= self._max_backlog_bytes

    # Pushes.

    @property
    def finished(self) -> bool:
        """Whether everything was delivered or given up."""
        return self._deliveries.finished

    @property
    def due(self) -> float | None:
        """When to call `next`, in the clock's seconds; None while only text or an outcome can change anything."""
        deliveries = self._deliveries
        if deliveries.finished or deliveries.in_flight or self.dead is not None:
            return None
        if self._queue.ready or deliveries.under_way is not None or self._end is not None:
            return self._pace.due
        return self._queue.due

    def next(self, now: float) -> Push | TurnRequest | None:
        """Return what is to be done now; None for nothing, until `due`.

        Raises:
            Exception: What the sink's `encode` raised. Nothing can be sent then, and all text is listed as undelivered.
        """
        deliveries, queue, pace = self._deliveries, self._queue, self._pace
        if deliveries.finished or deliveries.in_flight or self.dead is not None:
            return None
        if queue.due is not None and queue.due <= now:
            try:
                queue.tick(now)
            except Exception as error:  # noqa: BLE001 - as above
                self._replace_coalescer(error, now)
        if not (queue.ready or deliveries.under_way is not None or self._end is not None) or pace.due > now:
            return None
        if not pace.granted:
            self._asked_final = self.ended
            return TurnRequest(pace.turn(now), self.ended)
        try:
            push = deliveries.next(self._end)
        except Exception as error:
            self.end(End("error", now, type(error).__name__, error))
            self.fail_remaining(error)
            raise
        pace.begin(now)
        if queue.size >= self._max_backlog_bytes:
            self._note_full()
        return push

    def turn_answered(self, at: float, now: float) -> None:
        """Note what the limiter answered to a `TurnRequest`.

        Args:
            at: When the push may go, or when to ask again, in the clock's seconds; `now` or before for at once.
            now: The clock's time in seconds.
        """
        if at > now and self.ended and not self._asked_final:
            return  # the push has become the last one meanwhile, which is asked for anew
        self._pace.note_turn(at, now)

    def succeeded(self, push: Push, receipt: object) -> Delivery:
        """Note that the sink took the push; returns the entry of the account."""
        self._pace.succeed()
        delivery = self._deliveries.succeed(push, receipt)
        self._note_full()
        return delivery

    def failed(self, push: Push, error: BaseException, now: float) -> Undelivered | None:
        """Note that the sink failed; returns the entry of the account, if the push is not tried again."""
        lost = self._failed(push, error, now)
        self._note_full()
        return lost

    def _failed(self, push: Push, error: BaseException, now: float) -> Undelivered | None:
        deliveries = self._deliveries
        if isinstance(error, _errors.InvalidToken):
            self.dead = error
            lost = deliveries.refuse(push, error)
            if self._end is not None:
                self.fail_remaining(error)
            return lost
        if isinstance(error, _errors.PayloadTooLarge) and deliveries.shrink(push):
            return None
        if not isinstance(error, GenesysStreamError) or not error.retryable:
            return deliveries.refuse(push, error)
        refused = isinstance(error, _REFUSED)
        if self._at_most_once and not refused:
            return deliveries.refuse(push, error, maybe_taken=True)
        deliveries.retry(push, refused=refused, answer_lost=not refused and not isinstance(error, _errors.StatusError))
        self._pace.fail(error, now)
        self._check_give_up(now)
        return None

    def _check_give_up(self, now: float) -> None:
        """Give up what waits for a sink that has failed for long enough.

        That is for when nothing else will go on before the sink does: at the end, or when the source has to wait.
        """
        pace, end = self._pace, self._end
        if pace.last_error is None or not (end is not None or self.full):
            return
        since = float("-inf") if end is None else end.at
        if pace.exhausted(now, since=since, give_up_after=self._give_up_after):
            if end is not None:
                pace.release(now)
            self._give_up(pace.last_error)

    def _give_up(self, error: BaseException) -> None:
        self._pace.cancel_turn()
        lost = self._deliveries.give_up(error, self._end)
        if self.dead is None:
            self._given_up += lost
        self._note_full()

    def fail_remaining(self, error: BaseException) -> None:
        """List everything that is left as undelivered, for the given reason, and finish."""
        if self.finished:
            return
        if self._end is None:
            waiting = self._queue.waiting
            waiting.end(waiting.last_at)
            self._queue.release(waiting.last_at)
        self._give_up(error)
        self._deliveries.finished = True

    @property
    def in_flight(self) -> Push | None:
        """The push that the sink has now."""
        return self._deliveries.under_way if self._deliveries.in_flight else None

    def take_given_up(self) -> list[Undelivered]:
        """Return the entries for text that was given up since the last call, and that `failed` has not returned.

        What a dead token leaves undelivered is not among them: `failed` has returned the first of it.
        """
        given_up, self._given_up = self._given_up, []
        return given_up

    def report(self, completion: Completion) -> RelayReport:
        """Return the account of it all."""
        end, deliveries, pace = self._end, self._deliveries, self._pace
        return RelayReport(
            completion=completion,
            pushes=tuple(deliveries.delivered),
            undelivered=tuple(deliveries.undelivered),
            state="streaming" if end is None else end.state,
            error=self._coalescer_error if end is None or end.error is None else end.error,
            resent=deliveries.resent,
            held_seconds=pace.held_seconds,
            paced_seconds=pace.paced_seconds,
            stream_id=self._stream_id,
        )
