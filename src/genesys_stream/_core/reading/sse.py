"""Bytes, cut anywhere, to events: the event stream of the WHATWG HTML standard, sections 9.2.5 and 9.2.6.

UTF-8 uses the bytes CR and LF for no other character, so lines can be found in bytes.
A sequence that a line end interrupts is broken wherever the stream was cut; hence decoding what lies between
line ends gives just what decoding the whole stream gives, and nothing is ever decoded in the middle of a character.

The invariant: for the same bytes, any cuts give the same events, and then the same error or none;
and each event is handed out by the very `feed` that brings the last line end it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..._errors import EventTooLarge, InvalidArgument, StreamStateError
from ..._values import ServerSentEvent
from ..._values._checks import shown
from ..._wire import type_name

_BOM = b"\xef\xbb\xbf"
_COLON = 0x3A  # the first byte of a comment

# A retry of 292 million years is as good as a longer one, and an integer that every clock and database takes.
_LONGEST_RETRY = 2**63 - 1

_BLOCK_BYTES = 2**15  # how much of a read is split into lines at once

# The generated __init__ of a frozen class sets its fields by name, through a method made for each instance.
# Setting them through their slots does the same in two thirds of the time, and this is the library's hottest path.
_new = object.__new__
_slots: Mapping[str, Any] = vars(ServerSentEvent)
_set_data, _set_event, _set_id, _set_retry = (_slots[name].__set__ for name in ("data", "event", "id", "retry"))


class EventDecoder:
    """Decode an event stream from bytes that arrive in pieces of any size.

    An event is bounded by all that was received since the blank line before it: data, comments, field names and
    the unfinished line, each line end counting as one byte.
    When an event outgrows the bound, `feed` first hands out the events before it, and then the decoder has failed for
    good: the next `feed`, or else `close`, raises. `error` says so without waiting for either.

    Args:
        max_event_bytes: How many bytes one event may have.

    Attributes:
        error: Why no event will follow those handed out so far; None unless the decoder has failed.

    Raises:
        InvalidArgument: `max_event_bytes` is not a positive integer.
    """

    __slots__ = (
        "_bom",
        "_closed",
        "_data",
        "_event",
        "_event_retry",
        "_id",
        "_is_special",
        "_last_event_id",
        "_limit",
        "_line",
        "_retry",
        "_size",
        "_skip_lf",
        "_was_raised",
        "error",
    )

    def __init__(self, *, max_event_bytes: int = 16 * 2**20) -> None:
        if isinstance(max_event_bytes, bool) or not isinstance(max_event_bytes, int):
            raise InvalidArgument("max_event_bytes", f"must be a number of bytes, not {type_name(max_event_bytes)}")
        if max_event_bytes < 1:
            raise InvalidArgument("max_event_bytes", f"must be at least 1, not {shown(max_event_bytes)}")
        self._limit = max_event_bytes
        self._line = bytearray()  # the unfinished line
        self._size = 0  # of the unfinished event's finished lines
        # The four buffers of section 9.2.6, and the reconnection time of the unfinished event.
        self._data: list[bytes] = []
        self._event = ""
        self._id = ""
        self._last_event_id = ""
        self._retry: int | None = None
        self._event_retry: int | None = None
        # Rare states, behind one flag that `feed` checks.
        self._is_special = True
        self._bom: bytes | None = b""  # what may yet become a byte order mark; None when it is settled
        self._skip_lf = False  # the last byte was a CR, so that an LF now belongs to a line that has ended
        self.error: EventTooLarge | None = None
        self._was_raised = False
        self._closed = False

    @property
    def last_event_id(self) -> str:
        """The last event ID, which a `Last-Event-ID` header would carry."""
        return self._last_event_id

    @property
    def retry(self) -> int | None:
        """The reconnection time in milliseconds; None until the stream has set one."""
        return self._retry

    def feed(self, data: bytes | bytearray | memoryview) -> list[ServerSentEvent]:
        """Decode the bytes of one read.

        Args:
            data: The bytes; b"" changes nothing.

        Returns:
            The events that are now complete, in order.

        Raises:
            EventTooLarge: An event has outgrown `max_event_bytes`, and the events before it have been handed out.
            InvalidArgument: `data` is not bytes.
            StreamStateError: The decoder is closed.
        """
        if type(data) is not bytes:
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise InvalidArgument("data", f"must be bytes, not {type_name(data)}")
            data = bytes(data)
        if len(data) > _BLOCK_BYTES:
            return self._feed_in_blocks(data)
        if self._is_special:
            data = self._preprocess(data)
        if b"\r" not in data:
            # What most reads hold: one event of one line, or a part of a line.
            end = data.find(b"\n")
            if end < 0:
                if self._size + len(self._line) + len(data) <= self._limit:
                    self._line += data
                    return []
            elif (
                end == len(data) - 2
                and data[end:] == b"\n\n"
                and data[:6] == b"data: "
                and not (self._size or self._line)
                and end < self._limit
            ):
                event = _new(ServerSentEvent)
                _set_data(event, data[6:end].decode("utf-8", "replace"))
                _set_event(event, "message")
                _set_id(event, self._id)
                _set_retry(event, None)
                return [event]
        else:
            # A CR ends its line at once. Whether it is one half of a CRLF can only matter to the next read.
            self._is_special = self._skip_lf = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

        lines = data.split(b"\n")
        begun = self._line
        # Only where all that is pending, with this read, is beyond the bound can an event be: look closer then.
        if self._size + len(begun) + len(data) > self._limit:
            self._check(lines)
        rest = lines.pop()
        if not lines:
            begun += rest
            return [] if self.error is None else self._fail(self.error, [])
        if begun:
            lines[0] = b"".join((begun, lines[0]))
            begun.clear()

        events: list[ServerSentEvent] = []
        buffer = self._data
        event_type = self._event
        last_event_id = self._id
        retry = self._event_retry
        for line in lines:
            if line[:6] == b"data: ":
                buffer.append(line[6:])
            elif line:
                if line[0] == _COLON:
                    continue
                name, _, value = line.partition(b":")
                if value[:1] == b" ":
                    value = value[1:]
                if name == b"data":
                    buffer.append(value)
                elif name == b"event":
                    event_type = value.decode("utf-8", "replace")
                elif name == b"id":
                    if b"\0" not in value:
                        last_event_id = value.decode("utf-8", "replace")
                elif name == b"retry" and value.isdigit():  # of bytes: ASCII digits, and at least one
                    # Twenty digits are beyond the longest already, and int() refuses thousands of them.
                    self._retry = retry = min(int((value.lstrip(b"0") or b"0")[:20]), _LONGEST_RETRY)
            else:
                self._last_event_id = last_event_id
                if buffer:
                    event = _new(ServerSentEvent)
                    _set_data(event, b"\n".join(buffer).decode("utf-8", "replace"))
                    _set_event(event, event_type or "message")
                    _set_id(event, last_event_id)
                    _set_retry(event, retry)
                    events.append(event)
                    buffer.clear()
                event_type = ""
                retry = None
        self._event = event_type
        self._id = last_event_id
        self._event_retry = retry
        begun += rest

        size = 0
        if lines[-1]:
            for line in reversed(lines):
                if not line:
                    break
                size += len(line) + 1
            else:
                size += self._size
        self._size = size
        return events if self.error is None else self._fail(self.error, events)

    def _feed_in_blocks(self, data: bytes) -> list[ServerSentEvent]:
        """Decode a long read block by block, so that only its events, not all of its lines, are in memory at once."""
        events: list[ServerSentEvent] = []
        for at in range(0, len(data), _BLOCK_BYTES):
            try:
                events += self.feed(data[at : at + _BLOCK_BYTES])
            except EventTooLarge:
                if not events:
                    raise
                self._was_raised = False  # raise it again, after these events
            if self.error is not None:
                break
        return events

    def close(self) -> None:
        """Mark the input as ended; an unfinished event is discarded, as the standard requires.

        Raises:
            EventTooLarge: An event has outgrown `max_event_bytes`, and no `feed` has raised it.
        """
        self._closed = self._is_special = True
        self._line.clear()
        self._data.clear()
        if self.error is not None and not self._was_raised:
            self._was_raised = True
            raise self.error

    def _preprocess(self, data: bytes) -> bytes:
        """Handle what concerns only the first bytes, the bytes after a CR, and calls after an error or the end."""
        if self.error is not None:
            self._was_raised = True
            raise self.error.with_traceback(None)  # of the last time it was raised
        if self._closed:
            raise StreamStateError("the decoder is closed")
        if self._bom is not None:
            data = self._bom + data
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._bom = data
                return b""
            self._bom = None
            data = data.removeprefix(_BOM)
        if self._skip_lf:
            if not data:
                return data
            self._skip_lf = False
            data = data.removeprefix(b"\n")
        self._is_special = False
        return data

    def _check(self, lines: list[bytes]) -> None:
        """Find the line with which an event outgrows the bound, and leave only the lines before it."""
        size = self._size + len(self._line)
        last = len(lines) - 1
        for number, line in enumerate(lines):
            if line or (number == 0 and self._line):
                size += len(line) + (number < last)  # the last one is unfinished
            else:
                size = 0
            if size > self._limit:
                self.error = EventTooLarge(f"an event is larger than max_event_bytes={self._limit}", limit=self._limit)
                self._is_special = True
                lines[number:] = [b""]
                if number == 0:
                    self._line.clear()
                return

    def _fail(self, error: EventTooLarge, events: list[ServerSentEvent]) -> list[ServerSentEvent]:
        """Return the events before the error, or raise it if there are none."""
        self._line.clear()
        self._data.clear()
        if not events:
            self._was_raised = True
            raise error
        return events
