"""The view for files and pipes: a line for each push, and no control codes."""

from __future__ import annotations

from collections.abc import Sequence

from .._values import Delivery, Undelivered
from ._format import count, duration, one_line, quoted
from ._output import write
from ._view import Summary, View, rows_of


class LinesView(View):
    """Prints lines."""

    def begin(self, address: str, targets: Sequence[object], *, sandbox: bool) -> None:
        """Print where the relay reads from, and the number of phones."""
        where = f"the sandbox at {address}" if sandbox else address
        write(f"relaying from {where} to {count(len(targets), 'phone')}\n")

    def pushed(self, delivery: Delivery, latency: float, to: str) -> None:
        """Print a push."""
        batch = delivery.batch
        size = count(len(batch.text.encode()), "byte")
        again = f", {count(delivery.attempts, 'attempt')}" if delivery.attempts > 1 else ""
        write(f"{_push(batch.seq, to)}: {size}, {duration(latency)}{again}  {quoted(batch.text)}\n")

    def lost(self, undelivered: Undelivered, to: str) -> None:
        """Print text that could not be delivered."""
        batch, error = undelivered.batch, undelivered.error
        size = count(len(batch.text.encode()), "byte")
        reason = one_line(f"{type(error).__name__}: {error}")
        write(f"{_push(batch.seq, to)}: {size} UNDELIVERED, {reason}  {quoted(batch.text)}\n")

    def end(self, summaries: Sequence[Summary]) -> None:
        """Print the summaries."""
        for summary in summaries:
            write("".join(f"{name + ':':<13}{words}\n" for name, words in rows_of(summary)))


def _push(seq: int, to: str) -> str:
    return f"push {seq} to {to}" if to else f"push {seq}"
