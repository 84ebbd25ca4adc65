"""A completion as a conversation: the request, and the reading of a streamed answer.

`Reading` is told what arrives and when, and says what it wants next:

    OPEN    a connection: drive `opening()`, then tell `opened()` what came of it
    READ    bytes: tell `receive()`, `ended()` or `lost()`; or `expire()` when `due` has passed
    DRAIN   the rest of a body whose meaning is complete, so that its connection can be used again
    NOTHING more

What fails before the first non-empty delta is tried again; what fails afterwards ends the stream, and whoever reads it
gets every chunk that came before the failure.
Chunks that say nothing are kept back until one says something, or the stream is complete: nobody sees an attempt fail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from operator import itemgetter
from typing import Any, TypeAlias

from attrs import frozen
from typing_extensions import TypedDict

from .. import _errors
from .._errors import GenesysStreamError, NetworkError
from .._values import Completion, CompletionChunk, Message, Timeouts, Timing
from .._values._checks import shown
from .._wire import dumps, kind, unstructure
from .accumulate import CompletionAccumulator
from .chunks import ChunkDecoder, is_event_stream, read_completion
from .conversation import Conversation, Patience, Retry, ask
from .exchange import Reply, Request, checked_headers
from .settings import Settings

TOKEN_MARGIN = 300.0
"""For how many seconds the token that opens a stream must still be good."""


class CompletionOptions(TypedDict, total=False):
    """What a completion may be asked for with, beside the model and the messages.

    The names are the ones of the OpenAI format; None leaves one out.

    Attributes:
        extra_body: Fields of the request that have no name here.
        extra_headers: Headers for this call alone.
        timeouts: The clocks of this call, in place of the client's.
        retry: The patience of this call, in place of the client's.
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
    response_format: Mapping[str, Any] | None
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

# What an option is in JSON; how far its numbers go, and what its objects hold, is for the service to say.
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
    """One call for a completion, ready to be made.

    Attributes:
        request: What is sent.
        choices: How many choices were asked for.
        settings: The client's settings, with what this call changed.
    """

    request: Request
    choices: int
    settings: Settings


def completion_call(
    settings: Settings,
    *,
    model: str,
    messages: Sequence[Message | Mapping[str, Any]],
    stream: bool,
    options: CompletionOptions,
) -> Call:
    """Make ready a call for a completion.

    Raises:
        InvalidArgument: The model, a message or an option will not do.
    """
    wanted: Mapping[str, Any] = options
    for name in wanted:
        if name not in _OPTIONS and name not in _OF_THE_CALL:
            raise _errors.InvalidArgument(name, "is not an option of a completion; fields of your own go in extra_body")
    if not isinstance(model, str) or not model:
        raise _errors.InvalidArgument("model", f"must be a name that is not empty, not {_shown(model)}")
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Sequence):
        raise _errors.InvalidArgument(
            "messages",
            f'must be a list of messages such as {{"role": "user", "content": "Hi"}}, not {kind(messages)}',
        )
    if not messages:
        raise _errors.InvalidArgument("messages", "must hold at least one message")
    extra_body = wanted.get("extra_body")
    if extra_body is None:
        extra_body = {}
    if not isinstance(extra_body, Mapping):
        raise _errors.InvalidArgument("extra_body", f"must be a mapping, not {kind(extra_body)}")
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
    request = Request("POST", settings.completions_url, headers, content, token_margin=TOKEN_MARGIN)
    return Call(request, choices, settings.changed(timeouts=wanted.get("timeouts"), retry=wanted.get("retry")))


def _message(index: int, message: object) -> dict[str, Any]:
    plain = unstructure(message)
    if not isinstance(plain, dict):
        raise _errors.InvalidArgument(f"messages[{index}]", f"must be a mapping or a Message, not {kind(message)}")
    if not isinstance(plain.get("role"), str):
        raise _errors.InvalidArgument(f"messages[{index}]['role']", f"must be a string, not {kind(plain.get('role'))}")
    content = plain.get("content")
    if isinstance(content, (int, float)):
        raise _errors.InvalidArgument(f"messages[{index}]['content']", f"must be text or parts, not {kind(content)}")
    return plain


def _option(name: str, value: object) -> Any:
    plain, kinds = unstructure(value), _OPTIONS[name]
    if not isinstance(plain, kinds) or (isinstance(plain, bool) and bool not in kinds):
        wanted = " or ".join(_WORDS[one] for one in kinds if one is not int or float not in kinds)
        raise _errors.InvalidArgument(name, f"must be {wanted}, not {kind(value)}")
    return plain


def _is_json(value: object) -> bool:
    try:
        dumps(unstructure(value))
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _shown(value: object) -> str:
    return "an empty one" if value == "" else kind(value)


def complete(call: Call, *, reauthorise: bool) -> Conversation[Completion]:
    """Ask for a whole completion.

    Returns:
        The completion.

    Raises:
        StatusError: The service said no.
        NetworkError: No answer could be had.
        ProtocolError: The answer is not a completion.
    """
    reply = yield from ask(call.request, Patience(call.settings.retry), reauthorise=reauthorise)
    if not is_event_stream(reply, reply.body):
        return read_completion(reply.body)
    decoder = ChunkDecoder(reply, max_event_bytes=call.settings.max_event_bytes)
    accumulator = CompletionAccumulator(call.choices)
    for chunk in decoder.feed(reply.body):
        accumulator.add(chunk)
    if decoder.failure is not None:
        decoder.failure.partial = accumulator.completion
        raise decoder.failure
    if not (decoder.done or accumulator.finished):
        raise _truncated(accumulator.completion)
    return accumulator.completion


def _truncated(partial: Completion) -> _errors.StreamTruncated:
    msg = "the stream ended with neither [DONE] nor a finish reason for every choice; .partial holds what was said"
    error = _errors.StreamTruncated(msg)
    error.partial = partial
    return error


_LINGER = 5.0
"""Seconds to wait for `[DONE]`, or for the usage, once every choice has its finish reason, whatever heartbeats say."""


_NEVER = float("inf")


def _endless(seconds: float | None) -> float:
    return _NEVER if seconds is None else seconds


_Clock: TypeAlias = tuple[float, float, type[_errors.TimeoutExpired], str]


class Want(Enum):
    """What a `Reading` needs to go on."""

    OPEN = "open"
    READ = "read"
    DRAIN = "drain"
    NOTHING = "nothing"


_OPEN, _READ = Want.OPEN, Want.READ  # an enum's members take their time to be found


class Reading:
    """Reads one streamed completion, over as many connections as it takes to begin.

    Attributes:
        want: What it needs next.
        committed: Whether a non-empty delta was handed out, after which nothing is tried again.
        failure: What ended it before its end.
    """

    def __init__(self, call: Call, *, reauthorise: bool, now: float) -> None:
        self.want = _OPEN
        self.committed = False
        self.failure: GenesysStreamError | None = None
        self._call = call
        self._patience = Patience(call.settings.retry)
        self._timeouts = call.settings.timeouts
        self._reauthorise = reauthorise
        self._after = 0.0
        self._started = now
        self._last_byte: float | None = None
        self._first_token: float | None = None
        self._last_token = now
        self._arrivals = 0
        self._max_gap = 0.0
        self._chunks = 0
        self._held: list[CompletionChunk] = []
        self._accumulator = CompletionAccumulator(call.choices)
        self._decoder: ChunkDecoder | None = None
        set_to = self._timeouts
        self._until = now + _endless(set_to.total)
        self._token_idle = _endless(set_to.token_idle)
        self._transport_idle = _endless(set_to.transport_idle)

    @property
    def completion(self) -> Completion:
        """What was said so far."""
        return self._accumulator.completion

    @property
    def complete(self) -> bool:
        """Whether all was said: `[DONE]` came, or a finish reason for every choice."""
        return self._accumulator.finished or (self._decoder is not None and self._decoder.done)

    @property
    def timing(self) -> Timing:
        """How it flowed so far."""
        first = self._first_token
        return Timing(
            first_token=None if first is None else first - self._started,
            chunks=self._chunks,
            mean_gap=(self._last_token - first) / (self._arrivals - 1)
            if first is not None and self._arrivals > 1
            else 0.0,
            max_gap=self._max_gap,
            last_activity=self._last_byte,
        )

    @property
    def due(self) -> float | None:
        """When the next clock runs out, in the clock's seconds; None when none is running."""
        heard = self._last_byte
        if heard is None or not self.flows:
            return min((clock[0] for clock in self._clocks()), default=None)
        # As `_clocks` has it, for what is asked at every read that has to wait.
        due = min(self._last_token + self._token_idle, heard + self._transport_idle, self._until)
        return None if due == _NEVER else due

    @property
    def flows(self) -> bool:
        """Whether the answer is being said, so that `due` cannot become sooner while that stays so."""
        return self.committed and self.want is _READ and not self._accumulator.finished

    def _clocks(self) -> list[_Clock]:
        """The clocks that are running, as (when it runs out, what it was set to, its error, what did not happen)."""
        running: list[_Clock] = []
        if self.want is not _OPEN and self.want is not _READ:
            return running
        set_to = self._timeouts
        if self._accumulator.finished:
            running.append((self._last_token + _LINGER, _LINGER, _errors.TransportIdleTimeout, "[DONE] did not come"))
        if set_to.total is not None:
            running.append(
                (self._started + set_to.total, set_to.total, _errors.DeadlineExceeded, "the call was not over")
            )
        if self.committed:
            idle = set_to.token_idle
            if idle is not None:
                running.append((self._last_token + idle, idle, _errors.TokenIdleTimeout, "no other token came"))
        elif set_to.first_token is not None:
            first = set_to.first_token
            running.append((self._started + first, first, _errors.FirstTokenTimeout, "no token came"))
        if set_to.transport_idle is not None and self._last_byte is not None:
            idle = set_to.transport_idle
            running.append((self._last_byte + idle, idle, _errors.TransportIdleTimeout, "not a byte came"))
        return running

    def expire(self, now: float) -> bool:
        """Take note of the time; returns whether a clock has run out, which ends the stream or the connection."""
        if self._last_token == now < self._until and self.committed:
            return False  # a token came just now, as nearly always
        expired = False
        while (clocks := self._clocks()) and now >= (first := min(clocks, key=itemgetter(0)))[0]:
            _, seconds, cls, what = first
            self.lost(cls(f"{what} within {seconds:g} seconds", seconds=seconds), now)
            expired = True
        return expired

    def opening(self) -> Conversation[Reply]:
        """Ask for the stream; returns the reply whose body is the stream."""
        return ask(self._call.request, self._patience, reauthorise=self._reauthorise, after=self._after)

    def opened(self, reply: Reply, now: float) -> None:
        """Take note of the reply that `opening()` returned."""
        self._last_byte = now
        self._decoder = ChunkDecoder(reply, max_event_bytes=self._call.settings.max_event_bytes)
        self.want = _READ

    def refused(self, error: GenesysStreamError) -> None:
        """Take note of the error that `opening()` raised."""
        self._end(error)

    def receive(self, data: bytes, now: float) -> Sequence[CompletionChunk]:
        """Take bytes of the body; returns the chunks that may be handed out."""
        decoder = self._decoder
        if decoder is None or self.want is not _READ:
            return ()
        self._last_byte = now
        chunks = self._accept(decoder, decoder.feed(data), now)
        if decoder.done and self.want is _READ:
            chunks = [*self._release(), *chunks]
            self.want = Want.DRAIN
        return chunks

    def ended(self, now: float) -> Sequence[CompletionChunk]:
        """Take note of the body's end; returns the chunks that may be handed out."""
        if self.want is Want.DRAIN:
            self.want = Want.NOTHING
        decoder = self._decoder
        if decoder is None or self.want is not _READ:
            return ()
        chunks = self._accept(decoder, decoder.close(), now)
        if self.want is _READ:
            if self.complete:
                chunks = [*self._release(), *chunks]
                self.want = Want.NOTHING
            else:
                self._fail(_truncated(self.completion))
        return chunks

    def lost(self, error: NetworkError, now: float) -> Sequence[CompletionChunk]:
        """Take note of a connection that broke, or a clock that ran out; returns the chunks that may be handed out."""
        if self.want is _OPEN:
            self._end(error)
        elif self.want is _READ and not self.complete:
            self._fail(error)
        else:
            return self.ended(now)
        return ()

    def _accept(
        self, decoder: ChunkDecoder, chunks: Sequence[CompletionChunk], now: float
    ) -> Sequence[CompletionChunk]:
        said, count, failure, add = False, 0, decoder.failure, self._accumulator.add
        try:
            for chunk in chunks:
                if add(chunk):
                    said = True
                count += 1
        except _errors.MalformedEvent as error:
            chunks, failure = chunks[:count], error
        self._chunks += count
        if said and self.committed:
            gap = now - self._last_token
            if gap > self._max_gap:  # noqa: PLR1730 - max() takes three times as long, at every token
                self._max_gap = gap
            self._last_token = now
            self._arrivals += 1
        elif said:
            self.committed = True
            self._first_token = self._last_token = now
            self._arrivals = 1
        if not self.committed:
            self._held.extend(chunks)
            chunks = ()
        elif self._held:
            chunks = [*self._release(), *chunks]
        if failure is not None:
            self._fail(failure)
        return chunks

    def _release(self) -> list[CompletionChunk]:
        held, self._held = self._held, []
        return held

    def _fail(self, error: GenesysStreamError) -> None:
        """Try again, if nothing was said and the error is one of this connection alone; else end."""
        if self.committed or isinstance(error, (_errors.FirstTokenTimeout, _errors.DeadlineExceeded)):
            self._end(error)
            return
        try:
            self._after = self._patience.wait_after(error)
        except GenesysStreamError:
            self._end(error)
            return
        self._held.clear()
        self._chunks = 0
        self._accumulator = CompletionAccumulator(self._call.choices)
        self._decoder = None
        self._last_byte = None
        self.want = _OPEN

    def _end(self, error: GenesysStreamError) -> None:
        if error.partial is None:
            error.partial = self.completion
        self.failure = _errors.bare(error)
        self._held.clear()
        self.want = Want.NOTHING
