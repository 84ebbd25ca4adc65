"""The receiving side: payloads in any order, doubled or missing, become text again.

The rule, which an app in any language can follow:

- A payload of an earlier epoch is ignored; one of a later epoch clears everything, for the answer began anew.
- Its text goes to `offset`, counted in UTF-8 bytes. Where bytes are there already, they must be the same; if they are
  not, those with the higher `seq` stay, and the text is suspect.
- What is shown is the contiguous text from 0 on.
- The text is complete when a payload said that it is final, all its `total` bytes are there, and their CRC-32 is `crc`.
"""

from __future__ import annotations

import codecs
import re
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from ..._errors import InvalidArgument
from ..._values._checks import check_kind
from ..._wire import type_name

_NUMBER = re.compile(r"[0-9]{1,15}")
_CRC = re.compile(r"[0-9a-f]{8}")
_WORDS = {
    "v": frozenset({"1"}),
    "mode": frozenset({"delta", "tail", "snapshot"}),
    "state": frozenset({"streaming", "complete", "error", "cancelled"}),
}


@frozen
class _Piece:
    """A payload that has been read."""

    content: bytes
    stream_id: str
    epoch: int
    seq: int
    offset: int
    state: str
    crc: int
    total: int
    reason: str
    ref: str


def _read(payload: object) -> _Piece:
    if not isinstance(payload, Mapping):
        raise InvalidArgument("payload", f"must be a mapping, got {type_name(payload)}")
    data = payload["data"] if isinstance(payload.get("data"), Mapping) else payload

    def string(key: str) -> str:
        value = data.get(key)
        if not isinstance(value, str):
            raise InvalidArgument(f"data[{key!r}]", f"must be a string, got {type_name(value)}")
        return value

    def number(key: str) -> int:
        if not _NUMBER.fullmatch(string(key)):
            raise InvalidArgument(f"data[{key!r}]", "must be a decimal number")
        return int(string(key))

    for key, words in _WORDS.items():
        if string(key) not in words:
            raise InvalidArgument(f"data[{key!r}]", f"must be one of {', '.join(sorted(words))}")
    try:
        content = string("llm_response").encode()
    except UnicodeEncodeError:
        raise InvalidArgument("data['llm_response']", "holds half of a surrogate pair") from None
    if not _CRC.fullmatch(string("crc")):
        raise InvalidArgument("data['crc']", "must be eight hexadecimal digits")
    final = string("state") != "streaming"
    piece = _Piece(
        content=content,
        stream_id=string("stream_id"),
        epoch=number("epoch"),
        seq=number("seq"),
        offset=number("offset"),
        state=string("state"),
        crc=int(string("crc"), 16),
        total=number("total") if final else 0,
        reason=string("reason") if final else "",
        ref=string("ref") if "ref" in data else "",
    )
    if final and piece.offset + len(content) != piece.total:
        raise InvalidArgument("data['total']", "must be where the final payload's text ends")
    if string("mode") == "snapshot" and piece.offset:
        raise InvalidArgument("data['offset']", "must be 0 in a snapshot")
    return piece


@frozen
class _Span:
    """Bytes that are there, and the number of the payload that brought them."""

    start: int
    content: bytes
    seq: int

    @property
    def end(self) -> int:
        return self.start + len(self.content)

    def __len__(self) -> int:
        return len(self.content)

    def part(self, start: int, end: int) -> _Span:
        return _Span(start, self.content[start - self.start : end - self.start], self.seq)


class StreamAssembler:
    """Puts the payloads of one stream, in any order, doubled or missing, back into text.

    Args:
        stream_id: The stream to receive; by default, that of the first payload.
    """

    def __init__(self, stream_id: str | None = None) -> None:
        check_kind("stream_id", stream_id, str, optional=True)
        self._stream_id = stream_id
        self._epoch = -1
        self._clear()

    def _clear(self) -> None:
        self._spans: list[_Span] = []  # disjoint and in order
        self._starts: list[int] = []
        self._conflict = False
        self._final: _Piece | None = None
        self._ref = ""
        self._hide()

    def _hide(self) -> None:
        self._shown = 0  # bytes
        self._crc = 0  # of these bytes
        self._parts: list[str] = []
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    @property
    def stream_id(self) -> str | None:
        """The stream that is received; None before the first payload."""
        return self._stream_id

    @property
    def epoch(self) -> int | None:
        """The stream's latest generation; None before the first payload."""
        return None if self._epoch < 0 else self._epoch

    @property
    def text(self) -> str:
        """The text from the beginning up to the first gap, in whole characters."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return "".join(self._parts)

    @property
    def total(self) -> int | None:
        """The length of the whole text in UTF-8 bytes, once the final payload said it."""
        return self._final.total if self._final else None

    @property
    def state(self) -> str:
        """The state that the final payload said, even if others are missing; "streaming" before it came."""
        return self._final.state if self._final else "streaming"

    @property
    def reason(self) -> str:
        """Why the model stopped, or the name of the error, once the final payload said it."""
        return self._final.reason if self._final else ""

    @property
    def ref(self) -> str:
        """Where the whole text can be fetched, if a payload said it."""
        return self._ref

    @property
    def missing(self) -> tuple[tuple[int, int], ...]:
        """The gaps that are known of, as (first byte, byte after the last) of the text in UTF-8."""
        gaps: list[tuple[int, int]] = []
        end = self._shown
        for span in self._spans[bisect_left(self._starts, end) :]:
            gaps.append((end, span.start))
            end = span.end
        if self._final and end < self._final.total:
            gaps.append((end, self._final.total))
        return tuple(gap for gap in gaps if gap[0] < gap[1])

    @property
    def complete(self) -> bool:
        """Whether the final payload came, all of the text is there, and the checksum is right."""
        final = self._final
        return final is not None and (self._shown, self._extent, self._crc) == (final.total, final.total, final.crc)

    @property
    def suspect(self) -> bool:
        """Whether payloads contradicted each other, or the text contradicts its length or its checksum."""
        final = self._final
        if self._conflict or final is None:
            return self._conflict
        return self._extent > final.total or not (self.missing or self.complete)

    @property
    def _extent(self) -> int:
        return self._spans[-1].end if self._spans else 0

    def receive(self, payload: Mapping[str, Any]) -> bool:
        """Take a payload.

        Args:
            payload: The push's `data`, or the whole push with it.

        Returns:
            Whether it brought anything new, so that a screen should be drawn again.

        Raises:
            InvalidArgument: If it is not a payload of this library, or of another stream; nothing has changed then.
        """
        piece = _read(payload)
        if self._stream_id not in {None, piece.stream_id}:
            raise InvalidArgument("data['stream_id']", "is that of another stream")
        self._stream_id = piece.stream_id
        if piece.epoch < self._epoch:
            return False
        restarted = piece.epoch > self._epoch
        if restarted:
            self._epoch = piece.epoch
            self._clear()
        stored = self._store(_Span(piece.offset, piece.content, piece.seq))
        return self._note(piece) or stored or restarted

    def _note(self, piece: _Piece) -> bool:
        """Keep what a final payload says; should there be two, the one with the higher number."""
        self._ref = piece.ref or self._ref
        if piece.state == "streaming" or (self._final and piece.seq <= self._final.seq):
            return False
        self._final = piece
        return True

    def _store(self, new: _Span) -> bool:
        first = bisect_right(self._starts, new.start)
        if first and self._spans[first - 1].end > new.start:
            first -= 1
        last = bisect_left(self._starts, new.end, lo=first)
        old = self._spans[first:last]
        spans = _overlay(old, new)
        self._spans[first:last] = spans
        self._starts[first:last] = [span.start for span in spans]
        lost = sum(_differ(span, new) for span in old)
        if lost:
            self._conflict = True
            self._hide()
        self._show()
        return bool(lost) or sum(map(len, spans)) > sum(map(len, old))

    def _show(self) -> None:
        """Move on from what is shown to the next gap."""
        at = bisect_right(self._starts, self._shown) - 1
        for span in self._spans[max(at, 0) :]:
            if span.start > self._shown:
                return
            content = span.content[self._shown - span.start :]
            self._parts.append(self._decoder.decode(content))
            self._crc = zlib.crc32(content, self._crc)
            self._shown += len(content)


def _differ(a: _Span, b: _Span) -> bool:
    start, end = max(a.start, b.start), min(a.end, b.end)
    return a.part(start, end).content != b.part(start, end).content


def _overlay(old: list[_Span], new: _Span) -> list[_Span]:
    """Lay a span over those that it touches; where two have the same place, that of the later payload stays."""
    out: list[_Span] = []

    def put(span: _Span) -> None:
        if out and span.seq == out[-1].seq:
            span = _Span(out[-1].start, out.pop().content + span.content, span.seq)
        if len(span):
            out.append(span)

    at = new.start
    for span in old:
        put(span.part(span.start, max(span.start, at)))
        put(new.part(at, max(span.start, at)))
        start, end = max(span.start, at), min(span.end, new.end)
        put(max(span.part(start, end), new.part(start, end), key=lambda span: (span.seq, span.content)))
        put(span.part(end, span.end))
        at = end
    put(new.part(at, new.end))
    return out
