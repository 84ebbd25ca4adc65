"""Figures as Markdown tables, and as plots in SVG."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, floor, log10
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
        text: What it comes to, in a sentence or two.
    """

    title: str
    unit: str
    bars: list[tuple[str, float]] = field(default_factory=list)
    notes: dict[str, dict[str, str]] = field(default_factory=dict)
    targets: list[tuple[str, float, str, float]] = field(default_factory=list)
    text: str = ""

    def bar(self, name: str, value: float) -> None:
        """Add who took how long."""
        self.bars.append((name, value))

    def note(self, name: str, what: str, said: str) -> None:
        """Add what else is known of one of them."""
        self.notes.setdefault(name, {})[what] = said

    def target(self, what: str, ratio: float, sign: str, bound: float) -> None:
        """Add what is promised, and what was measured."""
        self.targets.append((what, ratio, sign, bound))

    def table(self) -> list[str]:
        """The lines of a table of who took how long."""
        notes = sorted({what for said in self.notes.values() for what in said})
        first = self.bars[0][1]
        lines = [f"| | {self.unit} | ratio |{''.join(f' {note} |' for note in notes)}"]
        lines += ["| --- | ---: | ---: |" + " ---: |" * len(notes)]
        for name, value in self.bars:
            beside = "".join(f" {self.notes.get(name, {}).get(note, '')} |" for note in notes)
            lines.append(f"| {name} | {shown(value)} | {value / first:.2f} |{beside}")
        return lines


@dataclass
class Curve:
    """One scenario's results at several sizes.

    Attributes:
        title: What was measured.
        unit: In what.
        along: What the sizes count.
        sizes: The sizes, the least first.
        lines: Who, and how much at each size.
        targets: As for `Figure`.
        text: The same.
    """

    title: str
    unit: str
    along: str
    sizes: list[int]
    lines: dict[str, list[float]] = field(default_factory=dict)
    targets: list[tuple[str, float, str, float]] = field(default_factory=list)
    text: str = ""

    def table(self) -> list[str]:
        """The lines of a table with a column for each size."""
        lines = [f"| {self.unit}, of {self.along} |" + "".join(f" {size} |" for size in self.sizes)]
        lines += ["| --- |" + " ---: |" * len(self.sizes)]
        for name, values in self.lines.items():
            lines.append(f"| {name} |" + "".join(f" {shown(value)} |" for value in values))
        return lines


def slug(title: str) -> str:
    """A title as a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def met(ratio: float, sign: str, bound: float) -> bool:
    return ratio <= bound if sign == "<=" else ratio >= bound


def shown(value: float) -> str:
    """Three digits, and no power of ten."""
    return f"{value:.3g}" if value < 999.5 else f"{float(f'{value:.3g}'):,.0f}"


def markdown(figure: Figure | Curve) -> str:
    """A table of who took how long, and one of what is promised."""
    lines = [f"### {figure.title}", ""]
    if figure.text:
        lines += [figure.text, ""]
    lines += figure.table()
    if figure.targets:
        lines += ["", "| promise | measured | target | |", "| --- | ---: | ---: | --- |"]
    for what, ratio, sign, bound in figure.targets:
        sign_ = "≤" if sign == "<=" else "≥"
        outcome = "met" if met(ratio, sign, bound) else "missed"
        lines.append(f"| {what} | {ratio:.2f} | {sign_} {bound:g} | {outcome} |")
    return "\n".join([*lines, ""])


ROW, LEFT, WIDTH = 26, 330, 760


def begin(figure: Figure | Curve, height: int) -> list[str]:
    """The beginning of a plot, which has a ground of its own, so that it can be read on a light page and a dark one."""
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"',
        ' font-family="system-ui, sans-serif" font-size="13" role="img">',
        f"<title>{escape(figure.title)}, {escape(figure.unit)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="12" y="22" font-weight="600">{escape(figure.title)} ({escape(figure.unit)})</text>',
    ]


def bars(figure: Figure) -> str:
    """A bar for each; ours are dark."""
    most = max(value for _, value in figure.bars)
    lines = begin(figure, ROW * len(figure.bars) + 44)
    for number, (name, value) in enumerate(figure.bars):
        y = 36 + ROW * number
        width = max(1.0, value / most * (WIDTH - LEFT - 90))
        colour = "#0b5394" if name.startswith("genesys-stream") else "#b7b7b7"
        lines.append(f'<text x="{LEFT - 10}" y="{y + 15}" text-anchor="end">{escape(name)}</text>')
        lines.append(f'<rect x="{LEFT}" y="{y + 2}" width="{width:.1f}" height="{ROW - 8}" fill="{colour}"/>')
        lines.append(f'<text x="{LEFT + width + 6:.1f}" y="{y + 15}">{shown(value)}</text>')
    return "\n".join([*lines, "</svg>", ""])


COLOURS = ["#0b5394", "#3d85c6", "#38761d", "#b45f06", "#777777", "#a64d79"]
TOP, BOTTOM, BEFORE, AFTER = 40, 300, 60, 230


def lines_of(curve: Curve) -> str:
    """A line for each, on axes whose scales are logarithmic."""
    values = [value for line in curve.lines.values() for value in line]
    low, high = floor(log10(max(min(values), 0.1))), ceil(log10(max(*values, 1.0)))
    first, last = log10(curve.sizes[0]), log10(curve.sizes[-1])

    def x(size: float) -> float:
        return BEFORE + (log10(size) - first) / (last - first) * (WIDTH - BEFORE - AFTER)

    def y(value: float) -> float:
        return BOTTOM - (log10(max(value, 10.0**low)) - low) / (high - low) * (BOTTOM - TOP)

    lines = begin(curve, BOTTOM + 44)
    for power in range(low, high + 1):
        at = y(10.0**power)
        lines.append(f'<line x1="{BEFORE}" x2="{WIDTH - AFTER}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>')
        lines.append(f'<text x="{BEFORE - 8}" y="{at + 4:.1f}" text-anchor="end">{10.0**power:,g}</text>')
    for size in curve.sizes:
        lines.append(f'<text x="{x(size):.1f}" y="{BOTTOM + 18}" text-anchor="middle">{size}</text>')
    middle = (BEFORE + WIDTH - AFTER) / 2
    lines.append(f'<text x="{middle}" y="{BOTTOM + 36}" text-anchor="middle">{escape(curve.along)}</text>')
    labels = sorted((y(line[-1]), number, name) for number, (name, line) in enumerate(curve.lines.items()))
    below = 0.0
    for at, number, name in labels:
        colour, line = COLOURS[number % len(COLOURS)], curve.lines[name]
        points = " ".join(f"{x(size):.1f},{y(value):.1f}" for size, value in zip(curve.sizes, line, strict=True))
        lines.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        below = max(at, below + 16)
        lines.append(f'<text x="{WIDTH - AFTER + 8}" y="{below + 4:.1f}" fill="{colour}">{escape(name)}</text>')
    return "\n".join([*lines, "</svg>", ""])


def svg(figure: Figure | Curve) -> str:
    return bars(figure) if isinstance(figure, Figure) else lines_of(figure)


def write(figures: Sequence[Figure | Curve], how: str, *, whole: bool) -> None:
    """Put the figures into the page, between its marks, in the place of their elders or first; and the plots beside it.

    Args:
        figures: The figures.
        how: How they were measured.
        whole: Whether these are all, so that none of their elders stays.
    """
    folder = DOCS / "performance"
    folder.mkdir(exist_ok=True)
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    body, _, tail = rest.partition(END)
    sections = {part.partition("\n")[0]: f"### {part.strip()}\n" for part in body.split("### ")[1:]}
    if whole:
        sections = {}
        for plot in folder.glob("*.svg"):
            plot.unlink()
    elif any(figure.title not in sections for figure in figures):
        sections = {figure.title: "" for figure in figures} | sections  # what is new comes first
    for figure in figures:
        name = slug(figure.title)
        (folder / f"{name}.svg").write_text(svg(figure), encoding="utf-8")
        sections[figure.title] = f"{markdown(figure)}\n![{figure.title}](performance/{name}.svg)\n"
    page = "\n".join([head + BEGIN, "", f"{how}.", "", *sections.values()])
    PAGE.write_text(page + END + tail, encoding="utf-8")
