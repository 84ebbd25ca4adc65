"""What the completions of both shells share: the calls, and all of a stream that does not wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, Generic, TypeVar

from typing_extensions import Unpack

from . import _errors
from ._core.http.exchange import Reply
from ._core.http.retry import RequestFlow
from ._core.http.settings import Settings
from ._core.reading.chunks import precompile
from ._core.reading.completions import Call, CompletionOptions, MessageDict, complete, completion_call
from ._core.reading.stream import Action, StreamState
from ._http import advance
from ._session import BaseSession, Steps
from ._values import Completion, CompletionChunk, Message, Timing

SessionT = TypeVar("SessionT", bound=BaseSession)
StreamT = TypeVar("StreamT")
CompletionT = TypeVar("CompletionT")


class BaseCompletionStream(Generic[SessionT]):
    """The state of a streamed completion, and what it tells about itself."""

    def __init__(self, session: SessionT, call: Call) -> None:
        self._session = session
        self._call = call
        self._settings = call.settings
        self._reading: StreamState | None = None
        self._ready: deque[CompletionChunk] = deque()
        self._response: Any = None
        self._head: Reply | None = None
        self._closed = False

    @property
    def completion(self) -> Completion:
        """The completion as far as it has been read."""
        return Completion() if self._reading is None else self._reading.completion

    @property
    def committed(self) -> bool:
        """Whether a non-empty delta was yielded, after which a failure is no longer retried."""
        return self._reading is not None and self._reading.committed

    @property
    def status(self) -> int | None:
        """The HTTP status; None before there is an answer."""
        return None if self._head is None else self._head.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers, their names in lower case; empty before there is an answer."""
        return {} if self._head is None else self._head.headers

    @property
    def request_id(self) -> str:
        """The correlation id, which Genesys Cloud support asks for; "" before there is an answer."""
        return "" if self._head is None else self._head.correlation_id or self.headers.get("x-request-id", "")

    @property
    def timing(self) -> Timing:
        """How fast the chunks have arrived so far."""
        return Timing() if self._reading is None else self._reading.timing

    @property
    def _finished(self) -> bool:
        """Whether there is nothing more to read, and no failure to raise."""
        if self._closed:
            return True
        reading = self._reading
        return (
            reading is not None
            and reading.next_action is Action.NOTHING
            and reading.failure is None
            and not self._ready
        )

    def _require_unread(self) -> None:
        """Raise StreamStateError if the stream has been read to its end, or closed."""
        if not self._finished:
            return
        error = _errors.StreamStateError(
            "the stream has been read, or closed, and can be read only once; .completion holds what was read, "
            "and another call of client.completions.stream() makes another stream"
        )
        error.partial = self.completion
        raise error

    def _require_complete(self) -> None:
        """Raise StreamStateError if the stream was closed before it was complete."""
        if self._reading is None or not self._reading.complete:
            error = _errors.StreamStateError(
                "the stream was closed before it was complete; .partial holds what was read"
            )
            error.partial = self.completion
            raise error

    def _begin(self) -> StreamState:
        """Return the state of the stream, whose clocks start at the first call."""
        if self._reading is None:
            self._reading = StreamState(self._call, reauthorise=self._session.reauthorises, now=self._session.now())
        return self._reading

    def _hold(self, response: Any) -> None:
        """Keep an open response until it is released."""
        self._response = response

    def _opening(self, reading: StreamState) -> Steps[bool]:
        """Send the request, with retries; return whether there is a response to read."""
        try:
            with closing(reading.opening()) as flow:
                attempt, reply = advance(flow)
                while attempt is not None:
                    outcome, response = yield from self._session.attempt_steps(
                        attempt,
                        self._settings,
                        until=reading.due,
                        answer_within=self._settings.timeouts.transport_idle,
                        keep=True,
                    )
                    if response is not None:
                        self._hold(response)
                    if isinstance(outcome, Reply):
                        self._head = outcome
                    if reading.expire(self._session.now()) or self._closed:
                        return False
                    attempt, reply = advance(flow, outcome)
        except _errors.GenesysStreamError as error:
            reading.refused(error)
            return False
        reading.opened(reply, self._session.now())
        return True


class BaseCompletions(Generic[SessionT, StreamT, CompletionT]):
    """Requests completions.

    Args:
        session: Sends the requests.
        settings: The client's settings.
    """

    def __init__(self, session: SessionT, settings: Settings) -> None:
        self._session = session
        self._settings = settings
        precompile()

    def stream(
        self,
        *,
        model: str,
        messages: Sequence[Message | MessageDict | Mapping[str, Any]],
        **options: Unpack[CompletionOptions],
    ) -> StreamT:
        """Request a completion that is read while it is generated.

        Args:
            model: The model's name.
            messages: The conversation so far, as mappings or as `Message` values.
            **options: See `CompletionOptions`.

        Returns:
            The stream, without an await; nothing is sent before it is read.

        Raises:
            InvalidArgument: An argument is invalid.
        """
        return self._stream(
            completion_call(self._settings, model=model, messages=messages, stream=True, options=options)
        )

    def create(
        self,
        *,
        model: str,
        messages: Sequence[Message | MessageDict | Mapping[str, Any]],
        **options: Unpack[CompletionOptions],
    ) -> CompletionT:
        """Request a whole completion; await it in the async client.

        Args:
            model: The model's name.
            messages: The conversation so far, as mappings or as `Message` values.
            **options: See `CompletionOptions`.

        Returns:
            The completion.

        Raises:
            InvalidArgument: An argument is invalid.
            StatusError: The service refused the request.
            NetworkError: There was no answer.
            ProtocolError: The answer is not a completion.
        """
        call = completion_call(self._settings, model=model, messages=messages, stream=False, options=options)
        del messages, options  # a report that shows the local variables of every frame shows no text
        flow = complete(call, reauthorise=self._session.reauthorises)
        return self._run(flow, call.settings, answer_within=call.settings.timeouts.answer)

    def _stream(self, call: Call) -> StreamT:
        raise NotImplementedError

    def _run(self, flow: RequestFlow[Completion], settings: Settings, *, answer_within: float | None) -> CompletionT:
        raise NotImplementedError
