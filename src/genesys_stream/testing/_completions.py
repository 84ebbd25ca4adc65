"""Builds the answer to a completion request from a `Say`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

from ._bodies import encode, event
from ._scripted import DONE, EVENT_STREAM, JSON, Cut, ErrorEvent, Say, Stall
from ._texts import count_prompt_tokens, default_text, prompt_of, tokenise
from ._values import Answer, Drop, Piece

HEARTBEAT = b": heartbeat\n\n"


@frozen
class _Completion:
    """A completion before it is encoded, streamed or whole."""

    id: str
    created: int
    model: str
    n: int
    tokens: tuple[str, ...]
    tool_calls: tuple[tuple[str, str], ...]
    usage: dict[str, int]
    usage_wanted: bool
    finish_reason: str | None

    def chunk(self, choices: list[dict[str, Any]], usage: dict[str, int] | None = None) -> bytes:
        body: dict[str, Any] = {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }
        if self.usage_wanted:
            body["usage"] = usage
        return event(body)

    def delta(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> list[bytes]:
        return [
            self.chunk([{"index": index, "delta": delta, "finish_reason": finish_reason}]) for index in range(self.n)
        ]

    def deltas(self) -> Iterator[list[bytes]]:
        """Yield the chunks of each delta; all but the token is encoded once, because streams can be many."""
        mark = "\0"  # escaped in JSON, whatever else is not
        frames = [chunk.split(encode(mark)) for chunk in self.delta({"content": mark})]
        for token in self.tokens:
            quoted = encode(token)
            yield [head + quoted + tail for head, tail in frames]
        for index, call in enumerate(self.calls()):
            function = call["function"]
            begin = {"index": index, **call, "function": {"name": function["name"], "arguments": ""}}
            yield self.delta({"tool_calls": [begin]})
            for part in tokenise(function["arguments"]):
                yield self.delta({"tool_calls": [{"index": index, "function": {"arguments": part}}]})

    def calls(self) -> list[dict[str, Any]]:
        return [
            {
                "id": f"call_{self.id.removeprefix('chatcmpl-')}_{number}",
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
            for number, (name, arguments) in enumerate(self.tool_calls, 1)
        ]

    def whole(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self.tokens)}
        if self.tool_calls:
            message |= {"content": message["content"] or None, "tool_calls": self.calls()}
        choices = [{"index": i, "message": message, "finish_reason": self.finish_reason} for i in range(self.n)]
        return {
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": choices,
            "usage": self.usage,
        }


def completion_answer(
    said: Say, request: Mapping[str, Any], *, number: int, created: int, token_interval: float
) -> Answer:
    """Build the answer to a completion request: a stream if the request asks for one, whole otherwise.

    Args:
        said: What the completion says, and how.
        request: The request's JSON.
        number: The completion's number, for its id.
        created: When, in whole seconds since 1970.
        token_interval: Seconds between two deltas where `said` does not say.
    """
    messages = request.get("messages") or []
    tokens = said.tokens
    if tokens is None:
        tokens = () if said.tool_calls else tokenise(default_text(prompt_of(messages)))
    asked, answered = count_prompt_tokens(messages), len(tokens)
    n = request.get("n")
    options = request.get("stream_options")
    completion = _Completion(
        id=f"chatcmpl-{number:04x}",
        created=created,
        model=str(request.get("model") or "gpt-4o"),
        n=n if isinstance(n, int) and n > 0 else 1,
        tokens=tokens,
        tool_calls=said.tool_calls,
        usage={"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered},
        usage_wanted=isinstance(options, Mapping) and options.get("include_usage") is True,
        finish_reason=said.finish_reason,
    )
    every = token_interval if said.every is None else said.every
    before: list[Piece] = [said.headers_after] if said.headers_after > 0 else []
    if request.get("stream") is True:
        pieces = _with_faults(said, completion, tuple(_stream(said, completion, every)))
        return Answer(200, EVENT_STREAM, (*pieces, b""), tuple(before))
    return _whole(said, completion, before, said.first_after + every * max(0, answered - 1))


def _stream(said: Say, completion: _Completion, every: float) -> Iterator[Piece]:
    """Yield the events of a stream without faults, and the pauses between them."""
    yield from completion.delta({"role": "assistant", "content": ""})
    for number, chunks in enumerate(completion.deltas()):
        pause = every if number else said.first_after
        if pause > 0:
            yield pause
        yield from chunks
    if completion.finish_reason is not None:
        yield from completion.delta({}, completion.finish_reason)
    if completion.usage_wanted:
        yield completion.chunk([], completion.usage)
    if said.done:
        yield DONE


def _with_faults(said: Say, completion: _Completion, pieces: tuple[Piece, ...]) -> Iterator[Piece]:
    """Insert each fault after its number of events; one beyond the end comes at the end."""
    waiting = sorted(said.faults, key=lambda fault: fault.after_events)
    events = 0
    for at in range(len(pieces) + 1):
        while waiting and (waiting[0].after_events <= events or at == len(pieces)):
            fault = waiting.pop(0)
            if isinstance(fault, Stall):
                yield from _silence(fault)
            elif isinstance(fault, ErrorEvent):
                yield event({"error": dict(fault.error)}, name=fault.event_name)
                return
            else:
                yield from _cut(fault, completion, pieces[at:])
                return
        if at < len(pieces):
            yield pieces[at]
            events += isinstance(pieces[at], bytes)


def _silence(stall: Stall) -> Iterator[Piece]:
    left = stall.seconds
    while stall.heartbeat_every is not None and left > stall.heartbeat_every > 0:
        yield stall.heartbeat_every
        yield HEARTBEAT
        left -= stall.heartbeat_every
    yield left


def _cut(cut: Cut, completion: _Completion, rest: tuple[Piece, ...]) -> Iterator[Piece]:
    """Yield what is still sent of the rest, and break the connection."""
    if cut.inside == "event":
        following = next((piece for piece in rest if isinstance(piece, bytes)), DONE)
        yield following[: len(following) // 2]
    elif cut.inside == "character":
        if not any(isinstance(piece, bytes) and _first_multibyte(piece) for piece in rest):
            rest = (completion.delta({"content": "…"})[0],)
        for piece in rest:
            lead = _first_multibyte(piece) if isinstance(piece, bytes) else 0
            if isinstance(piece, bytes) and lead:
                yield piece[: lead + 1]
                break
            yield piece
    yield Drop(cut.reset)


def _first_multibyte(piece: bytes) -> int:
    """Return where the first character of more than one byte begins, or 0; an event begins with ASCII."""
    return next((at for at, byte in enumerate(piece) if byte >= 0xC0), 0)


def _whole(said: Say, completion: _Completion, before: list[Piece], duration: float) -> Answer:
    """Build an answer that is not streamed; the faults of a stream happen before its status line."""
    before.append(duration)
    for fault in said.faults:
        if isinstance(fault, Stall):
            before.append(fault.seconds)
        elif isinstance(fault, ErrorEvent):
            return Answer(500, (JSON,), (encode({"error": dict(fault.error)}),), tuple(before))
        else:
            before.append(Drop(fault.reset))
            break
    return Answer(200, (JSON,), (encode(completion.whole()),), tuple(before))
