"""The view for a terminal: the text as it streams, the pushes as they land, and at the end a summary that stays."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .._values import Delivery, Undelivered
from ._view import Summary, rows_of
from ._words import count, duration, one_line, visible

_PUSHES_SHOWN = 6
_PUSHES_KEPT = 12
_FRAME = 2
"""The lines that a panel's border takes, and the columns, twice over, with its padding."""


class LiveView:
    """Draws on the terminal."""

    def __init__(self) -> None:
        self._title = ""
        self._pieces: list[str] = []
        self._pushes: list[tuple[str, str, str, str]] = []
        self._console = Console(highlight=False)
        # Stderr is left alone where it leads elsewhere, and on the same screen it goes above the drawing.
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

    def begin(self, address: str, targets: Sequence[str], *, sandbox: bool) -> None:
        """Head the drawing."""
        self._title = f"{'sandbox at ' if sandbox else ''}{address} → {count(len(targets), 'phone')}"

    def said(self, text: str) -> None:
        """Let the text grow."""
        self._pieces.append(text)

    def pushed(self, delivery: Delivery, latency: float) -> None:
        """Add a push."""
        batch = delivery.batch
        again = f"{delivery.attempts} attempts" if delivery.attempts > 1 else ""
        note = ", ".join(filter(None, (batch.state if batch.final else "", again)))
        self._pushes.append((str(batch.seq), count(len(batch.text.encode()), "byte"), duration(latency), note))

    def lost(self, undelivered: Undelivered) -> None:
        """Add a loss."""
        batch, error = undelivered.batch, undelivered.error
        note = one_line(f"undelivered: {error}")
        self._pushes.append((str(batch.seq), count(len(batch.text.encode()), "byte"), "", note))

    def end(self, summary: Summary) -> None:
        """Leave the text, the last pushes and the summary on the screen."""
        print_ = self._console.print
        print_(Text(self._title, style="dim"))
        print_(Text(visible("".join(self._pieces))), soft_wrap=True)
        print_()
        print_(self._table(_PUSHES_KEPT))
        print_()
        table = Table.grid(padding=(0, 2))
        for name, words in rows_of(summary):
            table.add_row(Text(name, style="dim"), Text(words))
        print_(table)

    def _screen(self) -> RenderableType:
        width, height = self._console.size
        pushes = min(_PUSHES_SHOWN, max(1, height // 3))
        lines, columns = max(1, height - pushes - _FRAME - 2), max(8, width - 2 * _FRAME)
        # Only what can be on the screen is wrapped, however long the text has become.
        tail = Text(visible("".join(self._pieces)[-lines * columns :]))
        shown = tail.wrap(self._console, columns)[-lines:]
        panel = Panel(Text("\n").join(shown), title=Text(self._title), title_align="left", border_style="dim")
        return Group(panel, self._table(pushes))

    def _table(self, most: int) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_column(justify="right", style="dim")
        table.add_column(justify="right")
        table.add_column(justify="right")
        table.add_column(no_wrap=True, overflow="ellipsis")
        pushes = self._pushes[:]
        if len(pushes) > most:
            table.add_row("…", "", "", f"{len(pushes) - most + 1} before")
            pushes = pushes[-most + 1 :] if most > 1 else []
        for seq, size, latency, note in pushes:
            table.add_row(seq, size, latency, Text(note, style="red" if note.startswith("undelivered") else "dim"))
        return table
