"""Figures as Markdown tables, and as plots in SVG."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "performance.md"
BEGIN, END = "<!-- figures: begin, made by benchmarks/run.py -->", "<!-- figures: end -->"


@dataclass
class Figure:
    """One scenario's results.

    Attributes:
        title: What was measured.
        unit: In what.
        bars: Who, and how much; the first one is what the others are compared with.
        notes: What else is known of each.
        targets: What is promised, as (what, the ratio, "<=" or ">=", the bound).
    """

    title: str
    unit: str
    bars: list[tuple[str, float]] = field(default_factory=list)
    notes: dict[str, dict[str, str]] = field(default_factory=dict)
    targets: list[tuple[str, float, str, float]] = field(default_factory=list)

    def bar(self, name: str, value: float) -> None:
        """Add who took how long."""
        self.bars.append((name, value))

    def note(self, name: str, what: str, said: str) -> None:
        """Add what else is known of one of them."""
        self.notes.setdefault(name, {})[what] = said

    def target(self, what: str, ratio: float, sign: str, bound: float) -> None:
        """Add what is promised, and what was measured."""
        self.targets.append((what, ratio, sign, bound))

    @property
    def slug(self) -> str:
        """The title as a file's name."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def met(ratio: float, sign: str, bound: float) -> bool:
    return ratio <= bound if sign == "<=" else ratio >= bound


def shown(value: float) -> str:
    """Three digits, and no power of ten."""
    return f"{value:.3g}" if value < 999.5 else f"{float(f'{value:.3g}'):,.0f}"


def markdown(figure: Figure) -> str:
    """A table of who took how long, and one of what is promised."""
    notes = sorted({what for said in figure.notes.values() for what in said})
    first = figure.bars[0][1]
    lines = [f"### {figure.title}", ""]
    lines += [f"| | {figure.unit} | ratio |{''.join(f' {note} |' for note in notes)}"]
    lines += ["| --- | ---: | ---: |" + " ---: |" * len(notes)]
    for name, value in figure.bars:
        beside = "".join(f" {figure.notes.get(name, {}).get(note, '')} |" for note in notes)
        lines.append(f"| {name} | {shown(value)} | {value / first:.2f} |{beside}")
    if figure.targets:
        lines += ["", "| ratio | measured | target | |", "| --- | ---: | ---: | --- |"]
    for what, ratio, sign, bound in figure.targets:
        sign_ = "≤" if sign == "<=" else "≥"
        lines.append(f"| {what} | {ratio:.2f} | {sign_} {bound:g} | {'met' if met(ratio, sign, bound) else 'missed'} |")
    return "\n".join([*lines, ""])


ROW, LEFT, WIDTH = 26, 330, 760


def svg(figure: Figure) -> str:
    """A bar for each; ours are dark. It can be read on a light page and on a dark one."""
    most = max(value for _, value in figure.bars)
    height = ROW * len(figure.bars) + 44
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"',
        ' font-family="system-ui, sans-serif" font-size="13" role="img">',
        f"<title>{escape(figure.title)}, {escape(figure.unit)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="12" y="22" font-weight="600">{escape(figure.title)} ({escape(figure.unit)})</text>',
    ]
    for number, (name, value) in enumerate(figure.bars):
        y = 36 + ROW * number
        width = max(1.0, value / most * (WIDTH - LEFT - 90))
        colour = "#0b5394" if name.startswith("genesys-stream") else "#b7b7b7"
        lines.append(f'<text x="{LEFT - 10}" y="{y + 15}" text-anchor="end">{escape(name)}</text>')
        lines.append(f'<rect x="{LEFT}" y="{y + 2}" width="{width:.1f}" height="{ROW - 8}" fill="{colour}"/>')
        lines.append(f'<text x="{LEFT + width + 6:.1f}" y="{y + 15}">{shown(value)}</text>')
    return "\n".join([*lines, "</svg>", ""])


def write(figures: list[Figure], how: str) -> None:
    """Put the figures into the page, between its marks, in the place of their elders; and the plots beside it."""
    folder = DOCS / "performance"
    folder.mkdir(exist_ok=True)
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    body, _, tail = rest.partition(END)
    sections = {part.partition("\n")[0]: f"### {part.strip()}\n" for part in body.split("### ")[1:]}
    for figure in figures:
        (folder / f"{figure.slug}.svg").write_text(svg(figure), encoding="utf-8")
        sections[figure.title] = f"{markdown(figure)}\n![{figure.title}](performance/{figure.slug}.svg)\n"
    page = "\n".join([head + BEGIN, "", f"{how}.", "", *sections.values()])
    PAGE.write_text(page + END + tail, encoding="utf-8")
