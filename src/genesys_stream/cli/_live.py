"""The view for a terminal: the text and the pushes while the relay runs, and finally a summary that stays."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from attrs import frozen
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .._values import Batch, Delivery, Undelivered
from ._format import count, duration, one_line, quoted, visible
from ._view import Summary, View, rows_of

_FEWEST_ROWS = 3
"""The pushes that are listed even where the terminal is too low for them."""
_BORDER = 2
"""The lines of a panel's border; its columns are twice as many, with the padding."""


@frozen
class _Row:
    """A push in the table."""

    seq: int
    size: int
    latency: str
    text: str
    lost: bool = False


class LiveView(View):
    """Draws on the terminal."""

    def __init__(self) -> None:
        self._title = ""
        self._pieces: list[str] = []
        self._rows: list[_Row] = []
        self._console = Console(highlight=False)
        # Lines on stderr go above the panel; where stderr is no terminal, it is left alone.
        self._live = Live(
            console=self._console,
            get_renderable=self._screen,
            refresh_per_second=15,
            transient=True,
            vertical_overflow="crop",
            redirect_stderr=sys.stderr.isatty(),
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def begin(self, address: str, targets: Sequence[object], *, sandbox: bool) -> None:
        """Set the title of the panel."""
        self._title = f"{'sandbox at ' if sandbox else ''}{address} → {count(len(targets), 'phone')}"

    def generated(self, text: str) -> None:
        """Add text to the panel."""
        self._pieces.append(text)

    def pushed(self, delivery: Delivery, latency: float, to: str) -> None:
        """Add a push to the table."""
        again = f"{to}: " if to else ""
        again += f"{delivery.attempts} attempts: " if delivery.attempts > 1 else ""
        self._rows.append(_row(delivery.batch, duration(latency), again + _text_of(delivery.batch)))

    def lost(self, undelivered: Undelivered, to: str) -> None:
        """Add lost text to the table."""
        self._rows.append(
            _row(undelivered.batch, "", one_line(f"{to and f'{to}: '}undelivered: {undelivered.error}"), lost=True)
        )

    def end(self, summaries: Sequence[Summary]) -> None:
        """Print the text, the last pushes and the summaries."""
        console = self._console
        text = Text(visible("".join(self._pieces)))
        rows = [row for summary in summaries for row in rows_of(summary)]
        # What is left of the screen: less the title, the prompt below, two empty lines, the text and the summary.
        left = console.height - len(text.wrap(console, console.width)) - len(rows) - 5
        console.print(Text(self._title, style="dim"))
        console.print(text)
        console.print()
        console.print(self._table(left))
        console.print()
        table = Table.grid(padding=(0, 2))
        for name, words in rows:
            table.add_row(Text(name, style="dim"), Text(words))
        console.print(table)

    def _screen(self) -> RenderableType:
        """Return the panel with the end of the text, and the table below, each in half of the screen at least."""
        width, height = self._console.size
        table_lines = min(len(self._rows) + 1, max(_FEWEST_ROWS + 1, height // 2))
        lines, columns = max(1, height - table_lines - _BORDER - 1), max(8, width - 2 * _BORDER)
        # Only what fits on the screen is wrapped, so that a long text costs no more than a short one.
        tail = Text(visible("".join(self._pieces)[-lines * columns :]))
        shown = tail.wrap(self._console, columns)[-lines:] if self._pieces else [Text("waiting ...", style="dim")]
        panel = Panel(Text("\n").join(shown), title=Text(self._title), title_align="left", border_style="dim")
        return Group(panel, self._table(table_lines)) if self._rows else panel

    def _table(self, lines: int) -> Table:
        """Return the table with the last pushes, in so many lines, its header included."""
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False, expand=True)
        table.add_column("push", justify="right", style="dim")
        table.add_column("bytes", justify="right")
        table.add_column("after", justify="right")
        table.add_column("text", ratio=1, no_wrap=True, overflow="ellipsis")
        rows = self._rows[:]
        most = max(_FEWEST_ROWS, lines - 1)
        if len(rows) > most:
            table.add_row("…", "", "", Text(f"{len(rows) - most + 1} before", style="dim"))
            rows = rows[-most + 1 :]
        for row in rows:
            text = Text(row.text, style="red" if row.lost else "")
            table.add_row(str(row.seq), str(row.size), row.latency, text)
        return table


def _row(batch: Batch, latency: str, text: str, *, lost: bool = False) -> _Row:
    return _Row(batch.seq, len(batch.text.encode()), latency, text, lost)


def _text_of(batch: Batch) -> str:
    text = quoted(batch.text) if batch.text else ""
    return ": ".join(filter(None, (batch.state if batch.final else "", text)))
