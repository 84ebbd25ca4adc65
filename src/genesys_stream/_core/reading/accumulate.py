"""Chunks to a completion.

Each choice gathers its texts in lists of pieces, which are joined when the completion is asked for.
Nearly every chunk has a few characters for one choice and nothing else; these are read directly from its JSON.
Every other chunk is structured into values first, which raises if it is malformed, before anything is changed;
so the invariant: a chunk is added as a whole, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import Factory, define

from ..._errors import InvalidArgument
from ..._values import (
    Choice,
    ChunkChoice,
    Completion,
    CompletionChunk,
    Delta,
    FunctionCall,
    Message,
    ToolCall,
    Usage,
)
from ..._values._checks import check_kind, shown
from ..._values._completions import DESCRIBING, is_of, text_of
from ..._wire import join_surrogates, type_name

# Of these the first one that is not empty counts: content filters and keep-alives send empty ones.
_FIRST = DESCRIBING

# The fields that Delta and ChunkChoice know; the others are kept in `extra`.
_TEXTS = frozenset({"content", "refusal", "reasoning_content"})
_DELTA = _TEXTS | {"role", "tool_calls"}
_CHOICE = frozenset({"index", "delta", "finish_reason", "logprobs"})
# What some providers repeat with every piece of an object.
_SENT_ONCE = frozenset({"id", "type", "name"})


class _TextParts(list[str]):
    """A text in pieces; a surrogate pair may be cut between two of them."""

    def join(self) -> str | None:
        """Return the text, or None if there is no piece, and keep it as one piece."""
        if not self:
            return None
        if len(self) > 1:
            self[:] = ["".join(self)]
        return join_surrogates(self[0])


class _ObjectParts(dict[str, Any]):
    """An object whose texts come in pieces."""


@define(eq=False)
class _CallParts:
    """The fragments of a tool call."""

    id: str = ""
    type: str = ""
    name: str = ""
    arguments: _TextParts = Factory(_TextParts)
    extra: dict[str, Any] = Factory(dict)
    function_extra: dict[str, Any] = Factory(dict)

    def add(self, fragment: ToolCall) -> None:
        function = fragment.function
        # The first that is not empty: some providers send an empty id.
        self.id = self.id or fragment.id or ""
        self.type = self.type or fragment.type or ""
        name = function.name or ""
        if name and not any(self.arguments):
            # It comes before the arguments, whole or in pieces; some providers repeat it with every fragment.
            self.name = name if name.startswith(self.name) else self.name + name
        if function.arguments is not None:
            self.arguments.append(function.arguments)
        _update(self.extra, fragment.extra)
        _update(self.function_extra, function.extra)

    def snapshot(self, index: int) -> ToolCall:
        function = FunctionCall(self.name or None, self.arguments.join(), dict(self.function_extra))
        return ToolCall(index, self.id or None, self.type or "function", function, dict(self.extra))


@define(eq=False)
class _ChoiceParts:
    """The pieces of a choice.

    Attributes:
        calls: The tool calls, by their index in the message.
        indices: Where calls share an index: the index in the message of the latest of them.
        has_whole_message: Whether it is not streamed by deltas, but by whole messages.
    """

    role: str = ""
    content: _TextParts = Factory(_TextParts)
    refusal: _TextParts = Factory(_TextParts)
    reasoning_content: _TextParts = Factory(_TextParts)
    calls: dict[int, _CallParts] = Factory(dict)
    indices: dict[int, int] = Factory(dict)
    has_whole_message: bool = False
    message_extra: dict[str, Any] = Factory(dict)
    finish_reason: str | None = None
    logprobs: dict[str, Any] | None = None
    extra: dict[str, Any] = Factory(dict)

    def add(self, part: ChunkChoice, raw: Mapping[str, Any]) -> None:
        """Add the choice's part of a chunk; `raw` is the JSON that it was read from."""
        delta = part.delta
        self.role = self.role or delta.role or ""
        for pieces, text in (
            (self.content, delta.content),
            (self.refusal, delta.refusal),
            (self.reasoning_content, delta.reasoning_content),
        ):
            if text is not None:
                pieces.append(text)
        if delta.tool_calls:
            self._add_calls(delta, raw["delta"]["tool_calls"])
        for name, value in delta.extra.items():
            # An unknown text, such as "reasoning", comes in pieces like the known ones.
            # So do those of an object: the "arguments" of a "function_call", or the "transcript" of an "audio".
            if not isinstance(value, Mapping):
                _put(self.message_extra, name, value)
                continue
            texts = self.message_extra.get(name)
            if not isinstance(texts, _ObjectParts):
                texts = self.message_extra[name] = _ObjectParts()
            for key, piece in value.items():
                if key in _SENT_ONCE:
                    texts[key] = texts.get(key) or piece
                else:
                    _put(texts, key, piece)
        self.finish_reason = part.finish_reason or self.finish_reason
        if part.logprobs is not None:
            self.logprobs = _extend(self.logprobs or {}, part.logprobs)
        _update(self.extra, part.extra)

    def _add_calls(self, delta: Delta, raw: Iterable[Mapping[str, Any]]) -> None:
        for fragment, origin in zip(delta.tool_calls, raw, strict=True):
            index = self._index_of(fragment, None if origin.get("index") is None else fragment.index)
            self.calls.setdefault(index, _CallParts()).add(fragment)

    def _index_of(self, fragment: ToolCall, given: int | None) -> int:
        """Find the call of a fragment: by its index, by its id, or else the last one.

        Some providers send parallel calls without an index, or all under one.
        There an id together with a name begins a call; an id alone does not, since others send a new one with every
        fragment.
        """
        last = max(self.calls, default=-1)
        by_id = next((index for index, call in self.calls.items() if call.id == fragment.id), None)
        if given is None:
            if not fragment.id:
                return max(last, 0)
            return last + 1 if by_id is None else by_id
        index = self.indices.get(given, given)
        call = self.calls.get(index)
        if call is None or not call.id or not fragment.id or call.id == fragment.id:
            return index
        if by_id is None and fragment.function.name:
            by_id = last + 1
        if by_id is not None:
            index = self.indices[given] = by_id
        return index

    def without_repetition(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Return a whole message without what was streamed before it."""
        return {name: value for name, value in message.items() if not self._repeats(name, value)}

    def _repeats(self, name: str, value: object) -> bool:
        if name in _TEXTS:
            text = text_of(value) if isinstance(value, (str, list)) else ""
            return bool(text) and join_surrogates(text) == getattr(self, name).join()
        if name == "tool_calls" and isinstance(value, list):
            ids = [call.id for call in self.calls.values() if call.id]
            return bool(value) and all(isinstance(call, Mapping) and call.get("id") in ids for call in value)
        return name in self.message_extra and _joined(self.message_extra)[name] == value

    def snapshot(self, index: int) -> Choice:
        message = Message(
            role=self.role or "assistant",
            content=self.content.join(),
            refusal=self.refusal.join(),
            reasoning_content=self.reasoning_content.join(),
            tool_calls=tuple(self.calls[number].snapshot(number) for number in sorted(self.calls)) or None,
            extra=_joined(self.message_extra),
        )
        logprobs = None if self.logprobs is None else _extend({}, self.logprobs)
        return Choice(index, message, self.finish_reason, logprobs, dict(self.extra))


class CompletionAccumulator:
    """Accumulate the chunks of a stream into a completion.

    Args:
        n: How many choices were asked for.

    Attributes:
        finished: Whether as many choices as were asked for were seen, and every choice seen has a finish reason.

    Raises:
        InvalidArgument: `n` is not a positive integer.
    """

    __slots__ = ("_choices", "_extra", "_first", "_n", "_replacement", "_settled", "_unfinished", "_usage", "finished")

    def __init__(self, n: int = 1) -> None:
        if isinstance(n, bool) or not isinstance(n, int):
            raise InvalidArgument("n", f"must be a number of choices, not {type_name(n)}")
        if n < 1:
            raise InvalidArgument("n", f"must be at least 1, not {shown(n)}")
        self.finished = False
        # What is handed out instead of a chunk that repeats what was streamed; whoever reads it resets it.
        self._replacement: CompletionChunk | None = None
        self._n = n
        self._choices: dict[int, _ChoiceParts] = {}
        self._unfinished = 0
        self._first: dict[str, Any] = {}
        self._usage: Usage | None = None
        self._extra: dict[str, Any] = {}
        # The fields of a chunk that are known already, or read elsewhere.
        self._settled = {"object", "choices", "usage"}

    @property
    def completion(self) -> Completion:
        """What was said so far; later chunks do not change it. It takes time in proportion to the text."""
        return Completion(
            choices=tuple(self._choices[index].snapshot(index) for index in sorted(self._choices)),
            usage=self._usage,
            extra=dict(self._extra),
            **self._first,
        )

    def add(self, chunk: CompletionChunk) -> bool:
        """Add a chunk, in the order of arrival.

        Args:
            chunk: The next chunk of the stream.

        Returns:
            Whether it has content, which is a piece of text, of a tool call or of anything else in a delta, or a finish
            reason. A role alone is no content.

        Raises:
            MalformedEvent: The chunk does not have the structure of a chunk; nothing was added.
            InvalidArgument: It is not a chunk.
        """
        if type(chunk) is not CompletionChunk:
            check_kind("chunk", chunk, CompletionChunk)
        raw = chunk.raw
        try:
            (choice,) = raw["choices"]
            index = choice["index"]
            delta = choice["delta"]
            content = delta["content"]
            if (
                type(content) is str
                and type(index) is int
                and (known := self._choices.get(index)) is not None
                # Some gateways repeat the role in every chunk.
                and len(delta) == 1 + ("role" in delta and delta["role"] == known.role)
                and choice.get("finish_reason") is None
                and choice.get("logprobs") is None
                and len(choice) == 2 + ("finish_reason" in choice) + ("logprobs" in choice)
                and raw.get("usage") is None
                and (self._settled.issuperset(raw) or self._keep_unknown_fields(raw))
            ):
                known.content.append(content)
                return content != ""
        except (AttributeError, KeyError, TypeError, ValueError):
            pass  # it has more than text, or is malformed
        return self._add_any(chunk)

    def _add_any(self, chunk: CompletionChunk) -> bool:
        raw = chunk.raw
        if self._choices and isinstance(choices := raw.get("choices"), list):
            reduced = [self._without_repetition(choice) for choice in choices]
            if any(one is not other for one, other in zip(reduced, choices, strict=True)):
                raw = {**raw, "choices": reduced}
                chunk = self._replacement = CompletionChunk(raw)
        first, extra = self._read_fields(raw)
        usage = chunk.usage
        if usage is None and raw.get("usage") is not None:
            extra["usage"] = raw["usage"]
        texts = self._read_texts(raw)
        parts = chunk.choices if texts is None else ()
        # Nothing below raises.
        self._first.update(first)
        self._settled.update(first, _FIRST.keys() & extra)
        self._usage = usage or self._usage
        _update(self._extra, extra)
        if texts is not None:
            known, said, choice_extra = texts
            for pieces, text in said:
                pieces.append(text)
            _update(known.extra, choice_extra)
        originals = (raw["choices"], chunk._choices_json) if parts else ((), ())
        for part, received, normalised in zip(parts, *originals, strict=True):
            choice = self._choices.get(part.index)
            if choice is None:
                choice = self._choices[part.index] = _ChoiceParts()
                self._unfinished += 1
            if part.finish_reason and not choice.finish_reason:
                self._unfinished -= 1
            choice.has_whole_message = choice.has_whole_message or _is_whole(received)
            choice.add(part, normalised)
        self.finished = not self._unfinished and len(self._choices) >= self._n
        if texts is not None:
            return any(text for _, text in texts[1])
        return any(part.finish_reason or _has_content(part.delta) for part in parts)

    def _without_repetition(self, choice: Any) -> Any:
        """Return a choice without what its whole message repeats of the deltas before it."""
        if not _is_whole(choice):
            return choice
        index = choice.get("index") or 0
        known = self._choices.get(index) if type(index) is int else None
        if known is None or known.has_whole_message:
            return choice
        message = known.without_repetition(choice["message"])
        if len(message) == len(choice["message"]):
            return choice
        return {**choice, "message": message}

    def _keep_unknown_fields(self, raw: Mapping[str, Any]) -> bool:
        """Keep a chunk's unknown fields; returns False, and keeps none, if it also has a known field's first value."""
        names = [name for name in raw if name not in self._settled]
        for name in names:
            if name in _FIRST and raw[name] is not None:
                return False
        _update(self._extra, {name: raw[name] for name in names if name not in _FIRST})
        return True

    def _read_fields(self, raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return a chunk's own fields: the first values of known ones; and those that are unknown or mistyped."""
        first: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        for name, value in raw.items():
            if name in self._settled:
                continue
            cls = _FIRST.get(name)
            if cls is None:
                extra[name] = value
            elif value:
                (first if is_of(value, cls) else extra)[name] = value
        return first, extra

    def _read_texts(
        self, raw: Mapping[str, Any]
    ) -> tuple[_ChoiceParts, list[tuple[_TextParts, str]], dict[str, Any]] | None:
        """Read a chunk that has nothing but text, for one choice that is known.

        Returns:
            The choice, what to append to which of its texts, and unknown fields;
            None if the chunk has more than that, or is malformed.
        """
        try:
            (choice,) = raw["choices"]
            index = choice["index"]
            ends = choice.get("finish_reason") not in (None, "")
            if type(index) is not int or ends or choice.get("logprobs") is not None:
                return None
            known = self._choices[index]
            said: list[tuple[_TextParts, str]] = []
            for name, value in choice["delta"].items():
                if type(value) is str:
                    if name in _TEXTS:
                        said.append((getattr(known, name), value))
                    elif name != "role" or not known.role:
                        return None
                elif value is not None or not (name in _DELTA or name in known.message_extra):
                    return None
        except (AttributeError, KeyError, TypeError, ValueError):
            return None
        return known, said, {name: value for name, value in choice.items() if name not in _CHOICE}


def _has_content(delta: Delta) -> bool:
    """Whether a delta has more than a role."""
    known = delta.content or delta.refusal or delta.reasoning_content or delta.tool_calls
    return bool(known) or any(delta.extra.values())


def _is_whole(choice: Any) -> bool:
    """Whether a choice of a chunk has a whole message in place of a delta."""
    return isinstance(choice, Mapping) and choice.get("delta") is None and isinstance(choice.get("message"), Mapping)


def _put(target: dict[str, Any], name: str, value: Any) -> None:
    """Append a text; of other values the later wins, except that null takes nothing back."""
    so_far = target.get(name)
    if not isinstance(value, str):
        _update(target, {name: value})
    elif isinstance(so_far, _TextParts):
        so_far.append(value)
    else:
        target[name] = _TextParts([value])


def _joined(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Join the texts of unknown fields."""
    return {
        name: value.join()
        if isinstance(value, _TextParts)
        else _joined(value)
        if isinstance(value, _ObjectParts)
        else value
        for name, value in fields.items()
    }


def _update(target: dict[str, Any], fields: Mapping[str, Any]) -> None:
    """Update fields; null takes nothing back."""
    for name, value in fields.items():
        if value is not None or name not in target:
            target[name] = value


def _extend(target: dict[str, Any], logprobs: Mapping[str, Any]) -> dict[str, Any]:
    """Add log probabilities: lists are extended, of other values the later wins."""
    for name, value in logprobs.items():
        if not isinstance(value, list):
            _update(target, {name: value})
        elif isinstance(so_far := target.get(name), list):
            so_far.extend(value)
        else:
            target[name] = list(value)
    return target
