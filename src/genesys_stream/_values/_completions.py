"""Events, chunks and whole completions.

Field names are those of OpenAI's format.
Text is left out of every repr, because reprs end up in logs.
"""

from __future__ import annotations

import builtins
import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any, TypeGuard, TypeVar

from attrs import Factory, field, frozen

from .. import _errors, _wire
from ._checks import check_readable

T = TypeVar("T")

# A line that opens or closes a block of code; no string in JSON can hold one, because it has a line end before it.
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[^\n`]*$", re.MULTILINE)


def _size(text: str | None) -> str:
    return repr(text) if text is None else f"<{len(text)} characters>"


def text_of(content: object) -> str:
    """Return the text of content that is a string, or a list of parts of which some have text.

    Raises:
        TypeError: It is neither.
    """
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
        return "".join(part for part in parts if isinstance(part, str))
    msg = f"expected text or a list of parts, got {_wire.json_type(content)}"
    raise TypeError(msg)


def _text(**kwargs: Any) -> Any:
    return field(default=None, repr=_size, metadata={_wire.READ: text_of}, **kwargs)


def normalise_choice(choice: Any) -> Any:
    """Return a choice of a chunk in the form with a delta.

    Some gateways send a whole message in place of the delta, where a tool call's place in the list is its index, since
    some give all of them the same one. The legacy format of /v1/completions has a text.
    Beside a delta a message repeats what was said so far, and is not read.
    """
    if not isinstance(choice, Mapping) or choice.get("delta") is not None:
        return choice
    message = choice.get("message")
    if not isinstance(message, Mapping):
        if not isinstance(choice.get("text"), str):
            return choice
        rest = {name: value for name, value in choice.items() if name != "text"}
        return {**rest, "delta": {"content": choice["text"]}}
    rest = {name: value for name, value in choice.items() if name != "message"}
    return {**rest, "delta": with_numbered_calls(message)}


def with_numbered_calls(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add what only streams need to the tool calls of a whole message: the index; and the type where it is missing."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return message
    numbered = [
        {**call, "index": index, "type": call.get("type") or "function"} if isinstance(call, Mapping) else call
        for index, call in enumerate(calls)
    ]
    return {**message, "tool_calls": numbered}


def _check_object(_: object, attribute: Any, value: object) -> None:
    if type(value) is not dict and not isinstance(value, Mapping):
        raise _errors.InvalidArgument(attribute.name, f"must be a mapping, not {_wire.type_name(value)}")


def _extra() -> Any:
    return field(factory=dict, repr=False, metadata={_wire.EXTRA: True})


def _describing(default: Any) -> Any:
    """Define a field of metadata, whose type must not make a completion unreadable."""
    return field(default=default, metadata={_wire.LENIENT: True})


@frozen
class ServerSentEvent:
    """One event of an event stream (WHATWG HTML, section 9.2.6).

    Attributes:
        data: The data lines, joined by newlines.
        event: The event type.
        id: The last event ID, which stays until another one comes.
        retry: The reconnection time in milliseconds, if this event's block set one.
    """

    data: str = field(repr=_size)
    event: str = "message"
    id: str = ""
    retry: int | None = None

    def json(self) -> Any:
        """Parse the data.

        Returns:
            What `json.loads` gives.

        Raises:
            MalformedEvent: The data is not JSON.
        """
        try:
            return json.loads(self.data)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
            msg = f"an event's data is not JSON: {reason}"
            raise _errors.MalformedEvent(msg, data=self.data) from None


@frozen
class FunctionCall:
    """The function that a tool call names; in a delta, a fragment of it.

    Attributes:
        name: The function's name.
        arguments: Its arguments, as JSON text that the model wrote.
        extra: The fields that have no name here, as they came.
    """

    name: str | None = None
    arguments: str | None = field(default=None, repr=_size)
    extra: dict[str, Any] = _extra()


@frozen
class ToolCall:
    """A call that the model asks for; in a delta, a fragment of it.

    Attributes:
        index: Its number in the message, from 0; it is not sent, because only streams have it.
        id: What the message with the result has to name as its `tool_call_id`.
        type: "function", or another type of the service's; in a fragment as it came.
        function: What is to be called.
        extra: The fields that have no name here, as they came.
    """

    index: int = field(default=0, metadata={_wire.RECEIVE_ONLY: True})
    id: str | None = None
    type: str | None = None
    function: FunctionCall = Factory(FunctionCall)
    extra: dict[str, Any] = _extra()

    @property
    def name(self) -> str:
        """The function's name; "" where there is none."""
        return self.function.name or ""

    def parse(self, cls: builtins.type[T]) -> T:
        """Read the arguments, which must be JSON, into a class of the caller's own.

        Args:
            cls: What `Completion.parse` takes; `dict` gives them as they are.

        Returns:
            The value; arguments that are empty count as an object without fields.

        Raises:
            ParseError: The arguments are not JSON, which they are not before the call is finished; or a field is
                missing or of another type; `fields` names each, and `text` has the arguments.
            InvalidArgument: `cls` is not a class that JSON can be read into.
        """
        arguments = self.function.arguments or "{}"
        try:
            return parse(arguments, cls)
        except _errors.ParseError as error:
            msg = f"the arguments of {self.name or 'a tool call'} do not parse: {error}"
            raise _errors.ParseError(msg, fields=error.fields, text=arguments) from None


@frozen
class Delta:
    """What a chunk adds to one choice's message; a text is None where there is none.

    Attributes:
        role: Who speaks, in the first chunk.
        content: Text.
        refusal: Text with which the model declines.
        reasoning_content: Text that the model thinks aloud.
        tool_calls: Fragments of tool calls.
        extra: The fields that have no name here, as they came.
    """

    role: str | None = None
    content: str | None = _text()
    refusal: str | None = _text()
    reasoning_content: str | None = _text()
    tool_calls: tuple[ToolCall, ...] = ()
    extra: dict[str, Any] = _extra()


@frozen
class ChunkChoice:
    """One choice's share of a chunk.

    Attributes:
        index: Which choice, from 0.
        delta: What it adds.
        finish_reason: Why the choice ended, if this chunk ends it: "stop", "length", "tool_calls", ...
        logprobs: The log probabilities of its tokens, where they were asked for.
        extra: The fields that have no name here, as they came.
    """

    index: int = 0
    delta: Delta = Factory(Delta)
    finish_reason: str | None = None
    logprobs: dict[str, Any] | None = field(default=None, repr=False)
    extra: dict[str, Any] = _extra()


@frozen
class Usage:
    """The tokens that a completion cost.

    Attributes:
        prompt_tokens: Those of the messages.
        completion_tokens: Those of the answer.
        total_tokens: Both.
        extra: The fields that have no name here, and metadata of another type than documented, as they came.
    """

    prompt_tokens: int = _describing(0)
    completion_tokens: int = _describing(0)
    total_tokens: int = _describing(0)
    extra: dict[str, Any] = _extra()


DESCRIBING: dict[str, type[str | int]] = {
    "id": str,
    "object": str,
    "created": int,
    "model": str,
    "service_tier": str,
    "system_fingerprint": str,
}
"""The metadata of a chunk, and its types."""


def is_of(value: object, cls: type[T]) -> TypeGuard[T]:
    """Whether a JSON value has a type; a boolean is no number."""
    return isinstance(value, cls) and not isinstance(value, bool)


@frozen(repr=False)
class CompletionChunk:
    """One `chat.completion.chunk`: a view of its JSON object that reads a field when it is asked for.

    Attributes:
        raw: The JSON object as it came.
    """

    raw: Mapping[str, Any] = field(validator=_check_object)

    @classmethod
    def of_text(cls, text: str, *, index: int = 0, finish_reason: str | None = None) -> CompletionChunk:
        """Make a chunk that says `text`, for tests and for sources of other formats.

        Args:
            text: What it says.
            index: Which choice says it.
            finish_reason: Why the choice ends with it; None if it goes on.

        Returns:
            The chunk.
        """
        return cls({"choices": [{"index": index, "delta": {"content": text}, "finish_reason": finish_reason}]})

    @property
    def text(self) -> str:
        """The text that this chunk adds to the first choice (index 0); "" if it adds none. Never raises."""
        try:
            for choice in self.raw["choices"]:
                if not choice.get("index"):
                    delta = choice.get("delta")
                    content = (normalise_choice(choice)["delta"] if delta is None else delta)["content"]
                    return content if isinstance(content, str) else text_of(content) or ""
        except (KeyError, TypeError, AttributeError):
            pass
        return ""

    @cached_property
    def choices(self) -> tuple[ChunkChoice, ...]:
        """Each choice's share.

        Raises:
            MalformedEvent: The object does not have the shape of a chunk.
        """
        if self._choices_json is None:
            return ()
        try:
            return _wire.structure(self._choices_json, tuple[ChunkChoice, ...])
        except _wire.StructureError as error:
            msg = f"a chunk's choices are not what they should be: {error}"
            raise _errors.MalformedEvent(msg, data=self._as_text()) from None

    @cached_property
    def _choices_json(self) -> Any:
        """The choices as JSON, each in the form with a delta."""
        choices = self.raw.get("choices")
        return [normalise_choice(choice) for choice in choices] if isinstance(choices, list) else choices

    @cached_property
    def usage(self) -> Usage | None:
        """The tokens that the completion cost, which one of the last chunks tells."""
        usage = self.raw.get("usage")
        return _wire.structure(usage, Usage) if isinstance(usage, Mapping) else None

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice (index 0) ended, if this chunk ends it."""
        return next((choice.finish_reason for choice in self.choices if choice.index == 0), None)

    @property
    def id(self) -> str:
        """The completion's id."""
        return self._field("id", str) or ""

    @property
    def object(self) -> str:
        """The object's type, "chat.completion.chunk"."""
        return self._field("object", str) or ""

    @property
    def created(self) -> int | None:
        """When the completion was made, in seconds since 1970."""
        return self._field("created", int)

    @property
    def model(self) -> str:
        """The model that speaks."""
        return self._field("model", str) or ""

    @property
    def extra(self) -> dict[str, Any]:
        """Every field without a property of its own, and metadata of another type than documented, as it came."""
        return {name: value for name, value in self.raw.items() if self._is_extra(name, value)}

    def _is_extra(self, name: str, value: Any) -> bool:
        if name == "usage":
            return value is not None and self.usage is None
        cls = DESCRIBING.get(name)
        return name != "choices" if cls is None else value is not None and not is_of(value, cls)

    def _field(self, name: str, cls: type[T]) -> T | None:
        value = self.raw.get(name)
        return value if is_of(value, cls) else None

    def _as_text(self) -> str:
        try:
            return json.dumps(self.raw, default=repr)
        except (TypeError, ValueError, RecursionError):  # not JSON, or JSON nested deeper than Python can follow
            return ""

    def __repr__(self) -> str:
        return f"CompletionChunk(id={self.raw.get('id')!r}, text={_size(self.text)})"


@frozen
class Message:
    """A whole message: what one choice said, or what is sent to the model.

    Attributes:
        role: Who speaks: "system", "user", "assistant", "tool", ...
        content: The text.
        refusal: The text with which the model declined.
        reasoning_content: The text that the model thought aloud.
        tool_calls: The calls that it asks for.
        extra: The fields that have no name here, such as `tool_call_id`; they are sent as they are.
    """

    role: str = "assistant"
    content: str | None = _text()
    refusal: str | None = _text()
    reasoning_content: str | None = _text()
    tool_calls: tuple[ToolCall, ...] | None = None
    extra: dict[str, Any] = _extra()


@frozen
class Choice:
    """One of a completion's answers.

    Attributes:
        index: Its number, from 0.
        message: What it says.
        finish_reason: Why it ended: "stop", "length", "tool_calls", "content_filter", ...; None while it goes on.
        logprobs: The log probabilities of its tokens, where they were asked for.
        extra: The fields that have no name here, as they came.
    """

    index: int = 0
    message: Message = Factory(Message)
    finish_reason: str | None = None
    logprobs: dict[str, Any] | None = field(default=None, repr=False)
    extra: dict[str, Any] = _extra()


@frozen
class Completion:
    """A whole completion, or as much of it as was said so far.

    Attributes:
        id: The service's id for it.
        object: The object's type.
        created: When it was made, in seconds since 1970.
        model: The model that spoke.
        choices: The answers.
        usage: The tokens that it cost, where the service tells.
        service_tier: How it was served, where the service tells.
        system_fingerprint: What it was made with, where the service tells.
        extra: The fields that have no name here, and metadata of another type than documented, as they came.
    """

    id: str = _describing("")
    object: str = _describing("chat.completion")
    created: int | None = _describing(None)
    model: str = _describing("")
    choices: tuple[Choice, ...] = ()
    usage: Usage | None = _describing(None)
    service_tier: str | None = _describing(None)
    system_fingerprint: str | None = _describing(None)
    extra: dict[str, Any] = _extra()

    @property
    def text(self) -> str:
        """What the first choice (index 0) said; "" if it said nothing."""
        return next((choice.message.content or "" for choice in self.choices if choice.index == 0), "")

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice (index 0) ended; None while it goes on."""
        return next((choice.finish_reason for choice in self.choices if choice.index == 0), None)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls that the first choice (index 0) asks for; they are finished once the completion is."""
        return next((choice.message.tool_calls or () for choice in self.choices if choice.index == 0), ())

    def parse(self, cls: type[T]) -> T:
        """Read the text, which must be JSON, into a class of the caller's own.

        A text that holds one block of code between Markdown's fences is read from there, if it is not JSON itself.

        Args:
            cls: An attrs class, a dataclass, a pydantic model, or anything else that cattrs can structure.

        Returns:
            The value.

        Raises:
            ParseError: The text is not JSON, or a field is missing or of another type; `fields` names each.
            InvalidArgument: `cls` is not a class that JSON can be read into.
        """
        return parse(self.text, cls)


def parse(text: str, cls: type[T]) -> T:
    """Read JSON text into `cls`; see `Completion.parse`."""
    check_readable("cls", cls)
    try:
        value = _loads(text)
    except (ValueError, RecursionError) as error:
        where = (
            f"{error.msg} at character {error.pos}" if isinstance(error, json.JSONDecodeError) else type(error).__name__
        )
        msg = f"the text is not JSON: {where}"
        raise _errors.ParseError(msg, text=text) from None
    try:
        return _wire.structure(value, cls)
    except _wire.StructureError as error:
        msg = f"the text is not a {getattr(cls, '__name__', cls)}: {error}"
        raise _errors.ParseError(msg, fields=tuple(error.problems), text=text) from None


def _loads(text: str) -> Any:
    """Parse JSON, or the JSON in the text's only block of code."""
    try:
        return json.loads(text)
    except ValueError:
        fences = list(_FENCE.finditer(text))
        if len(fences) != 2:
            raise
        opening, closing = fences
        return json.loads(text[opening.end() : closing.start()])
