"""A `Say` and the request that it answers, turned into an `Answer`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

from ._bodies import encode, event
from ._texts import count_prompt_tokens, default_text, prompt_of, tokenise
from ._values import Answer, Drop, Piece
from ._vocabulary import DONE, EVENT_STREAM, JSON, Cut, ErrorEvent, Say, Stall

HEARTBEAT = b": heartbeat\n\n"


@frozen
class _Speech:
    """One completion that is being written: its id, and what the request asked for."""

    id: str
    created: int
    model: str
    n: int
    tokens: tuple[str, ...]
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

    def delta(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> Iterator[bytes]:
        for index in range(self.n):
            yield self.chunk([{"index": index, "delta": delta, "finish_reason": finish_reason}])

    def content(self, tokens: tuple[str, ...]) -> Iterator[list[bytes]]:
        """Give the chunks of each token; all that is not the token is encoded once, because streams can be many."""
        mark = "\0"  # escaped in JSON, whatever else is not
        frames = [chunk.split(encode(mark)) for chunk in self.delta({"content": mark})]
        for token in tokens:
            quoted = encode(token)
            yield [head + quoted + tail for head, tail in frames]

    def whole(self) -> dict[str, Any]:
        message = {"role": "assistant", "content": "".join(self.tokens)}
        choices = [{"index": i, "message": message, "finish_reason": self.finish_reason} for i in range(self.n)]
        return {
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": choices,
            "usage": self.usage,
        }


def say(said: Say, request: Mapping[str, Any], *, number: int, created: int, token_interval: float) -> Answer:
    """Answer a request with a completion.

    Args:
        said: What to say, and how.
        request: The request's JSON.
        number: How many completions there were, for the id.
        created: When, in whole seconds since 1970.
        token_interval: Seconds between two deltas where `said` does not tell.
    """
    messages = request.get("messages") or []
    tokens = said.tokens if said.tokens is not None else tokenise(default_text(prompt_of(messages)))
    asked, answered = count_prompt_tokens(messages), len(tokens)
    n = request.get("n")
    options = request.get("stream_options")
    speech = _Speech(
        id=f"chatcmpl-{number:04x}",
        created=created,
        model=str(request.get("model") or "gpt-4o"),
        n=n if isinstance(n, int) and n > 0 else 1,
        tokens=tokens,
        usage={"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered},
        usage_wanted=isinstance(options, Mapping) and options.get("include_usage") is True,
        finish_reason=said.finish_reason,
    )
    every = token_interval if said.every is None else said.every
    before: list[Piece] = [said.headers_after] if said.headers_after > 0 else []
    if request.get("stream") is True:
        pieces = _mishaps(said, speech, _stream(said, speech, every))
        return Answer(200, EVENT_STREAM, (*pieces, b""), tuple(before))
    return _at_once(said, speech, before, said.first_after + every * max(0, answered - 1))


def _stream(said: Say, speech: _Speech, every: float) -> Iterator[Piece]:
    """Give the events of an undisturbed stream, and the pauses between them."""
    yield from speech.delta({"role": "assistant", "content": ""})
    for number, chunks in enumerate(speech.content(speech.tokens)):
        pause = every if number else said.first_after
        if pause > 0:
            yield pause
        yield from chunks
    if speech.finish_reason is not None:
        yield from speech.delta({}, speech.finish_reason)
    if speech.usage_wanted:
        yield speech.chunk([], speech.usage)
    if said.done:
        yield DONE


def _mishaps(said: Say, speech: _Speech, stream: Iterator[Piece]) -> Iterator[Piece]:
    """Let the mishaps happen, each as soon as its number of events is out; one beyond the end happens there."""
    pieces = tuple(stream)
    waiting = sorted(said.mishaps, key=lambda mishap: mishap.after_events)
    events = 0
    for at in range(len(pieces) + 1):
        while waiting and (waiting[0].after_events <= events or at == len(pieces)):
            mishap = waiting.pop(0)
            if isinstance(mishap, Stall):
                yield from _silence(mishap)
            elif isinstance(mishap, ErrorEvent):
                yield event({"error": dict(mishap.error)}, name=mishap.event_name)
                return
            else:
                yield from _cut(mishap, speech, pieces[at:])
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


def _cut(cut: Cut, speech: _Speech, rest: tuple[Piece, ...]) -> Iterator[Piece]:
    """Say what the cut still lets through of the rest, and break off."""
    if cut.inside == "event":
        following = next((piece for piece in rest if isinstance(piece, bytes)), DONE)
        yield following[: len(following) // 2]
    elif cut.inside == "character":
        if not any(isinstance(piece, bytes) and _lead(piece) for piece in rest):
            rest = (next(speech.delta({"content": "…"})),)
        for piece in rest:
            lead = _lead(piece) if isinstance(piece, bytes) else 0
            if isinstance(piece, bytes) and lead:
                yield piece[: lead + 1]
                break
            yield piece
    yield Drop(cut.reset)


def _lead(piece: bytes) -> int:
    """Return where the first character of more than one byte begins, or 0; an event begins with ASCII."""
    return next((at for at, byte in enumerate(piece) if byte >= 0xC0), 0)


def _at_once(said: Say, speech: _Speech, before: list[Piece], writing: float) -> Answer:
    """Answer with the whole completion; what would befall a stream befalls the wait for it."""
    before.append(writing)
    for mishap in said.mishaps:
        if isinstance(mishap, Stall):
            before.append(mishap.seconds)
        elif isinstance(mishap, ErrorEvent):
            return Answer(500, (JSON,), (encode({"error": dict(mishap.error)}),), tuple(before))
        else:
            before.append(Drop(mishap.reset))
            break
    return Answer(200, (JSON,), (encode(speech.whole()),), tuple(before))
