"""What each strategy makes of the same stream, under each budget, and how far that is from the best possible.

Tokens are replayed in virtual time through the desk that `relay` uses, to a sink with a fixed round trip:

    python benchmarks/coalescing.py                           every strategy, one reply, no budget and Android's
    python benchmarks/coalescing.py --trace all --budget all  everything
    python benchmarks/coalescing.py --shape hour --strategy default --strategy PassThrough
    python benchmarks/coalescing.py --file trace.jsonl        a trace that was recorded: time,text
    python benchmarks/coalescing.py --svg picture.svg         the pushes as a picture

`first`, `mean` and `p95` are seconds: from a reply's first token to its first push, and for how long a character waited
between its arrival and its departure. `optimum` is that mean divided by the least that as many pushes could have had,
if the whole stream had been known beforehand; it is exact, see optimum.py.
Everything is seeded: the same arguments print the same table.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from html import escape
from itertools import chain, repeat
from pathlib import Path

from attrs import frozen
from genesys_stream._core.relaying.dispatch import dispatcher
from replay import Figures, Line, figures, relayed
from traces import KINDS, Trace, conversation, recorded, reply

from genesys_stream import (
    ANDROID_FOREGROUND,
    APNS_ALERT,
    GENESYS,
    LIVE_ACTIVITY,
    Adaptive,
    Coalescer,
    FinalOnly,
    Idle,
    ImmediateFirst,
    InFlight,
    JsonArtifact,
    Line as WholeLine,
    MarkdownBlock,
    Milestones,
    Paragraph,
    PassThrough,
    Pattern,
    Profile,
    Rate,
    RateBudget,
    Schedule,
    Sentence,
    TimeSize,
    Word,
    any_of,
    bounded,
    switch,
    then,
)
from genesys_stream._core.relaying.limits import Budget, Ledger
from genesys_stream._core.relaying.relay import Account

DEFAULT = "default"
STRATEGIES: dict[str, Callable[[], Coalescer]] = {
    "PassThrough": PassThrough,
    "InFlight": InFlight,
    "Word": Word,
    "TimeSize": TimeSize,
    "Adaptive": Adaptive,
    "ImmediateFirst": lambda: ImmediateFirst(TimeSize(0.5, 500)),
    "RateBudget": partial(RateBudget, Rate(4, 1.0)),
    "Idle": Idle,
    "Sentence": Sentence,
    "Line": WholeLine,
    "Paragraph": Paragraph,
    "MarkdownBlock": MarkdownBlock,
    "Pattern": partial(Pattern, r"[,.]\s"),
    "JsonArtifact": partial(JsonArtifact, "ndjson"),
    "Schedule": Schedule,
    "Milestones": partial(Milestones, 1, 500, 2000),
    "FinalOnly": FinalOnly,
    "any_of": lambda: any_of(WholeLine(), TimeSize(1.0)),
    "bounded": lambda: bounded(Sentence(), max_latency=1.0, min_interval=0.6),
    "then": lambda: then(TimeSize(), 5, Schedule([2.0])),
    "switch": lambda: switch(partial(next, _watched(300)), watched=TimeSize(), away=FinalOnly()),
}


def _watched(deltas: int) -> Iterator[str]:
    """For so many deltas somebody looks at the phone, then nobody does."""
    return chain(repeat("watched", deltas), repeat("away"))


@frozen
class Limits:
    """A budget: a device's, a credential's, or none."""

    profile: Profile | None = None
    credential: Rate | None = None


BUDGETS = {
    "none": Limits(),
    "android": Limits(ANDROID_FOREGROUND),
    "genesys": Limits(credential=GENESYS),
    "apns_alert": Limits(APNS_ALERT),
    "live_activity": Limits(LIVE_ACTIVITY),
}

SHAPES: dict[str, Callable[[str, float], Trace]] = {
    "reply": lambda kind, rate: [reply(kind, count=600, rate=rate)],
    "stream": lambda kind, rate: [reply(kind, count=round(600 * rate), rate=rate)],
    "hour": lambda kind, rate: conversation(kind, seconds=3600.0, rate=rate),
}


def lines_of(trace: Trace, strategy: str, limits: Limits, *, round_trip: float = 0.05) -> list[Line]:
    """Relay a trace by a strategy, within limits."""
    ledger = Ledger(limits.credential)
    device = None if limits.profile is None else limits.profile.device

    def make() -> tuple[Coalescer, Account | None]:
        account = None if limits == Limits() else Budget(ledger, ["device"], device)
        return dispatcher(limits.profile, account) if strategy == DEFAULT else (STRATEGIES[strategy](), account)

    return relayed(trace, make, round_trip=round_trip)


HEADER = ("strategy", "pushes", "max/60 s", "max/h", "first", "mean", "p95", "optimum")


def table(rows: Sequence[tuple[str, Figures]]) -> str:
    """The rows in Markdown."""
    cells = [
        (
            f"`{name}`" if name != DEFAULT else "the default",
            str(of.pushes),
            str(of.peak_minute),
            str(of.peak_hour),
            *(f"{seconds:.2f}" for seconds in (of.first, of.mean, of.p95)),
            "–" if of.ratio is None else f"× {of.ratio:.2f}",
        )
        for name, of in rows
    ]
    widths = [max(len(row[column]) for row in (HEADER, *cells)) for column in range(len(HEADER))]

    def line(row: Sequence[str]) -> str:
        padded = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        return f"| {' | '.join(padded)} |"

    ruler = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(HEADER), line(ruler), *map(line, cells)])


def measured(trace: Trace, strategies: Sequence[str], limits: Limits) -> Iterator[tuple[str, Figures]]:
    """The figures of some strategies."""
    for strategy in strategies:
        yield strategy, figures(lines_of(trace, strategy, limits))


# The picture: a row for each strategy, a stroke for each push, as tall as its text is long.

WIDTH, LEFT, RIGHT, ROW, TOP = 760, 124, 16, 34, 40
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#57606a}.t{font-weight:600;fill:#24292f}"
    ".a{stroke:#8c959f}.p{stroke:#0969da;stroke-width:2}.d{stroke:#bf3989}.g{stroke:#d0d7de}"
    "@media(prefers-color-scheme:dark){text{fill:#8b949e}.t{fill:#e6edf3}.p{stroke:#58a6ff}.d{stroke:#f778ba}"
    ".g{stroke:#30363d}}"
)


def picture(trace: Trace, strategies: Sequence[str], limits: Limits) -> str:
    """Draw what is sent when."""
    drawn = {strategy: lines_of(trace, strategy, limits) for strategy in strategies}
    end = max(at for lines in drawn.values() for line in lines for at, _ in line.sent) or 1.0
    scale = (WIDTH - LEFT - RIGHT) / end
    height = TOP + ROW * (len(drawn) + 1) + 24

    def stroke(at: float, base: float, size: float, kind: str) -> str:
        x = LEFT + at * scale
        return f'<path class="{kind}" d="M{x:.1f} {base:.1f}v-{size:.1f}"/>'

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>Pushes of each strategy for the same reply</title>",
        f"<style>{STYLE}</style>",
        f'<text x="{LEFT}" y="18">a stroke is a push, as tall as its text is long</text>',
    ]
    base = float(TOP + ROW - 8)
    out.append(f'<text class="t" x="8" y="{base - 6:.0f}">tokens</text>')
    out += [stroke(at, base, 8, "a") for said in trace for at, _ in said]
    for strategy, lines in drawn.items():
        base += ROW
        sent = [(at, len(batch.text)) for line in lines for at, batch in line.sent]
        kind = "p d" if strategy == DEFAULT else "p"
        name = "the default" if strategy == DEFAULT else strategy
        out.append(f'<path class="g" d="M{LEFT} {base:.0f}H{WIDTH - RIGHT}"/>')
        out.append(f'<text class="t" x="8" y="{base - 12:.0f}">{escape(name)}</text>')
        out.append(f'<text x="8" y="{base + 2:.0f}">{len(sent)} pushes</text>')
        out += [stroke(at, base, min(ROW - 8.0, 2 + (size**0.5) * 0.9), kind) for at, size in sent]
    for second in range(int(end) + 1):
        out.append(f'<text x="{LEFT + second * scale:.0f}" y="{height - 6}">{second} s</text>')
    return "\n".join([*out, "</svg>", ""])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trace", action="append", choices=[*KINDS, "all"], help="how the tokens come (steady)")
    parser.add_argument("--file", action="append", type=Path, default=[], help="a recorded trace: .csv, or JSON lines")
    parser.add_argument("--shape", choices=SHAPES, default="reply", help="600 tokens; ten minutes; replies for an hour")
    parser.add_argument("--rate", type=float, default=80.0, help="tokens a second (%(default)s)")
    parser.add_argument("--budget", action="append", choices=[*BUDGETS, "all"], help="which limits (none, android)")
    parser.add_argument("--strategy", action="append", choices=[DEFAULT, *STRATEGIES], help="which strategies (all)")
    parser.add_argument("--svg", type=Path, help="draw the first trace under the first budget into this file")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    kinds = list(KINDS) if "all" in (args.trace or ()) else args.trace or ([] if args.file else ["steady"])
    traces = {f"{kind}, {args.shape}, {args.rate:g} tokens/s": SHAPES[args.shape](kind, args.rate) for kind in kinds}
    traces |= {path.name: recorded(path) for path in args.file}
    budgets = list(BUDGETS) if "all" in (args.budget or ()) else args.budget or ["none", "android"]
    strategies = args.strategy or [DEFAULT, *STRATEGIES]
    if args.svg:
        args.svg.write_text(picture(next(iter(traces.values())), strategies, BUDGETS[budgets[0]]), encoding="utf-8")
        return
    for name, trace in traces.items():
        for budget in budgets:
            print(f"{name}, budget: {budget}\n")
            print(table(list(measured(trace, strategies, BUDGETS[budget]))), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
