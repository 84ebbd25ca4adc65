"""Everything that is measured, side by side: each client in a process of its own, and the server in another.

The clients of a scenario take turns within one run, so that a busy machine hurts all of them alike, and what is
compared are medians of CPU time; only ratios mean something on another machine.
With `--write` the tables and plots of docs/performance.md are made anew.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

from import_time import seconds_to_import
from linear import per_byte
from report import Figure, markdown, write

HERE = Path(__file__).parent
FEWEST_RUNS = 5

Client = tuple[str, str]  # the module's name after "client_", and the transport
BARE, SSE, OURS_, OPENAI, FLOOR, OLD = "bare", "httpx_sse", "ours", "openai", "floor", "old"
NAMES = {
    BARE: "bare httpx",
    SSE: "httpx-sse",
    OURS_: "genesys-stream",
    OPENAI: "openai",
    FLOOR: "raw floor",
    OLD: "the version before",
}
INTERPRETERS = {OLD: sys.executable}  # that of --against
# In small processes glibc gives asyncio's receive buffers back after each read; not so with these.
MALLOC = {
    "MALLOC_TOP_PAD_": "4194304",
    "MALLOC_TRIM_THRESHOLD_": "16777216",
    "MALLOC_MMAP_THRESHOLD_": "4194304",
}


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, help=f"runs per client (default: {FEWEST_RUNS}, or 3 if --quick)")
    alone = {"relays": headline, "late": lateness, "idle": memory, "linear": linear, "import": imports}
    parser.add_argument("--only", nargs="+", choices=[*alone, *everything], help="scenarios to run")
    parser.add_argument("--quick", action="store_true", help="fewer tokens, runs and clients, while one develops")
    parser.add_argument("--relays", type=int, default=100, help="relays at once (default: %(default)s)")
    parser.add_argument("--clients", nargs="+", metavar="KIND:TRANSPORT", help="whose relays, such as ours:aiohttp")
    parser.add_argument("--against", metavar="PYTHON", help="an interpreter with another version of the library")
    parser.add_argument("--streams", type=int, default=200, help="paced streams at once (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long they last (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md and its plots")
    args = parser.parse_args()
    args.runs = args.runs or (3 if args.quick else FEWEST_RUNS)
    if args.against:
        INTERPRETERS[OLD] = args.against
    chosen = args.only or [*alone, *everything]

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
            done(figure_of(args))


def headline(args: argparse.Namespace) -> Figure:
    clients = QUICK if args.quick else CLIENTS
    if args.clients:
        clients = [client_of(name) for name in args.clients]
    if args.against:
        clients = [*clients, (OLD, "httpx"), (OLD, "aiohttp")]
    return relays(clients, args.relays, 60 if args.quick else 100, args.runs)


QUICK: list[Client] = [(OURS_, "httpx"), (OURS_, "aiohttp"), (OPENAI, "aiohttp"), (FLOOR, "asyncio")]
CLIENTS: list[Client] = [*QUICK[:2], (OPENAI, "httpx"), *QUICK[2:], (FLOOR, "uvloop")]


def client_of(name: str) -> Client:
    kind, _, transport = name.partition(":")
    return kind, transport


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
                show_progress(scenario, turn, runs, client)
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
    usual = transport in {"httpx", "asyncio"}
    return NAMES[module] + (f", {function}" if function else "") + ("" if usual else f" ({transport})")


def show_progress(scenario: Scenario, turn: int, runs: int, client: Client, found: object = "") -> None:
    print(f"\r{scenario.title}: {turn + 1}/{runs} {client} {found}\033[K", end="", file=sys.stderr, flush=True)


@contextmanager
def server(scenario: Scenario) -> Iterator[tuple[Any, dict[str, str]]]:
    if scenario.tokens is None:
        yield None, {}
        return
    with started("server.py", "--tokens", str(scenario.tokens), "--every", str(scenario.every)) as it:
        yield it


@contextmanager
def endpoints(scenario: Scenario) -> Iterator[tuple[Any, dict[str, str]]]:
    with started("endpoints.py", "--every", str(scenario.every)) as it:
        yield it


@contextmanager
def started(program: str, *arguments: str) -> Iterator[tuple[Any, dict[str, str]]]:
    command = [sys.executable, str(HERE / program), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        yield process, json.loads(process.stdout.readline())
        process.communicate()


def asked(process: Any, line: str = "\n") -> Any:
    """What the server answers to a line: how many connections it has had, or what became of the pushes."""
    if process is None:
        return 0
    process.stdin.write(line)
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def one(scenario: Scenario, client: Client, where: dict[str, str]) -> dict[str, Any]:
    kind, transport = client
    module, _, function = kind.partition(":")
    interpreter = INTERPRETERS.get(module, sys.executable)
    module = OURS_ if module == OLD else module
    command = [interpreter, str(HERE / f"client_{module}.py"), function or scenario.function]
    command += ["--count", str(scenario.count), "--transport", transport, "--tokens", str(scenario.tokens or 0)]
    for name, value in where.items():
        command += [f"--{name.replace('_', '-')}", value]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **MALLOC})
    result: dict[str, Any] = json.loads(done.stdout)
    said = scenario.of if scenario.unit == "event" else scenario.count
    if scenario.unit not in {"push", ""} and result["characters"] != said * len(" word"):
        sys.exit(f"{called(client)} read {result['characters']} characters of {said * len(' word')}")
    return result


@dataclass
class Load:
    """How relays of one client did, in medians.

    Attributes:
        cpu: µs of CPU per token.
        pushes: How many there were.
        p50: ms that the pushes came after they were due.
        p99: The same.
    """

    cpu: float
    pushes: float
    p50: float
    p99: float


def relayed(clients: list[Client], count: int, tokens: int, runs: int) -> dict[Client, Load]:
    """Let the clients take turns with so many relays at once of 20 tokens a second."""
    seen: dict[Client, list[Load]] = {client: [] for client in clients}
    scenario = Scenario(f"{count} relays", "relays", clients, count, count * tokens, "event", tokens, TOKEN_EVERY)
    with endpoints(scenario) as (process, where):
        for turn in range(runs):
            for client in clients:
                done = one(scenario, client, where)
                window = 0.0 if client[0] == OPENAI else WINDOW
                account = asked(process, f"{window}\n")
                cpu = done["cpu"] / scenario.of * 1e6
                seen[client].append(Load(cpu, account["pushes"], account["p50"], account["p99"]))
                show_progress(scenario, turn, runs, client, seen[client][-1])
    print("\r\033[K", end="", file=sys.stderr)
    return {
        client: Load(*(statistics.median(values) for values in zip(*map(astuple, loads), strict=True)))
        for client, loads in seen.items()
    }


TOKEN_EVERY, WINDOW = 0.05, 0.5


def relays(clients: list[Client], count: int, tokens: int, runs: int) -> Figure:
    loads = relayed(clients, count, tokens, runs)
    figure = Figure(f"{count} relays at once, 20 tokens a second each", "µs of CPU per token")
    for client, load in loads.items():
        name = called(client)
        figure.bar(name, load.cpu)
        figure.note(name, "relays per core", f"{1e6 * TOKEN_EVERY / load.cpu:,.0f}")
        figure.note(name, "pushes", f"{load.pushes:,.0f}")
        figure.note(name, "p50 / p99 lateness, ms", f"{load.p50:.1f} / {load.p99:.1f}")

    def target(what: str, ours: Client, other: Client, sign: str, bound: float) -> None:
        if {ours, other} <= loads.keys():
            figure.target(what, loads[ours].cpu / loads[other].cpu, sign, bound)

    target("over httpx / the version before", (OURS_, "httpx"), (OLD, "httpx"), "<=", 0.6)
    for kind, transport in clients:
        if kind == OURS_ and transport != "httpx":
            fast = OURS_, transport
            target(f"over {transport} / the version before over aiohttp", fast, (OLD, "aiohttp"), "<=", 0.65)
            target(f"over {transport} / raw floor", fast, (FLOOR, "asyncio"), "<=", 3.0)
            target(f"openai over aiohttp with its buffer / over {transport}", (OPENAI, "aiohttp"), fast, ">=", 3.0)
    for (kind, transport), load in loads.items():
        if kind == OURS_:
            figure.target(f"p99 lateness in ms over {transport}", load.p99, "<=", 25 if transport == "httpx" else 10)
    return figure


def lateness(args: argparse.Namespace) -> Figure:
    runs = args.runs
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


def memory(args: argparse.Namespace) -> Figure:
    runs = args.runs
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


def imports(args: argparse.Namespace) -> Figure:
    runs = args.runs
    medians = seconds_to_import(max(runs, 9))
    figure = Figure("Importing it", "ms")
    for name, seconds in medians.items():
        figure.bar(name, seconds * 1e3)
    ratio = medians["the library"] / medians["its dependencies"]
    figure.target("import genesys_stream / its dependencies' own", ratio, "<=", 1.3)
    return figure


def linear(args: argparse.Namespace) -> Figure:
    runs = args.runs
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
