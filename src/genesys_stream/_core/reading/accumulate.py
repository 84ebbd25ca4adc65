"""Chunks to a completion: what a stream has said, put together.

How to think about it: each choice gathers its pieces of text in lists, and nothing is joined until somebody asks.
Nearly every chunk says a few characters for one choice and nothing else; it is read where it lies, in its JSON.
Every other chunk is read into nouns first, which says what is wrong with it, and only then is anything changed;
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
from ..._values._completions import DESCRIBING, is_of
from ..._wire import join_surrogates, type_name

# Of these the first one that says something counts: content filters and keep-alives send empty ones.
_FIRST = DESCRIBING

# The fields that Delta and ChunkChoice know; the others are kept in `extra`.
_TEXTS = frozenset({"content", "refusal", "reasoning_content"})
_DELTA = _TEXTS | {"role", "tool_calls"}
_CHOICE = frozenset({"index", "delta", "finish_reason", "logprobs"})
# What some providers send again with every piece of an object.
_SAID_ONCE = frozenset({"id", "type", "name"})


class _TextParts(list[str]):
    """Text as it came, joined when it is asked for.

    The pieces stay as they are until then, because a surrogate pair may be cut between two of them.
    """

    def join(self) -> str | None:
        """Return the text, or None if there never was any, and keep it as one piece."""
        if not self:
            return None
        if len(self) > 1:
            self[:] = ["".join(self)]
        return join_surrogates(self[0])


class _ObjectParts(dict[str, Any]):
    """An object whose texts come in pieces."""


@define(eq=False)
class _Call:
    """A tool call so far."""

    id: str = ""
    type: str = ""
    name: str = ""
    arguments: _TextParts = Factory(_TextParts)
    extra: dict[str, Any] = Factory(dict)
    function_extra: dict[str, Any] = Factory(dict)

    def add(self, fragment: ToolCall) -> None:
        function = fragment.function
        # The first that says something: some providers send the name with every fragment, or an empty id.
        self.id = self.id or fragment.id or ""
        self.type = self.type or fragment.type or ""
        self.name = self.name or function.name or ""
        if function.arguments is not None:
            self.arguments.append(function.arguments)
        _update(self.extra, fragment.extra)
        _update(self.function_extra, function.extra)

    def snapshot(self, index: int) -> ToolCall:
        function = FunctionCall(self.name or None, self.arguments.join(), dict(self.function_extra))
        return ToolCall(index, self.id or None, self.type or None, function, dict(self.extra))


@define(eq=False)
class _Choice:
    """A choice so far."""

    role: str = ""
    content: _TextParts = Factory(_TextParts)
    refusal: _TextParts = Factory(_TextParts)
    reasoning_content: _TextParts = Factory(_TextParts)
    calls: dict[int, _Call] = Factory(dict)
    message_extra: dict[str, Any] = Factory(dict)
    finish_reason: str | None = None
    logprobs: dict[str, Any] | None = None
    extra: dict[str, Any] = Factory(dict)

    def add(self, share: ChunkChoice, raw: Mapping[str, Any]) -> None:
        """Add a choice's share of a chunk; `raw` is the JSON that it was read from."""
        delta = share.delta
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
            # A text that we do not know comes in pieces like those that we know: "reasoning", for one.
            # So do those of an object: the "arguments" of a "function_call", or the "transcript" of an "audio".
            if not isinstance(value, Mapping):
                _put(self.message_extra, name, value)
                continue
            parts = self.message_extra.get(name)
            if not isinstance(parts, _ObjectParts):
                parts = self.message_extra[name] = _ObjectParts()
            for key, part in value.items():
                if key in _SAID_ONCE:
                    parts[key] = parts.get(key) or part
                else:
                    _put(parts, key, part)
        self.finish_reason = share.finish_reason or self.finish_reason
        if share.logprobs is not None:
            self.logprobs = _extend(self.logprobs or {}, share.logprobs)
        _update(self.extra, share.extra)

    def _add_calls(self, delta: Delta, raw: Iterable[Mapping[str, Any]]) -> None:
        for fragment, origin in zip(delta.tool_calls, raw, strict=True):
            index = fragment.index
            if origin.get("index") is None:
                index = self._index_of(fragment)
            self.calls.setdefault(index, _Call()).add(fragment)

    def _index_of(self, fragment: ToolCall) -> int:
        """Find the call of a fragment without an index: by its id, else it goes on with the last one."""
        last = max(self.calls, default=-1)
        if not fragment.id:
            return max(last, 0)
        return next((index for index, call in self.calls.items() if call.id == fragment.id), last + 1)

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
    """Put the chunks of a stream together into a completion.

    Args:
        n: How many choices were asked for.

    Attributes:
        finished: Whether as many choices as were asked for were seen, and every choice seen has a finish reason.

    Raises:
        InvalidArgument: `n` is not a positive integer.
    """

    __slots__ = ("_choices", "_extra", "_first", "_n", "_settled", "_unfinished", "_usage", "finished")

    def __init__(self, n: int = 1) -> None:
        if isinstance(n, bool) or not isinstance(n, int):
            raise InvalidArgument("n", f"must be a number of choices, not {type_name(n)}")
        if n < 1:
            raise InvalidArgument("n", f"must be at least 1, not {shown(n)}")
        self.finished = False
        self._n = n
        self._choices: dict[int, _Choice] = {}
        self._unfinished = 0
        self._first: dict[str, Any] = {}
        self._usage: Usage | None = None
        self._extra: dict[str, Any] = {}
        # The fields of a chunk that need no look, or no further one; `usage` is looked at apart.
        self._settled = {"object", "choices", "usage"}

    @property
    def completion(self) -> Completion:
        """What was said so far; later chunks do not change it. Takes time in proportion to the text."""
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
            Whether it says something, that is, a piece of text, of a tool call or of anything in a delta, or a finish
            reason. A role alone, or nothing at all, is not something.

        Raises:
            MalformedEvent: The chunk does not have the shape of a chunk; nothing was added.
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
                len(delta) == 1
                and type(content) is str
                and type(index) is int
                and choice.get("finish_reason") is None
                and choice.get("logprobs") is None
                and len(choice) == 2 + ("finish_reason" in choice) + ("logprobs" in choice)
                and raw.get("usage") is None
                and (known := self._choices.get(index)) is not None
                and (self._settled.issuperset(raw) or self._keep_unknown_fields(raw))
            ):
                known.content.append(content)
                return content != ""
        except (AttributeError, KeyError, TypeError, ValueError):
            pass  # it says something else, or makes no sense; below is found out which
        return self._add_any(chunk)

    def _add_any(self, chunk: CompletionChunk) -> bool:
        raw = chunk.raw
        first, extra = self._read_fields(raw)
        usage = chunk.usage
        if usage is None and raw.get("usage") is not None:
            extra["usage"] = raw["usage"]
        texts = self._read_texts(raw)
        shares = chunk.choices if texts is None else ()
        # Whatever can be wrong with the chunk has been found by now.
        self._first.update(first)
        self._settled.update(first, _FIRST.keys() & extra)
        self._usage = usage or self._usage
        _update(self._extra, extra)
        if texts is not None:
            known, said, choice_extra = texts
            for pieces, text in said:
                pieces.append(text)
            _update(known.extra, choice_extra)
        for share, origin in zip(shares, chunk._choices_json if shares else (), strict=True):
            choice = self._choices.get(share.index)
            if choice is None:
                choice = self._choices[share.index] = _Choice()
                self._unfinished += 1
            if share.finish_reason and not choice.finish_reason:
                self._unfinished -= 1
            choice.add(share, origin)
        self.finished = not self._unfinished and len(self._choices) >= self._n
        if texts is not None:
            return any(text for _, text in texts[1])
        return any(share.finish_reason or _has_content(share.delta) for share in shares)

    def _keep_unknown_fields(self, raw: Mapping[str, Any]) -> bool:
        """Keep a chunk's unknown fields, unless there is also one to settle, in which case nothing is kept yet."""
        names = [name for name in raw if name not in self._settled]
        for name in names:
            if name in _FIRST and raw[name] is not None:
                return False
        _update(self._extra, {name: raw[name] for name in names if name not in _FIRST})
        return True

    def _read_fields(self, raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Read a chunk's own fields: those that settle something; and those that are unknown, or of another kind."""
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
    ) -> tuple[_Choice, list[tuple[_TextParts, str]], dict[str, Any]] | None:
        """Read a chunk that says nothing but text, for one choice that is known.

        Returns:
            The choice, what to append to which of its texts, and unknown fields;
            None if the chunk says more than that, or makes no sense.
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
    """Whether a delta says more than who speaks."""
    told = delta.content or delta.refusal or delta.reasoning_content or delta.tool_calls
    return bool(told) or any(delta.extra.values())


def _put(target: dict[str, Any], name: str, value: Any) -> None:
    """Let a text go on; of other values the later wins, except that null takes nothing back."""
    said = target.get(name)
    if not isinstance(value, str):
        _update(target, {name: value})
    elif isinstance(said, _TextParts):
        said.append(value)
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
    """Let later values win, except that null takes nothing back."""
    for name, value in fields.items():
        if value is not None or name not in target:
            target[name] = value


def _extend(target: dict[str, Any], logprobs: Mapping[str, Any]) -> dict[str, Any]:
    """Add log probabilities: lists go on, of other values the later wins."""
    for name, value in logprobs.items():
        if not isinstance(value, list):
            _update(target, {name: value})
        elif isinstance(so_far := target.get(name), list):
            so_far.extend(value)
        else:
            target[name] = list(value)
    return target
