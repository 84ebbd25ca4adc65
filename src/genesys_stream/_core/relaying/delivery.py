"""The delivery of one stream's text to one sink: batches with their numbers, and the account of what became of them.

At every moment: the text that arrived = delivered + undelivered + under way + ready + waiting.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

from attrs import evolve, field, frozen

from ..._errors import InvalidArgument
from ..._values import Batch, Delivery, Undelivered
from ..text import last_cut, prefix_length, suffix_within, utf8_size, utf16_prefix_length, utf16_size
from .payload import largest_fit
from .queue import Piece, TextQueue, joined


@frozen
class Push:
    """A batch, and the payload that is sent for it; b"" for a sink that takes the batch itself."""

    batch: Batch
    content: bytes = field(repr=False)


@frozen
class End:
    """How a stream ended.

    Attributes:
        state: complete, error or cancelled.
        at: When, in the clock's seconds.
        finish_reason: What the final batch says of why.
        error: What ended the stream before its end.
    """

    state: str
    at: float
    finish_reason: str | None = None
    error: BaseException | None = None


class Deliveries:
    """Makes the batches of one stream, and keeps the account of them.

    Args:
        queue: The text.
        stream_id: Names the stream in every batch.
        epoch: Which generation of the stream it is.
        encode: Makes the payload of a batch; None for a sink that takes the batch itself.
        max_bytes: The largest payload, in bytes; None for any size.
        max_chars: The longest text of one payload, in UTF-16 code units; None for any length.
        measure: Counts the bytes of a payload.
        repeat: How many characters of the text before it each batch brings along.

    Attributes:
        under_way: The push that the sink has, or that may only be sent again as it is.
        in_flight: Whether the sink has it now.
        tries: How often it was handed to the sink.
        resent: How many pushes were sent again because an answer was lost.
        finished: Whether the final batch was delivered or given up.
        delivered: What the sink took.
        undelivered: What it did not.
    """

    def __init__(
        self,
        queue: TextQueue,
        *,
        stream_id: str,
        epoch: int = 1,
        encode: Callable[[Batch], bytes] | None = None,
        max_bytes: int | None = None,
        max_chars: int | None = None,
        measure: Callable[[bytes], int] = len,
        repeat: int = 0,
    ) -> None:
        self._queue = queue
        self._encode = encode
        self._max_bytes = max_bytes
        self._max_chars = max_chars
        self._measure = measure
        self._repeat = repeat
        self._stream_id = stream_id
        self._epoch = epoch
        self._seq = 0
        self._offset = 0
        self._crc = 0
        self._before = ""
        self._most: int | None = None  # UTF-8 bytes of a batch and what it repeats, once one was too large
        self.under_way: Push | None = None
        self.in_flight = False
        self.tries = 0
        self._maybe_taken = False
        self._answer_lost = False
        self._resent = 0
        self.resent = 0
        self.finished = False
        self.delivered: list[Delivery] = []
        self.undelivered: list[Undelivered] = []

    @property
    def bytes_left(self) -> int:
        """How many UTF-8 bytes arrived that are neither delivered nor given up."""
        return self._queue.size - self._offset

    def next(self, end: End | None) -> Push:
        """Return the push that is to be handed to the sink now; to be called when there is text, or an end.

        Args:
            end: How the stream ended, if it has.

        Raises:
            InvalidArgument: Not even one character fits into a payload.
            Exception: What `encode` raises.
        """
        push = self.under_way = self.under_way or self._compose(end)
        self.in_flight = True
        self.tries += 1
        self._resent += self._answer_lost
        self.resent += self._answer_lost
        self._answer_lost = False
        return push

    def _compose(self, end: End | None) -> Push:
        ready = self._queue.ready
        pieces = ready if self._max_chars is None else _first_within(ready, self._max_chars)
        if len(pieces) < len(ready):
            end = None  # the last batch is a later one
        whole = self._numbered(pieces)
        text = whole.text
        limit = len(text) if self._max_bytes is None else self._max_bytes
        if self._max_chars is not None:
            limit = min(limit, _cut_before(text, utf16_prefix_length(text, self._max_chars)))
        if self._most is not None:
            limit = max(1, min(limit, _cut_before(text, prefix_length(text, self._most))))
        if len(text) <= limit:
            for batch in (whole,) if end is None else (self._final(whole, end), whole):
                content = self._content(batch)
                if self._max_bytes is None or self._measure(content) <= self._max_bytes:
                    self._queue.take_ready(len(pieces))
                    return Push(batch, content)
        else:
            whole = evolve(whole, text=text[:limit])
        n = len(whole.text)
        if self._encode is not None and self._max_bytes is not None:
            n = largest_fit(whole, self._encode, self._max_bytes, self._measure)
            if n == 0:
                smallest = self._measure(self._encode(evolve(whole, text=text[:1], before="")))
                problem = f"leaves no room for text: with at most one character of it the payload has {smallest} bytes"
                raise InvalidArgument("max_payload_bytes", problem)
        self._queue.take_ready(len(pieces))
        batch = self._cut(whole, text, n)
        return Push(batch, self._content(batch))

    def _numbered(self, ready: list[Piece]) -> Batch:
        """Make a batch of all that is ready."""
        piece = joined(ready)
        return Batch(
            *piece,
            self._stream_id,
            self._epoch,
            self._seq + 1,
            self._offset,
            self._repeated(piece.text),
            "streaming",
            zlib.crc32(piece.text.encode(), self._crc),
        )

    def _final(self, batch: Batch, end: End) -> Batch:
        first_at, last_at = (batch.first_at, batch.last_at) if batch.text else (end.at, end.at)
        return evolve(
            batch,
            first_at=first_at,
            last_at=last_at,
            state=end.state,
            total=self._queue.size,
            finish_reason=end.finish_reason,
        )

    def _repeated(self, text: str) -> str:
        if not self._before or self._most is None:
            return self._before
        return suffix_within(self._before, max(0, self._most - utf8_size(text)))

    def _content(self, batch: Batch) -> bytes:
        return b"" if self._encode is None else self._encode(batch)

    def _cut(self, batch: Batch, text: str, n: int) -> Batch:
        """Make a batch of the first `n` characters of what was taken, and give back the others."""
        taken, rest = text[:n], text[n:]
        end = batch.offset + utf8_size(taken)
        now = [artifact for artifact in batch.artifacts if artifact.end <= end]
        later = batch.artifacts[len(now) :]
        self._queue.give_back(Piece(rest, batch.first_at, batch.last_at, 0, later))
        return evolve(
            batch,
            text=taken,
            artifacts=tuple(now),
            before=self._repeated(taken),
            crc=zlib.crc32(taken.encode(), self._crc),
        )

    def succeed(self, push: Push, receipt: object) -> Delivery:
        """Note that the sink took the push."""
        delivery = Delivery(push.batch, receipt, self.tries, self._resent)
        self.delivered.append(delivery)
        self._settle(push.batch)
        return delivery

    def shrink(self, push: Push) -> bool:
        """Make smaller pushes of one that was too large; returns whether that can be done."""
        batch = push.batch
        if self._maybe_taken or not (len(batch.text) > 1 or batch.before):
            return False
        self._most = (utf8_size(batch.before) + utf8_size(batch.text)) // 2
        self._take_back(batch)
        return True

    def refuse(self, push: Push, error: BaseException, *, maybe_taken: bool = False) -> Undelivered:
        """Note that the push will not be sent again.

        Args:
            push: The push.
            error: Why.
            maybe_taken: Whether the sink may have taken it this time.
        """
        lost = Undelivered(push.batch, error, ambiguous=self._maybe_taken or maybe_taken)
        self.undelivered.append(lost)
        self._settle(push.batch)
        return lost

    def retry(self, push: Push, *, refused: bool, answer_lost: bool) -> None:
        """Note that the push may be sent again.

        Args:
            push: The push.
            refused: Whether the sink has surely not taken it, so that its text may go out in another one.
            answer_lost: Whether its answer was lost, so that another try is a resend.
        """
        self.in_flight = False
        self._maybe_taken = self._maybe_taken or not refused
        self._answer_lost = answer_lost
        if not self._maybe_taken:
            self._take_back(push.batch)

    def _take_back(self, batch: Batch) -> None:
        self.under_way, self.in_flight, self.tries = None, False, 0
        if batch.text:
            self._queue.give_back(Piece(batch.text, batch.first_at, batch.last_at, batch.deltas, batch.artifacts))

    def _settle(self, batch: Batch) -> None:
        self.under_way, self.in_flight = None, False
        self.tries = self._resent = 0
        self._maybe_taken = self._answer_lost = False
        self._seq, self._crc = batch.seq, batch.crc
        self._offset += utf8_size(batch.text)
        if self._repeat:
            self._before = (self._before + batch.text)[-self._repeat :]
        self.finished = batch.final

    def give_up(self, error: BaseException, end: End | None) -> list[Undelivered]:
        """List all that is under way or ready as undelivered; returns the new entries."""
        lost: list[Undelivered] = []
        if self.under_way is not None:
            lost.append(Undelivered(self.under_way.batch, error, ambiguous=True))
            self._settle(self.under_way.batch)
        if not self.finished and (self._queue.ready or end is not None):
            batch = self._numbered(self._queue.take_ready())
            lost.append(Undelivered(batch if end is None else self._final(batch, end), error))
            self._settle(lost[-1].batch)
        self.undelivered += lost
        return lost


def _first_within(pieces: list[Piece], max_chars: int) -> list[Piece]:
    """Return the first pieces whose text has at most `max_chars` UTF-16 code units together, but at least one."""
    size = 0
    for i, piece in enumerate(pieces):
        size += utf16_size(piece.text)
        if size > max_chars and i:
            return pieces[:i]
    return pieces


def _cut_before(text: str, n: int) -> int:
    """Return how many of the first `n` characters can be cut off so that a reader sees no cut, or else `n`."""
    return n if n == len(text) else last_cut(text[: n + 1], n) or n
