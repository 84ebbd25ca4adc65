"""Events to chunks: what an event means, and when the stream is over.

An OpenAI-style stream says each chunk as a JSON object and ends with `[DONE]`.
An error may come at any point, as an event of type "error" or as an object with an `error` in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from ... import _errors
from ..._values import Completion, CompletionChunk, ServerSentEvent
from ..._values._completions import with_numbered_calls
from ..._wire import StructureError, structure, type_name
from ..http.encoding import Inflater
from ..http.exchange import Reply, is_error_object, stream_error
from .sse import EventDecoder

_DONE = "[DONE]"
_FIRST_BYTES = 200
_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"

# Neither a BOM nor whitespace around the object, as nearly every event has it, takes half of what json.loads takes.
_read_json = json.JSONDecoder().raw_decode
# See sse.py: the generated __init__ of a frozen class is slow, and there is a chunk for every token.
_new = object.__new__
_set_raw = vars(CompletionChunk)["raw"].__set__


@cache
def precompile() -> None:
    """Have the readers of a chunk's parts made, which takes milliseconds, before the first chunk comes."""
    said: dict[str, Any] = {"choices": [{"delta": {"tool_calls": [{"function": {}}]}}], "usage": {}}
    _ = CompletionChunk(said).choices, CompletionChunk(said).usage


class ChunkDecoder:
    """Turns the body of a successful reply into chunks, however it is cut, whether it streams or is one JSON object.

    Nothing raises: what goes wrong becomes `failure`, so that the chunks before it are handed out first.

    Attributes:
        done: Whether `[DONE]` came, or a JSON body was whole.
        failure: What went wrong, if something did; nothing more comes after it.
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

    def feed(self, data: bytes) -> list[CompletionChunk]:
        """Take bytes of the body; returns the chunks that they complete."""
        chunks: list[CompletionChunk] = []
        if self.done or self.failure is not None:
            return chunks
        try:
            if not self._plain:
                data = self._begin(data)
                if not self._streams:
                    return chunks
            for event in self._events.feed(data):
                # Nearly every event is an object, and a chunk; only another one is looked at as a whole.
                said = event.data
                if said[:1] != "{":
                    if said.strip() == _DONE:
                        self.done = True
                        return chunks
                elif event.event == "message":
                    try:
                        payload, end = _read_json(said)
                    except (ValueError, RecursionError):
                        pass  # what is wrong with it is found out below
                    else:
                        if end == len(said) and "choices" in payload and not payload.get("error"):
                            chunk = _new(CompletionChunk)
                            _set_raw(chunk, payload)
                            chunks.append(chunk)
                            continue
                other = read_event(event)
                if other is not None:
                    chunks.append(other)
            self.failure = self._events.error
        except _errors.GenesysStreamError as error:
            self.failure = error
        return chunks

    def close(self) -> list[CompletionChunk]:
        """Take note of the body's end; returns the one chunk of a JSON body."""
        if self.done or self.failure or self._streams:
            return []
        try:
            if self._streams is None and is_event_stream(self._reply, bytes(self._body)):
                return []
            chunk = completion_as_chunk(bytes(self._body))
        except _errors.GenesysStreamError as error:
            self.failure = error
            return []
        self.done = True
        return [chunk]

    def _begin(self, data: bytes) -> bytes:
        """Undo the coding of a piece, and find out from the first ones what the body is."""
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
    """Make the exception of a stream that ended too soon."""
    msg = "the stream ended with neither [DONE] nor a finish reason for every choice; .partial holds what was said"
    error = _errors.StreamTruncated(msg)
    error.partial = partial
    return error


def read_event(event: ServerSentEvent) -> CompletionChunk | None:
    """Read one event.

    Returns:
        The chunk, or None for an event without meaning: an empty one, or one of a type of its own, such as a heartbeat,
        whose data is neither a chunk nor an error.

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
        msg = f"an event's data must be a JSON object, not {type_name(payload)}"
        raise _errors.MalformedEvent(msg, data=event.data)
    if "choices" not in payload or payload.get("error"):
        if is_error_object(payload):
            raise stream_error(payload, event.data)
        if event.event != "message":
            return None
    return CompletionChunk(payload)


def is_event_stream(reply: Reply, first: bytes) -> bool:
    """Tell an event stream from a JSON body, by the content type, or by the first byte where that says nothing.

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
    """Give a choice, and each of its tool calls, the index that only a stream has a need for."""
    if not isinstance(choice, Mapping):
        return choice
    choice = {"index": index, **choice}
    if isinstance(message := choice.get("message"), Mapping):
        choice["message"] = with_numbered_calls(message)
    return choice


def _completion_object(body: bytes) -> dict[str, Any]:
    text = body.decode("utf-8-sig", "replace")
    try:
        payload = json.loads(text)
    except (ValueError, RecursionError):
        payload = None
    if isinstance(payload, dict):
        if "choices" not in payload or payload.get("error"):
            if is_error_object(payload):
                raise stream_error(payload, text)
        elif isinstance(payload["choices"], list):
            payload["choices"] = [_numbered(index, choice) for index, choice in enumerate(payload["choices"])]
            return payload
    msg = f"expected a completion as JSON, got a body beginning {body[:_FIRST_BYTES]!r}"
    raise _errors.MalformedEvent(msg, data=text)
