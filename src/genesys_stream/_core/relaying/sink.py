"""Sinks: what a channel bears, how a batch becomes a payload, and how a payload is sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from attrs import field, frozen

from ..._errors import InvalidArgument
from ..._values import Batch
from ..._values._checks import check_kind, check_seconds, check_whole
from ..._wire import type_name
from .coalescers.basic import FinalOnly, Paced, TimeSize
from .coalescers.checks import check_coalescer
from .coalescers.protocol import Coalescer
from .limits import Limiter
from .payload import MAX_PAYLOAD_BYTES


def _callable(_: object, attribute: Any, value: Any) -> None:
    if not callable(value):
        raise InvalidArgument(attribute.name, f"must be callable, not {type_name(value)}")


def _optional_whole(_: object, attribute: Any, value: Any) -> None:
    if value is not None:
        check_whole(attribute.name, value)


def _optional_chars(_: object, attribute: Any, value: Any) -> None:
    if value is not None:
        check_whole(attribute.name, value, least=2)


def _optional_coalescer(_: object, attribute: Any, value: Any) -> None:
    if value is not None:
        check_coalescer(attribute.name, value)


def _optional_seconds(_: object, attribute: Any, value: Any) -> None:
    if value is not None:
        check_seconds(attribute.name, value)


def _optional_limiter(_: object, attribute: Any, value: Any) -> None:
    if value is not None and not (callable(getattr(value, "turn", None)) and callable(getattr(value, "block", None))):
        problem = f"must have the methods of Limiter, turn and block; got {type_name(value)}"
        raise InvalidArgument(attribute.name, problem)


@frozen(kw_only=True)
class Channel:
    """What a channel bears, and how a batch becomes a payload of it."""

    name: str = field(default="", validator=lambda _, __, value: check_kind("name", value, str))
    encode: Callable[[Batch], bytes] = field(validator=_callable, repr=False)
    max_bytes: int | None = field(default=None, validator=_optional_whole)
    max_chars: int | None = field(default=None, validator=_optional_chars)
    measure: Callable[[bytes], int] = field(default=len, validator=_callable, repr=False)
    repeat: int = field(default=0, validator=lambda _, __, value: check_whole("repeat", value, least=0))
    window: float | None = field(default=None, validator=_optional_seconds)
    final_only: bool = field(default=False, validator=lambda _, __, value: check_kind("final_only", value, bool))
    coalescer: Coalescer | None = field(default=None, validator=_optional_coalescer, repr=False)
    at_most_once: bool = field(default=False, validator=lambda _, __, value: check_kind("at_most_once", value, bool))
    limiter: Limiter | None = field(default=None, validator=_optional_limiter, repr=False)

    def default_coalescer(self) -> Coalescer:
        """Return the coalescer that `relay` uses for this sink where it is given none."""
        if self.coalescer is not None:
            return self.coalescer
        if self.final_only:
            return FinalOnly()
        if self.window is None:
            return TimeSize()
        return Paced(self.window, MAX_PAYLOAD_BYTES if self.max_bytes is None else max(4, self.max_bytes))


@frozen(kw_only=True)
class Sink(Channel):
    """A channel that `relay` delivers batches through, for a blocking source.

    It sends each payload once and says what came of it; when to send it again is for the relay to decide.
    To wrap a sink, replace one of its functions: `attrs.evolve(sink, send=lambda content, batch: ...)`.

    Args:
        send: Takes a payload and its batch. What it returns becomes the delivery's receipt; an exception of this
            library that is `retryable` has the text sent again, any other one lists it as undelivered.
        encode: Makes the payload of a batch, without side effects: it is called until the payload fits, and what it
            returned is what is sent.
        max_bytes: The largest payload, in bytes; None for any size.
        max_chars: The longest text of one payload, in UTF-16 code units, which are the characters of most services that
            count them; text that waited goes out in whole pieces of the coalescer, as many as fit. None for any length.
        measure: Counts the bytes of a payload, where the service counts others than those that are sent.
        repeat: How many characters of the text before it each batch brings along in `Batch.before`.
        window: How long text is gathered where the relay is given no coalescer, in seconds, after a first text that
            goes out at once; None for the defaults of `TimeSize`.
        final_only: Whether only the final payload is worth sending, where the relay is given no coalescer.
        coalescer: Says where to cut where the relay is given no coalescer; it takes precedence over the two above.
        at_most_once: Whether a payload that may have been delivered is never sent again, as where a reader would see it
            twice; it is listed as undelivered, and as ambiguous.
        limiter: What each payload waits for, such as `RateLimits(...).limiter(...)`.
        name: What the sink is called in its repr, which shows no function, so that it is safe in a log.

    Raises:
        InvalidArgument: An argument is of the wrong kind.
    """

    send: Callable[[bytes, Batch], object] = field(validator=_callable, repr=False)


@frozen(kw_only=True)
class AsyncSink(Channel):
    """A channel that `relay` delivers batches through, for an async source; see `Sink`.

    Args:
        send: As that of `Sink`, but awaited.
        encode: As that of `Sink`.
        max_bytes: As that of `Sink`.
        max_chars: As that of `Sink`.
        measure: As that of `Sink`.
        repeat: As that of `Sink`.
        window: As that of `Sink`.
        final_only: As that of `Sink`.
        coalescer: As that of `Sink`.
        at_most_once: As that of `Sink`.
        limiter: As that of `Sink`.
        name: As that of `Sink`.

    Raises:
        InvalidArgument: An argument is of the wrong kind.
    """

    send: Callable[[bytes, Batch], Awaitable[object]] = field(validator=_callable, repr=False)
