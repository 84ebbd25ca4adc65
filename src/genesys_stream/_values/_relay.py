"""What is on its way to a phone, and what became of it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, TypeAlias

from attrs import field, frozen

from ._artifacts import Artifact
from ._completions import Completion, _size


@frozen
class Batch:
    """A piece of text on its way to a sink.

    `relay` numbers what it sends; the batches of a `Batcher` have the first five fields alone.

    Attributes:
        text: The text.
        first_at: When its first character arrived, in the clock's seconds.
        last_at: When its last character arrived.
        deltas: How many deltas it holds.
        artifacts: The JSON values that are over with it, where a `JsonArtifact` looked for them.
        stream_id: The stream that it belongs to.
        epoch: Which generation of the stream this is; a restarted one counts up.
        seq: Its number among the stream's batches, from 1.
        offset: Where its text begins in the stream's text, in UTF-8 bytes.
        before: The end of the stream's text before this batch, where the sink has asked for it.
        state: streaming, or in the final batch: complete, error or cancelled.
        crc: CRC-32 of the stream's text up to and including this batch.
        total: In the final batch, the length of the stream's text in UTF-8 bytes.
        finish_reason: In the final batch, why the model stopped, or the name of the error.
    """

    text: str = field(repr=_size)
    first_at: float = 0.0
    last_at: float = 0.0
    deltas: int = 1
    artifacts: tuple[Artifact, ...] = ()
    stream_id: str = ""
    epoch: int = 1
    seq: int = 0
    offset: int = 0
    before: str = field(default="", repr=_size)
    state: str = "streaming"
    crc: int = 0
    total: int | None = None
    finish_reason: str | None = None

    @property
    def final(self) -> bool:
        """Whether this is the stream's last batch."""
        return self.state != "streaming"


@frozen
class PushReceipt:
    """What the push service answered.

    Attributes:
        id: The service's id for the push.
        status: The service's word, such as "queued"; "dry_run" when nothing was sent.
        targets_count: How many targets the service counted.
        correlation_id: The correlation header, which Genesys Cloud support asks for.
        attempts: How often the request went out.
        resent: How many of these followed a lost answer, so that the push may have been delivered more than once.
        extra: The answer's other fields.
    """

    id: str = ""
    status: str = ""
    targets_count: int | None = None
    correlation_id: str = ""
    attempts: int = 1
    resent: int = 0
    extra: dict[str, Any] = field(factory=dict, repr=False)


@frozen
class RelayStarted:
    """A relay begins to read its source, for `on_event` hooks.

    Attributes:
        stream_id: The id that the payloads carry.
        epoch: Which generation of the stream this is.
        sinks: To how many sinks it relays.
    """

    stream_id: str
    epoch: int = 1
    sinks: int = 1


@frozen
class Delivery:
    """A batch that the sink took.

    Attributes:
        batch: What was delivered.
        receipt: What the sink answered: a `PushReceipt`, or whatever a callable returned.
        attempts: How often the batch was handed to the sink.
        resent: How many of these followed a lost answer.
    """

    batch: Batch
    receipt: object = None
    attempts: int = 1
    resent: int = 0

    @property
    def stream_id(self) -> str:
        """The stream that the batch belongs to."""
        return self.batch.stream_id


@frozen
class Undelivered:
    """Text that could not be delivered.

    Attributes:
        batch: What could not be delivered.
        error: Why.
        ambiguous: Whether it may have been delivered all the same, because an answer was lost.
    """

    batch: Batch
    error: BaseException
    ambiguous: bool = False

    @property
    def text(self) -> str:
        """The text."""
        return self.batch.text

    @property
    def stream_id(self) -> str:
        """The stream that the batch belongs to."""
        return self.batch.stream_id


@frozen
class RelayReport:
    """What was said, what was sent, and what could not be.

    The texts of `pushes` and `undelivered`, in the order of their offsets, join to the text that was said.

    Attributes:
        completion: What was said.
        pushes: The batches that were delivered, in order.
        undelivered: The batches that could not be.
        state: complete, error or cancelled.
        error: What ended the stream before its end.
        resent: How many pushes were sent again because an answer was lost.
        held_seconds: For how long rate limits and failures held text back.
        paced_seconds: For how long the budget held text back, so that no rate limit was hit.
        stream_id: The id that the payloads carry.
    """

    completion: Completion
    pushes: tuple[Delivery, ...] = ()
    undelivered: tuple[Undelivered, ...] = ()
    state: str = "complete"
    error: BaseException | None = None
    resent: int = 0
    held_seconds: float = 0.0
    paced_seconds: float = 0.0
    stream_id: str = ""

    @property
    def delivered_text(self) -> str:
        """The text of the pushes, in order."""
        return "".join(push.batch.text for push in self.pushes)

    @property
    def undelivered_text(self) -> str:
        """The text of the batches that could not be delivered, in order."""
        return "".join(missing.text for missing in self.undelivered)

    def to_dict(self, *, text: bool = False) -> dict[str, Any]:
        """Return the report as a dictionary that can be written as JSON, for logs and metrics.

        Errors are given by the names of their classes, because their messages may hold text; receipts are left out.

        Args:
            text: Whether the texts are included, beside their sizes.

        Returns:
            A dictionary of strings, numbers, None, and lists of such dictionaries.
        """
        completion, usage = self.completion, self.completion.usage
        return {
            "stream_id": self.stream_id,
            "state": self.state,
            "error": _name(self.error),
            "finish_reason": completion.finish_reason,
            "completion_tokens": usage and usage.completion_tokens,
            "bytes": _bytes(completion.text),
            "delivered_bytes": sum(_bytes(push.batch.text) for push in self.pushes),
            "undelivered_bytes": sum(_bytes(missing.text) for missing in self.undelivered),
            "resent": self.resent,
            "held_seconds": self.held_seconds,
            "paced_seconds": self.paced_seconds,
            **({"text": completion.text} if text else {}),
            "pushes": [
                {**_numbers(push.batch, text=text), "attempts": push.attempts, "resent": push.resent}
                for push in self.pushes
            ],
            "undelivered": [
                {
                    **_numbers(missing.batch, text=text),
                    "error": _name(missing.error),
                    "ambiguous": missing.ambiguous,
                }
                for missing in self.undelivered
            ],
        }

    def raise_for_undelivered(self) -> None:
        """Raise the first undelivered batch's error, with this report on it, if there is one.

        Raises:
            BaseException: What the sink raised, or what interrupted it.
        """
        if self.undelivered:
            error = self.undelivered[0].error
            with suppress(AttributeError, TypeError):  # an exception of another library may have no room for it
                error.report = self  # type: ignore[attr-defined]  # ours declare it
            raise error


RelayEvent: TypeAlias = RelayStarted | Delivery | Undelivered | RelayReport
"""What the `on_event` hook of a relay is called with; each has a `stream_id`."""


def _name(error: BaseException | None) -> str | None:
    return None if error is None else type(error).__name__


def _bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))  # a stream may end between the halves of a surrogate pair


def _numbers(batch: Batch, *, text: bool) -> dict[str, Any]:
    """Return what a report says of a batch."""
    return {
        "epoch": batch.epoch,
        "seq": batch.seq,
        "offset": batch.offset,
        "bytes": _bytes(batch.text),
        "deltas": batch.deltas,
        "state": batch.state,
        "first_at": batch.first_at,
        "last_at": batch.last_at,
        **({"text": batch.text} if text else {}),
    }
