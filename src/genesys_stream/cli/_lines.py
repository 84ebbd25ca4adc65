"""The view for files and pipes: a line for each thing that happens, and no control codes."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from .._values import Delivery, Undelivered
from ._output import write
from ._view import Summary, rows_of
from ._words import count, duration, one_line, quoted


class LinesView:
    """Writes lines."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave nothing to clean up."""

    def begin(self, address: str, targets: Sequence[str], *, sandbox: bool) -> None:
        """Say where the relay goes, without the device tokens."""
        where = f"the sandbox at {address}" if sandbox else address
        write(f"relaying from {where} to {count(len(targets), 'phone')}\n")

    def said(self, text: str) -> None:
        """Say nothing yet: the text comes with its push."""

    def pushed(self, delivery: Delivery, latency: float) -> None:
        """Say what landed."""
        batch = delivery.batch
        size = count(len(batch.text.encode()), "byte")
        again = f", {count(delivery.attempts, 'attempt')}" if delivery.attempts > 1 else ""
        write(f"push {batch.seq}: {size}, {duration(latency)}{again}  {quoted(batch.text)}\n")

    def lost(self, undelivered: Undelivered) -> None:
        """Say what did not."""
        batch, error = undelivered.batch, undelivered.error
        size = count(len(batch.text.encode()), "byte")
        reason = one_line(f"{type(error).__name__}: {error}")
        write(f"push {batch.seq}: {size} UNDELIVERED, {reason}  {quoted(batch.text)}\n")

    def end(self, summary: Summary) -> None:
        """Sum it up."""
        write("".join(f"{name + ':':<13}{words}\n" for name, words in rows_of(summary)))
