"""The request for a completion: its options, its body, and a whole answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Required

from attrs import frozen
from typing_extensions import TypedDict

from ... import _errors
from ..._values import Completion, Message, Timeouts
from ..._values._checks import hint_at, shown
from ..._wire import dumps, type_name, unstructure
from ..http.exchange import Request, checked_headers
from ..http.retry import RequestFlow, Retry, RetryState, send_with_retry
from ..http.settings import Settings
from .accumulate import CompletionAccumulator
from .chunks import ChunkDecoder, is_event_stream, read_completion, truncated
from .json_schema import response_format

TOKEN_MARGIN = 300.0
"""For how many seconds the token that opens a stream must still be good."""


class MessageDict(TypedDict, total=False):
    """A message as a dictionary, for type checkers and editors; any other mapping with a role is taken, too.

    Attributes:
        role: Who speaks: "system", "user", "assistant" or "tool".
        content: The text, or parts.
        name: The speaker's name.
        tool_calls: The calls that an assistant has made.
        tool_call_id: The call that a tool answers.
    """

    role: Required[str]
    content: str | Sequence[Mapping[str, Any]] | None
    name: str
    tool_calls: Sequence[Mapping[str, Any]]
    tool_call_id: str


class CompletionOptions(TypedDict, total=False):
    """The options of a completion, beside the model and the messages.

    The names are those of OpenAI's format; an option that is None is not sent.

    Attributes:
        response_format: What the service takes, as a mapping; or a class that the text will be parsed into (attrs, a
            dataclass or a pydantic model), of which the JSON schema is sent.
        extra_body: Fields of the request that have no name here.
        extra_headers: Headers for this call alone.
        timeouts: The timeouts of this call, in place of the client's.
        retry: The retry policy of this call, in place of the client's.
    """

    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    max_completion_tokens: int | None
    stop: str | Sequence[str] | None
    n: int | None
    tools: Sequence[Mapping[str, Any]] | None
    tool_choice: str | Mapping[str, Any] | None
    parallel_tool_calls: bool | None
    response_format: Mapping[str, Any] | type[Any] | None
    seed: int | None
    stream_options: Mapping[str, Any] | None
    frequency_penalty: float | None
    presence_penalty: float | None
    logit_bias: Mapping[str, float] | None
    logprobs: bool | None
    top_logprobs: int | None
    reasoning_effort: str | None
    user: str | None
    metadata: Mapping[str, str] | None
    extra_body: Mapping[str, Any] | None
    extra_headers: Mapping[str, str] | None
    timeouts: Timeouts | None
    retry: Retry | None


_OF_THE_CALL = ("extra_body", "extra_headers", "timeouts", "retry")

# The types of an option; the range of its numbers, and what its objects hold, is for the service to check.
_OPTIONS: dict[str, tuple[type, ...]] = {
    "temperature": (int, float),
    "top_p": (int, float),
    "max_tokens": (int,),
    "max_completion_tokens": (int,),
    "stop": (str, list),
    "n": (int,),
    "tools": (list,),
    "tool_choice": (str, dict),
    "parallel_tool_calls": (bool,),
    "response_format": (dict,),
    "seed": (int,),
    "stream_options": (dict,),
    "frequency_penalty": (int, float),
    "presence_penalty": (int, float),
    "logit_bias": (dict,),
    "logprobs": (bool,),
    "top_logprobs": (int,),
    "reasoning_effort": (str,),
    "user": (str,),
    "metadata": (dict,),
}
_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "a string",
    bool: "a boolean",
    list: "a list",
    dict: "a mapping",
}


@frozen
class Call:
    """A call for a completion, ready to be made.

    Attributes:
        request: What is sent.
        choices: How many choices were asked for.
        usage_wanted: Whether the usage was asked for, which follows the finish reasons in a chunk of its own.
        settings: The client's settings, with those of this call in their place.
    """

    request: Request
    choices: int
    usage_wanted: bool
    settings: Settings


def completion_call(
    settings: Settings,
    *,
    model: str,
    messages: Sequence[Message | MessageDict | Mapping[str, Any]],
    stream: bool,
    options: CompletionOptions,
) -> Call:
    """Build the request of a completion.

    Raises:
        InvalidArgument: The model, a message or an option is invalid.
    """
    wanted: Mapping[str, Any] = options
    for name in wanted:
        if name not in _OPTIONS and name not in _OF_THE_CALL:
            hint = hint_at(name, ("model", "messages", *_OPTIONS, *_OF_THE_CALL))
            problem = f"is not an option of a completion; {hint or 'fields of your own go in extra_body'}"
            raise _errors.InvalidArgument(name, problem)
    if not isinstance(model, str) or not model:
        raise _errors.InvalidArgument("model", f"must be a name that is not empty, not {_shown(model)}")
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Sequence):
        raise _errors.InvalidArgument(
            "messages",
            f'must be a list of messages such as {{"role": "user", "content": "Hi"}}, not {type_name(messages)}',
        )
    if not messages:
        raise _errors.InvalidArgument("messages", "must hold at least one message")
    extra_body = wanted.get("extra_body")
    if extra_body is None:
        extra_body = {}
    if not isinstance(extra_body, Mapping):
        raise _errors.InvalidArgument("extra_body", f"must be a mapping, not {type_name(extra_body)}")
    chosen = {name: wanted[name] for name in wanted if name in _OPTIONS and wanted[name] is not None}
    try:
        body: dict[str, Any] = {
            "model": model,
            "messages": [_message(index, message) for index, message in enumerate(messages)],
            "stream": stream,
            **{name: _option(name, value) for name, value in chosen.items()},
            **unstructure(extra_body),
        }
        content = dumps(body)
    except (TypeError, ValueError, RecursionError) as error:
        if isinstance(error, _errors.InvalidArgument):
            raise
        parts = {**{f"messages[{index}]": part for index, part in enumerate(messages)}, **chosen}
        culprit = next((name for name, part in parts.items() if not _is_json(part)), "extra_body")
        raise _errors.InvalidArgument(culprit, f"cannot be written as JSON: {error}") from None
    choices = 1 if body.get("n") is None else body["n"]
    if not isinstance(choices, int) or isinstance(choices, bool) or choices < 1:
        raise _errors.InvalidArgument("n", f"must be a number of choices from 1, not {shown(choices)}")
    extra_headers = wanted.get("extra_headers")
    headers = {
        "Content-Type": "application/json",
        "Accept": "text/event-stream" if stream else "application/json",
        "Cache-Control": "no-store",
        **checked_headers("extra_headers", {} if extra_headers is None else extra_headers),
    }
    request = Request("POST", settings.completions_url, headers, content, token_margin=TOKEN_MARGIN, long=True)
    stream_options = body.get("stream_options")
    usage_wanted = isinstance(stream_options, Mapping) and stream_options.get("include_usage") is True
    changed = settings.changed(timeouts=wanted.get("timeouts"), retry=wanted.get("retry"))
    return Call(request, choices, usage_wanted, changed)


def _message(index: int, message: object) -> dict[str, Any]:
    plain = unstructure(message)
    if not isinstance(plain, dict):
        raise _errors.InvalidArgument(f"messages[{index}]", f"must be a mapping or a Message, not {type_name(message)}")
    if not isinstance(plain.get("role"), str):
        raise _errors.InvalidArgument(
            f"messages[{index}]['role']", f"must be a string, not {type_name(plain.get('role'))}"
        )
    content = plain.get("content")
    if isinstance(content, (int, float)):
        raise _errors.InvalidArgument(
            f"messages[{index}]['content']", f"must be text or parts, not {type_name(content)}"
        )
    return plain


def _option(name: str, value: object) -> Any:
    if name == "response_format" and isinstance(value, type):
        return response_format(value)
    plain, kinds = unstructure(value), _OPTIONS[name]
    if not isinstance(plain, kinds) or (isinstance(plain, bool) and bool not in kinds):
        wanted = " or ".join(_WORDS[type_] for type_ in kinds if type_ is not int or float not in kinds)
        raise _errors.InvalidArgument(name, f"must be {wanted}, not {type_name(value)}")
    return plain


def _is_json(value: object) -> bool:
    try:
        dumps(unstructure(value))
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _shown(value: object) -> str:
    return "an empty one" if value == "" else type_name(value)


def complete(call: Call, *, reauthorise: bool) -> RequestFlow[Completion]:
    """Request a whole completion.

    Returns:
        The completion.

    Raises:
        StatusError: The service refused the request.
        NetworkError: No answer came.
        ProtocolError: The answer is not a completion.
    """
    reply = yield from send_with_retry(call.request, RetryState(call.settings.retry), reauthorise=reauthorise)
    if not is_event_stream(reply, reply.body):
        return read_completion(reply.body)
    decoder = ChunkDecoder(reply, max_event_bytes=call.settings.max_event_bytes)
    accumulator = CompletionAccumulator(call.choices)
    for chunk in decoder.feed(reply.body):
        accumulator.add(chunk)
    decoder.close()
    if decoder.failure is not None:
        decoder.failure.partial = accumulator.completion
        raise decoder.failure
    if not (decoder.done or accumulator.finished):
        raise truncated(accumulator.completion)
    return accumulator.completion
