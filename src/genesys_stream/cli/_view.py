"""What a relay shows while it runs and when it is over: one protocol, for a view for each kind of reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, Self

from attrs import frozen

from .._core.relaying.assemble import StreamAssembler
from .._values import Delivery, RelayReport, Undelivered
from ._words import count, duration

if TYPE_CHECKING:
    from types import TracebackType

    from ..testing import FakeGenesys


@frozen
class Phone:
    """What the fake phone has, put together from the payloads that the sandbox took.

    Attributes:
        text: The text.
        payloads: How many payloads it came in.
        complete: Whether all of it is there, with the right checksum.
    """

    text: str
    payloads: int
    complete: bool

    @classmethod
    def of(cls, fake: FakeGenesys) -> Phone:
        """Put the payloads together as an app would."""
        assembler = StreamAssembler()
        pushes = fake.pushes
        for payload in pushes:
            assembler.receive(payload)
        return cls(assembler.text, len(pushes), assembler.complete)


@frozen
class Summary:
    """The end of a relay.

    Attributes:
        report: The relay's own report.
        first_token: Seconds from the call to the first token; None when there was none.
        phone: What the fake phone has; None for real ones, of whom nobody knows, and after a dry run.
    """

    report: RelayReport
    first_token: float | None = None
    phone: Phone | None = None

    @property
    def delivered_bytes(self) -> int:
        """How many bytes of text were delivered."""
        return len(self.report.delivered_text.encode())

    @property
    def phone_agrees(self) -> bool:
        """Whether the fake phone has what was said, all of it and nothing else."""
        return self.phone is not None and self.phone.complete and self.phone.text == self.report.completion.text


class View(Protocol):
    """Told of a relay by the command: what is said in one thread, the rest in another; `end` comes after the block."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def begin(self, address: str, targets: Sequence[str], *, sandbox: bool) -> None:
        """Take note of where the relay goes."""
        ...

    def said(self, text: str) -> None:
        """Take note of text, before it is sent."""
        ...

    def pushed(self, delivery: Delivery, latency: float) -> None:
        """Take note of a push that landed, `latency` seconds after its first character arrived."""
        ...

    def lost(self, undelivered: Undelivered) -> None:
        """Take note of text that could not be delivered."""
        ...

    def end(self, summary: Summary) -> None:
        """Take note of the end."""
        ...


def rows_of(summary: Summary) -> list[tuple[str, str]]:
    """The summary in words, for people."""
    report = summary.report
    text = report.completion.text
    reason = report.completion.finish_reason
    ended = "" if reason is None else f" ({reason})"
    rows = [
        ("state", f"{report.state}{ended}"),
        ("said", f"{count(len(text), 'character')}, {count(len(text.encode('utf-8', 'replace')), 'byte')}"),
        ("delivered", f"{count(len(report.pushes), 'push')}, {count(summary.delivered_bytes, 'byte')}"),
        ("undelivered", _undelivered(report)),
        ("resent", str(report.resent)),
        ("first token", "none" if summary.first_token is None else f"after {duration(summary.first_token)}"),
        ("held", duration(report.held_seconds)),
        ("paced", duration(report.paced_seconds)),
    ]
    if summary.phone is not None:
        rows.append(("phone", _proof(summary, summary.phone)))
    return rows


def _undelivered(report: RelayReport) -> str:
    if not report.undelivered:
        return "nothing"
    size = len(report.undelivered_text.encode())
    doubt = ", perhaps delivered all the same" if any(lost.ambiguous for lost in report.undelivered) else ""
    return f"{count(len(report.undelivered), 'push')}, {count(size, 'byte')}{doubt}"


def _proof(summary: Summary, phone: Phone) -> str:
    make = "makes" if phone.payloads == 1 else "make"
    text = f"{count(phone.payloads, 'payload')} {make} {count(len(phone.text), 'character')}"
    return f"{text}: {'exactly what was said' if summary.phone_agrees else 'NOT what was said'}"
