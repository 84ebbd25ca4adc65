"""Events to chunks: what an event means, and when the stream is over.

A stream in OpenAI's format has one JSON object per chunk and ends with `[DONE]`.
An error may come at any point, as an event of type "error" or as an object with an `error` in it.
Events of other types are ignored where chunks come too; where none comes, the stream has another format.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from ... import _errors
from ..._values import Completion, CompletionChunk, ServerSentEvent
from ..._values._completions import DESCRIBING, with_numbered_calls
from ..._wire import StructureError, json_type, structure
from ..http.encoding import Inflater
from ..http.exchange import Reply, is_error_object, stream_error
from .sse import EventDecoder

_DONE = "[DONE]"
_FIRST_BYTES = 200
_MOST_TYPES = 8
_LONGEST_TYPE = 60
_HEARTBEAT = re.compile(r"ping|heart[-_ ]?beat|keep[-_ ]?alive", re.IGNORECASE)
# What other formats begin with; the stream is given up at once, because its text costs money and cannot be read.
_OTHER_FORMATS = {
    "message_start": "Anthropic's Messages API",
    "message": "Anthropic's Messages API",
    "response.created": "OpenAI's Responses API",
    "response": "OpenAI's Responses API",
    "message-start": "Cohere's Chat API",
    "stream-start": "Cohere's Chat API",
}
_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"

# It takes half the time of json.loads, because it allows neither a BOM nor whitespace around the object.
_read_json = json.JSONDecoder().raw_decode
# See sse.py: the generated __init__ of a frozen class is slow, and there is a chunk for every token.
_new = object.__new__
_set_raw = vars(CompletionChunk)["raw"].__set__


@cache
def precompile() -> None:
    """Generate the code that structures a chunk, which takes milliseconds, before the first chunk comes."""
    sample: dict[str, Any] = {"choices": [{"delta": {"tool_calls": [{"function": {}}]}}], "usage": {}}
    _ = CompletionChunk(sample).choices, CompletionChunk(sample).usage


class ChunkDecoder:
    """Turns the body of a successful reply, an event stream or one JSON object, into chunks, however it is cut.

    Nothing raises: an error becomes `failure`, so that the chunks before it are handed out first.

    Args:
        reply: The reply; its body is not read here.
        max_event_bytes: How many bytes an event, or a JSON body, may have.

    Attributes:
        done: Whether `[DONE]` came, or a JSON body was whole.
        failure: What went wrong, if something did; no chunk comes after it.
    """

    def __init__(self, reply: Reply, *, max_event_bytes: int) -> None:
        self.done = False
        self.failure: _errors.GenesysStreamError | None = None
        self._reply = reply
        self._limit = max_event_bytes
        self._events = EventDecoder(max_event_bytes=max_event_bytes)
        self._inflater: Inflater | None = None
        self._streams: bool | None = None
        self._plain = False  # an event stream for certain, and not compressed
        self._body = bytearray()
        self._has_chunks = False
        self._other_types: dict[str, None] = {}  # of the events that are no chunks, as long as there is no chunk

    def feed(self, data: bytes) -> list[CompletionChunk]:
        """Decode bytes of the body; returns the chunks that they complete."""
        chunks: list[CompletionChunk] = []
        if self.done or self.failure is not None:
            return chunks
        try:
            if not self._plain:
                data = self._begin(data)
                if not self._streams:
                    return chunks
            for event in self._events.feed(data):
                # Nearly every event is a chunk; the others take the slow path below.
                text = event.data
                if text[:1] != "{":
                    if text.strip() == _DONE:
                        self._check_format(chunks)
                        self.done = True
                        return chunks
                elif event.event == "message":
                    try:
                        payload, end = _read_json(text)
                    except (ValueError, RecursionError):
                        pass  # it is read again below, where the error is raised
                    else:
                        if end == len(text) and "choices" in payload and not payload.get("error"):
                            chunk = _new(CompletionChunk)
                            _set_raw(chunk, payload)
                            chunks.append(chunk)
                            continue
                other = read_event(event)
                if other is not None:
                    chunks.append(other)
                if not self._has_chunks and (other is None or "choices" not in other.raw):
                    self._note_type(event, chunks)
            if chunks and not self._has_chunks:
                self._has_chunks = _has_choices(chunks)
            self.failure = self._events.error
        except _errors.GenesysStreamError as error:
            self.failure = error
        return chunks

    def close(self) -> list[CompletionChunk]:
        """Mark the body as ended; returns the one chunk of a JSON body."""
        if self.done or self.failure:
            return []
        try:
            if self._streams:
                self._check_format([])
                return []
            if self._streams is None and is_event_stream(self._reply, bytes(self._body)):
                return []
            chunk = completion_as_chunk(bytes(self._body))
        except _errors.GenesysStreamError as error:
            self.failure = error
            return []
        self.done = True
        return [chunk]

    def _note_type(self, event: ServerSentEvent, chunks: list[CompletionChunk]) -> None:
        """Remember the type of an event that is no chunk; raise if it begins a stream of another format."""
        name = _type_of(event)
        if name and len(self._other_types) < _MOST_TYPES:
            self._other_types[name] = None
            if name in _OTHER_FORMATS:
                self._check_format(chunks)

    def _check_format(self, chunks: list[CompletionChunk]) -> None:
        """Raise if there were events of other types, but no chunk, neither before nor among these.

        Raises:
            ProtocolError: The stream has another format.
        """
        if self._other_types and not self._has_chunks and not _has_choices(chunks):
            types = ", ".join(self._other_types)
            msg = f"the stream has events of other types than chat completion chunks: {types}"
            raise _errors.ProtocolError(msg + _format_hint(self._other_types))

    def _begin(self, data: bytes) -> bytes:
        """Decompress a piece, and determine from the first ones whether the body is an event stream."""
        if self._inflater is None:
            self._inflater = Inflater(self._reply.headers.get("content-encoding", ""))
        data = self._inflater.feed(data, self._limit)
        if not self._streams:
            self._body += data
            if self._streams is None and data.strip(_BOM + _BLANK):
                data = bytes(self._body)
                self._streams = is_event_stream(self._reply, data)
            if not self._streams and len(self._body) > self._limit:
                msg = f"the body is larger than max_event_bytes={self._limit}"
                raise _errors.EventTooLarge(msg, limit=self._limit)
        self._plain = bool(self._streams) and self._inflater.plain
        return data


def truncated(partial: Completion) -> _errors.StreamTruncated:
    """Return the error of a stream that ended too soon."""
    msg = "the stream ended with neither [DONE] nor a finish reason for every choice; .partial holds what was said"
    error = _errors.StreamTruncated(msg)
    error.partial = partial
    return error


def read_event(event: ServerSentEvent) -> CompletionChunk | None:
    """Read one event.

    Returns:
        The chunk; or None if the event is empty, or has a type of its own, such as a heartbeat's, and data that is
        neither a chunk nor an error.

    Raises:
        StatusError: The event is an error.
        MalformedEvent: The event's data is not a JSON object.
    """
    try:
        payload = event.json()
    except _errors.MalformedEvent:
        if event.event == "error":
            raise stream_error(event.data, event.data) from None
        text = event.data.lstrip()
        if not text or (event.event != "message" and text[0] != "{"):
            return None
        raise
    if event.event == "error":
        raise stream_error(payload, event.data)
    if not isinstance(payload, dict):
        if event.event != "message":
            return None
        msg = f"an event's data must be a JSON object, not {json_type(payload)}"
        raise _errors.MalformedEvent(msg, data=event.data)
    if "choices" not in payload or payload.get("error"):
        if is_error_object(payload):
            raise stream_error(payload, event.data)
        if event.event != "message":
            return None
    return CompletionChunk(payload)


def _has_choices(chunks: list[CompletionChunk]) -> bool:
    return any("choices" in chunk.raw for chunk in chunks)


def _type_of(event: ServerSentEvent) -> str:
    """Return the type of an event that is no chunk; "" for a heartbeat, metadata of a chunk, and what is no object."""
    try:
        payload = event.json()
    except _errors.MalformedEvent:
        return ""
    if not isinstance(payload, dict) or _HEARTBEAT.fullmatch(event.event):
        return ""
    for name in (event.event if event.event != "message" else None, payload.get("type"), payload.get("event_type")):
        if isinstance(name, str) and name:
            return "" if _HEARTBEAT.fullmatch(name) else name[:_LONGEST_TYPE]
    unknown = [key for key in payload if key not in DESCRIBING and key != "usage"]
    return f"an object with {', '.join(unknown[:3])}" if unknown else ""


def _format_hint(types: Iterable[object]) -> str:
    """Say which format these types are of, and what to do about it; "" where that is unknown."""
    known = next((_OTHER_FORMATS[name] for name in types if isinstance(name, str) and name in _OTHER_FORMATS), None)
    if known is None:
        return ""
    return f"; this is the format of {known}; set completions_path to a path that speaks OpenAI's chat completions"


def is_event_stream(reply: Reply, first: bytes) -> bool:
    """Whether a body is an event stream and not JSON, by its content type, or by its first byte if that is not enough.

    Raises:
        UnexpectedContent: It is neither.
    """
    media_type = reply.media_type
    if media_type == "text/event-stream":
        return True
    if media_type == "application/json" or media_type.endswith("+json"):
        return False
    start = first.removeprefix(_BOM).lstrip(_BLANK)[:1]
    if media_type in {"", "text/plain", "application/octet-stream"} and start != b"<":
        return start not in {b"{", b"["}
    msg = (
        f"expected text/event-stream or application/json, got {media_type or 'no content type'} "
        f"with status {reply.status}, beginning {first[:_FIRST_BYTES]!r}"
    )
    raise _errors.UnexpectedContent(msg, content_type=media_type, first_bytes=first[:_FIRST_BYTES])


def read_completion(body: bytes) -> Completion:
    """Read a whole completion that came as JSON.

    Raises:
        StatusError: It is an error object.
        MalformedEvent: It is neither a completion nor an error.
    """
    payload = _completion_object(body)
    try:
        return structure(payload, Completion)
    except StructureError as error:
        msg = f"the body is not a completion: {error}"
        raise _errors.MalformedEvent(msg, data=body.decode("utf-8", "replace")) from None


def completion_as_chunk(body: bytes) -> CompletionChunk:
    """Read a whole completion that came as JSON though a stream was asked for, as the one chunk of a stream.

    Raises:
        StatusError: It is an error object.
        MalformedEvent: It is neither a completion nor an error.
    """
    return CompletionChunk(_completion_object(body))


def _numbered(index: int, choice: Any) -> Any:
    """Add the index of a choice, and of each of its tool calls, which only streams have."""
    if not isinstance(choice, Mapping):
        return choice
    choice = {"index": index, **choice}
    if choice.get("message") is None and isinstance(text := choice.get("text"), str):
        # The legacy format of /v1/completions.
        del choice["text"]
        choice["message"] = {"role": "assistant", "content": text}
    if isinstance(message := choice.get("message"), Mapping):
        choice["message"] = with_numbered_calls(message)
    return choice


def _completion_object(body: bytes) -> dict[str, Any]:
    text = body.decode("utf-8-sig", "replace")
    try:
        payload = json.loads(text)
    except (ValueError, RecursionError):
        payload = None
    hint = ""
    if isinstance(payload, dict):
        if "choices" not in payload or payload.get("error"):
            if is_error_object(payload):
                raise stream_error(payload, text)
            hint = _format_hint([payload.get("type"), payload.get("object")])
        elif isinstance(payload["choices"], list):
            payload["choices"] = [_numbered(index, choice) for index, choice in enumerate(payload["choices"])]
            return payload
    msg = f"expected a completion as JSON, got a body beginning {body[:_FIRST_BYTES]!r}{hint}"
    raise _errors.MalformedEvent(msg, data=text)
