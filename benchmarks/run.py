"""Everything that is measured, side by side: each client in a process of its own, and the server in another.

The clients of a scenario take turns within one run, so that a busy machine hurts all of them alike, and what is
compared are medians of CPU time; only ratios mean something on another machine.
With `--write` the tables and plots of docs/performance.md are made anew.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from import_time import seconds_to_import
from linear import per_byte
from report import Figure, markdown, write

HERE = Path(__file__).parent
FEWEST_RUNS = 5

Client = tuple[str, str]  # the module's name after "client_", and the transport
BARE, SSE, OURS_, OPENAI = "bare", "httpx_sse", "ours", "openai"
NAMES = {BARE: "bare httpx", SSE: "httpx-sse", OURS_: "genesys-stream", OPENAI: "openai"}


@dataclass
class Scenario:
    """What is measured of several clients.

    Attributes:
        title: What it is called.
        function: The function of each client's module.
        clients: Who takes part.
        count: How many streams, pushes or events.
        of: How many units that makes; CPU time is shown for each.
        unit: What these are.
        tokens: What the server says, in how many tokens; None for no server.
        every: Seconds between two tokens.
        targets: What is promised of our own, as (the other client, "<=" or ">=", the ratio).
    """

    title: str
    function: str
    clients: list[Client]
    count: int
    of: int
    unit: str
    tokens: int | None = None
    every: float = 0.0
    targets: list[tuple[str, Client, Client, str, float]] = field(default_factory=list)


def both(*kinds: str) -> list[Client]:
    return [(kind, transport) for transport in ("httpx", "aiohttp") for kind in kinds]


def scenarios(streams: int, seconds: float) -> dict[str, Scenario]:
    h, a = "httpx", "aiohttp"
    fast, tokens = 20_000, int(seconds * 20)
    paced = streams * tokens
    return {
        "decode": Scenario(
            "Bytes to chunks, no network",
            "decode",
            [(BARE, h), (SSE, h), (OURS_, h), (OPENAI, h)],
            20_000,
            20_000,
            "event",
            targets=[
                ("bytes to chunk / split and json.loads", (OURS_, h), (BARE, h), "<=", 1.5),
                ("openai / bytes to chunk", (OPENAI, h), (OURS_, h), ">=", 20),
            ],
        ),
        "sync": Scenario(
            "One stream as fast as it comes, blocking",
            "sync",
            [(BARE, h), (SSE, h), (OURS_, h), (OPENAI, h)],
            1,
            fast,
            "event",
            tokens=fast,
            targets=[
                ("one stream, sync / bare httpx", (OURS_, h), (BARE, h), "<=", 1.2),
                ("openai / one stream, sync", (OPENAI, h), (OURS_, h), ">=", 5),
            ],
        ),
        "async": Scenario(
            "One stream as fast as it comes, async",
            "paced",
            both(BARE, SSE, OURS_, OPENAI),
            1,
            fast,
            "event",
            tokens=fast,
            targets=[
                ("one stream, async / bare httpx", (OURS_, h), (BARE, h), "<=", 1.2),
                ("one stream, aiohttp / bare over aiohttp", (OURS_, a), (BARE, a), "<=", 1.4),
                ("openai / one stream, async", (OPENAI, h), (OURS_, h), ">=", 5),
                ("openai / one stream, aiohttp", (OPENAI, h), (OURS_, a), ">=", 12),
            ],
        ),
        "paced": Scenario(
            f"{streams} streams at 20 events/s, read and relayed",
            "paced",
            [*both(BARE, SSE, OURS_, OPENAI), ("ours:relayed", h), ("ours:relayed", a)],
            streams,
            paced,
            "event",
            tokens=tokens,
            every=0.05,
            targets=[
                ("paced streams / bare httpx", (OURS_, h), (BARE, h), "<=", 1.1),
                ("paced streams, aiohttp / bare over aiohttp", (OURS_, a), (BARE, a), "<=", 1.1),
                ("openai / paced streams, aiohttp", (OPENAI, h), (OURS_, a), ">=", 3.5),
                ("openai over aiohttp / paced streams, aiohttp", (OPENAI, a), (OURS_, a), ">=", 2.5),
                ("relay / reading", ("ours:relayed", h), (OURS_, h), "<=", 1.15),
                ("relay / reading, aiohttp", ("ours:relayed", a), (OURS_, a), "<=", 1.15),
            ],
        ),
        "push": Scenario(
            "One push on a warm connection",
            "push",
            both(BARE, OURS_),
            2_000,
            2_000,
            "push",
            tokens=1,
            targets=[
                ("push / bare POST", (OURS_, h), (BARE, h), "<=", 1.15),
                ("push / bare POST, aiohttp", (OURS_, a), (BARE, a), "<=", 1.15),
            ],
        ),
        "push-sync": Scenario(
            "One push on a warm connection, blocking",
            "push_sync",
            [(BARE, h), (OURS_, h)],
            2_000,
            2_000,
            "push",
            tokens=1,
            targets=[("push, sync / bare POST", (OURS_, h), (BARE, h), "<=", 1.15)],
        ),
        "row": Scenario(
            "To the first token, 100 streams in a row",
            "row",
            both(BARE, OURS_, OPENAI),
            100,
            99,
            "stream",
            tokens=1,
            targets=[("openai / to the first token", (OPENAI, h), (OURS_, h), ">=", 1)],
        ),
    }


def main() -> None:
    everything = scenarios(200, 5)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=FEWEST_RUNS, help="runs per client (default: %(default)s)")
    alone = {"late": lateness, "idle": memory, "linear": linear, "import": imports}
    parser.add_argument("--only", nargs="+", choices=[*everything, *alone], help="scenarios to run")
    parser.add_argument("--streams", type=int, default=200, help="paced streams at once (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long they last (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md and its plots")
    args = parser.parse_args()
    chosen = args.only or [*everything, *alone]

    figures: list[Figure] = []

    def done(figure: Figure) -> None:
        print(markdown(figure), flush=True)
        figures.append(figure)
        if args.write:
            write(figures, f"CPython {platform.python_version()}, medians of {args.runs} runs each")

    for name, scenario in scenarios(args.streams, args.seconds).items():
        if name in chosen:
            done(measured(scenario, args.runs))
    for name, figure_of in alone.items():
        if name in chosen:
            done(figure_of(args.runs))


def measured(scenario: Scenario, runs: int) -> Figure:
    """Let the clients take turns; one more turn before is not counted."""
    cpu: dict[Client, list[float]] = {client: [] for client in scenario.clients}
    peaks: dict[Client, list[float]] = {client: [] for client in scenario.clients}
    connections: dict[Client, int] = {}
    with server(scenario) as (process, where):
        for turn in range(runs):
            for client in scenario.clients:
                before = asked(process)
                result = one(scenario, client, where)
                connections[client] = asked(process) - before
                cpu[client].append(result["cpu"])
                peaks[client].append(result["peak"])
                print(f"\r{scenario.title}: {turn + 1}/{runs} {client}\033[K", end="", file=sys.stderr, flush=True)
    print("\r\033[K", end="", file=sys.stderr)
    medians = {client: statistics.median(seconds) for client, seconds in cpu.items()}
    figure = Figure(scenario.title, f"µs of CPU per {scenario.unit}")
    for client, seconds in medians.items():
        figure.bar(called(client), seconds / scenario.of * 1e6)
        spread = (max(cpu[client]) - min(cpu[client])) / seconds
        figure.note(called(client), "spread", f"{spread:.0%}")
    for what, ours, other, sign, wanted in scenario.targets:
        figure.target(what, medians[ours] / medians[other], sign, wanted)
    if scenario.function == "paced" and scenario.count > 1:
        for client in scenario.clients:
            figure.note(called(client), "peak RSS", f"{statistics.median(peaks[client]) / 1024:.0f} MiB")
        ours, bare = (statistics.median(peaks[kind, "httpx"]) for kind in (OURS_, BARE))
        figure.target(f"peak RSS after {scenario.count} streams / bare httpx", ours / bare, "<=", 1.15)
    if scenario.function == "row":
        for client in scenario.clients:
            figure.note(called(client), "connections", str(connections[client]))
        figure.target(f"connections for {scenario.count} streams", connections[OURS_, "httpx"], "<=", 1)
    return figure


def called(client: Client) -> str:
    kind, transport = client
    module, _, function = kind.partition(":")
    return NAMES[module] + (f", {function}" if function else "") + (" (aiohttp)" if transport == "aiohttp" else "")


@contextmanager
def server(scenario: Scenario) -> Iterator[tuple[Any, dict[str, str]]]:
    if scenario.tokens is None:
        yield None, {}
        return
    command = [
        sys.executable,
        str(HERE / "server.py"),
        "--tokens",
        str(scenario.tokens),
        "--every",
        str(scenario.every),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        yield process, json.loads(process.stdout.readline())
        process.communicate()


def asked(process: Any) -> int:
    """How many connections the server has had."""
    if process is None:
        return 0
    process.stdin.write("\n")
    process.stdin.flush()
    return int(process.stdout.readline())


def one(scenario: Scenario, client: Client, where: dict[str, str]) -> dict[str, Any]:
    kind, transport = client
    module, _, function = kind.partition(":")
    command = [sys.executable, str(HERE / f"client_{module}.py"), function or scenario.function]
    command += ["--count", str(scenario.count), "--transport", transport]
    for name, value in where.items():
        command += [f"--{name.replace('_', '-')}", value]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    said = scenario.of if scenario.unit == "event" else scenario.count
    if scenario.unit not in {"push", ""} and result["characters"] != said * len(" word"):
        sys.exit(f"{called(client)} read {result['characters']} characters of {said * len(' word')}")
    return result


def lateness(runs: int) -> Figure:
    scenario = Scenario("How late a relay's pushes leave", "late", [], 100, 0, "", tokens=60, every=0.05)
    with server(scenario) as (_, where):
        seen: list[dict[str, float]] = [one(scenario, (OURS_, "httpx"), where)["found"] for _ in range(runs)]
    median = {name: statistics.median(found[name] for found in seen) for name in seen[0]}
    figure = Figure(scenario.title, "ms after they were due")
    for name in ("p50", "p95", "p99"):
        figure.bar(name, median[name])
        figure.note(name, "relays at once", f"{median['streams']:.0f}")
        figure.note(name, "of one core", f"{median['share']:.0%}")
    figure.target("p99 of the lateness in ms, at half of the load that one core carries", median["p99"], "<=", 20)
    return figure


def memory(runs: int) -> Figure:
    scenario = Scenario("A stream that is silent", "idle", [], 400, 400, "stream", tokens=2, every=60.0)
    clients: dict[str, Client] = {
        "bare httpx": (BARE, "httpx"),
        "genesys-stream": (OURS_, "httpx"),
        "genesys-stream, relayed": ("ours:idle_relay", "httpx"),
    }
    seen: dict[str, list[float]] = {name: [] for name in clients}
    with server(scenario) as (_, where):
        for _ in range(runs):
            for name, client in clients.items():
                seen[name].append(one(scenario, client, where)["found"]["KiB"])
    medians = {name: statistics.median(kib) for name, kib in seen.items()}
    figure = Figure(scenario.title, "KiB of memory")
    for name, kib in medians.items():
        figure.bar(name, kib)
    ratio = medians["genesys-stream, relayed"] / medians["bare httpx"]
    figure.target("an idle relay / an idle stream of bare httpx", ratio, "<=", 2.5)
    return figure


def imports(runs: int) -> Figure:
    medians = seconds_to_import(max(runs, 9))
    figure = Figure("Importing it", "ms")
    for name, seconds in medians.items():
        figure.bar(name, seconds * 1e3)
    ratio = medians["the library"] / medians["its dependencies"]
    figure.target("import genesys_stream / its dependencies' own", ratio, "<=", 1.3)
    return figure


def linear(runs: int) -> Figure:
    cases = per_byte(runs)
    ordinary = cases.pop("ordinary")
    figure = Figure("Decoding, per byte, in the worst shapes", "ns per byte")
    figure.bar("ordinary: events of 200 bytes in 16 KiB reads", ordinary)
    for name, cost in cases.items():
        figure.bar(name, cost)
    for name, cost in cases.items():
        figure.target(f"{name} / ordinary, per byte", cost / ordinary, "<=", 2)
    return figure


if __name__ == "__main__":
    main()
