"""What a relay shows while it runs and at its end; there is a view for each kind of stdout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from attrs import frozen

from .._core.relaying.assemble import StreamAssembler
from .._errors import GenesysStreamError
from .._values import Delivery, RelayReport, Undelivered
from ._format import count, duration

if TYPE_CHECKING:
    from types import TracebackType


_SHORTEST = 0.001
"""Seconds below which a wait is left out of the summary."""


@frozen
class Phone:
    """What the sandbox's phone has, assembled from the payloads that were pushed to it.

    Attributes:
        text: The text.
        payloads: How many payloads were assembled.
        complete: Whether all of it is there, with the right checksum.
    """

    text: str
    payloads: int
    complete: bool

    @classmethod
    def of(cls, payloads: Sequence[Any]) -> Phone:
        """Assemble payloads as an app would."""
        assembler = StreamAssembler()
        for payload in payloads:
            assembler.receive(payload)
        return cls(assembler.text, len(payloads), assembler.complete)


@frozen
class Summary:
    """The result of a relay.

    Attributes:
        report: The relay's own report.
        first_token: Seconds from the call to the first token; None when there was none.
        phone: What the sandbox's phone has; None for real phones, and after a dry run.
        to: What the destination is called; "" for the phones of `--target`.
    """

    report: RelayReport
    first_token: float | None = None
    phone: Phone | None = None
    to: str = ""

    @property
    def delivered_bytes(self) -> int:
        """How many bytes of text were delivered."""
        return len(self.report.delivered_text.encode())

    @property
    def phone_agrees(self) -> bool:
        """Whether the sandbox's phone has exactly the text of the completion."""
        return self.phone is not None and self.phone.complete and self.phone.text == self.report.completion.text


class View:
    """Shows a relay; this one shows nothing. The reading thread calls `generated`, the main thread the rest."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End what is shown while the relay runs."""

    def begin(self, address: str, targets: Sequence[object], *, sandbox: bool) -> None:
        """Show where the relay reads from and delivers to."""

    def failed(self, error: GenesysStreamError) -> None:
        """Show that there is no text at all; the error is printed on stderr, too."""

    def generated(self, text: str) -> None:
        """Show text that was generated."""

    def pushed(self, delivery: Delivery, latency: float, to: str) -> None:
        """Show a push that was delivered, `latency` seconds after its first character was generated."""

    def lost(self, undelivered: Undelivered, to: str) -> None:
        """Show text that could not be delivered."""

    def end(self, summaries: Sequence[Summary]) -> None:
        """Show the results, one for each destination, after the block."""


def rows_of(summary: Summary) -> list[tuple[str, str]]:
    """Return the summary as pairs of a name and text."""
    report = summary.report
    text = report.completion.text
    reason = report.completion.finish_reason
    ended = "" if reason is None else f" ({reason})"
    rows = [
        *([("to", summary.to)] if summary.to else []),
        ("state", f"{report.state}{ended}"),
        ("generated", f"{count(len(text), 'character')}, {count(len(text.encode('utf-8', 'replace')), 'byte')}"),
        ("delivered", f"{count(len(report.pushes), 'push')}, {count(summary.delivered_bytes, 'byte')}"),
        ("undelivered", _undelivered(report)),
        ("first token", "none" if summary.first_token is None else f"after {duration(summary.first_token)}"),
    ]
    if report.resent:
        rows.append(("resent", f"{count(report.resent, 'push')}, whose answer was lost"))
    if report.held_seconds >= _SHORTEST:
        rows.append(("held", f"{duration(report.held_seconds)}, by failures and rate limits"))
    if report.paced_seconds >= _SHORTEST:
        rows.append(("paced", f"{duration(report.paced_seconds)}, so that no rate limit is hit"))
    if summary.phone is not None:
        rows.append(("phone", _proof(summary, summary.phone)))
    return rows


def _undelivered(report: RelayReport) -> str:
    if not report.undelivered:
        return "nothing"
    size = len(report.undelivered_text.encode())
    doubt = ", some of it perhaps delivered all the same" if any(lost.ambiguous for lost in report.undelivered) else ""
    return f"{count(len(report.undelivered), 'push')}, {count(size, 'byte')}{doubt}"


def _proof(summary: Summary, phone: Phone) -> str:
    make = "makes" if phone.payloads == 1 else "make"
    text = f"{count(phone.payloads, 'payload')} {make} {count(len(phone.text), 'character')}"
    return f"{text}, {'the same text' if summary.phone_agrees else 'NOT the same text'}"
