"""Everything that is measured, side by side: each client in a process of its own, and the server in another.

The clients of a scenario take turns within one run, so that a busy machine hurts all of them alike, and what is
compared are medians of CPU time; only ratios mean something on another machine.

    python benchmarks/run.py                                  everything
    python benchmarks/run.py --only relays --quick            a hundred relays, in half a minute
    python benchmarks/run.py --only relays --against PYTHON   beside another version, installed for that interpreter
    python benchmarks/run.py --write                          and make the figures of docs/performance.md anew
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

from import_time import seconds_to_import
from linear import per_byte
from report import Curve, Figure, markdown, shown, write

HERE = Path(__file__).parent
FEWEST_RUNS = 5
FEW = 3  # where no ratio is promised
FEWEST_FOR_A_CURVE = 2  # whose points support each other

Client = tuple[str, str]  # the module's name after "client_", perhaps with ":" and a function's, and the transport
BARE, SSE, OURS_, OPENAI, FLOOR, OLD = "bare", "httpx_sse", "ours", "openai", "floor", "old"
NAMES = {
    BARE: "bare httpx",
    SSE: "httpx-sse",
    OURS_: "genesys-stream",
    OPENAI: "openai",
    FLOOR: "raw floor",
    OLD: "the version before",
    "bare:push_aiohttp": "bare aiohttp",
    "bare:blocking_reading": "bare httpx, read",
    "ours:blocking_reading": "genesys-stream, read",
    "ours:blocking": "genesys-stream, relayed and pushed",
    "ours:idle_relay": "genesys-stream, relayed",
}
TOKEN_EVERY, WINDOW = 0.05, 0.5
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


def scenarios() -> dict[str, Scenario]:
    h, a = "httpx", "aiohttp"
    fast, streams, tokens = 10_000, 100, 40
    return {
        "reading": Scenario(
            f"{streams} streams at 20 tokens a second, read, and relayed to a sink that does nothing",
            "paced",
            [*both(BARE, OURS_, OPENAI), ("ours:relayed", h), ("ours:relayed", a)],
            streams,
            streams * tokens,
            "token",
            tokens=tokens,
            every=TOKEN_EVERY,
            targets=[
                ("relay / reading", ("ours:relayed", h), (OURS_, h), "<=", 1.1),
                ("relay / reading, aiohttp", ("ours:relayed", a), (OURS_, a), "<=", 1.25),
                ("paced streams / bare httpx", (OURS_, h), (BARE, h), "<=", 1.1),
                ("paced streams, aiohttp / bare over aiohttp", (OURS_, a), (BARE, a), "<=", 1.1),
                ("openai / paced streams, aiohttp", (OPENAI, h), (OURS_, a), ">=", 3.5),
                ("openai over aiohttp / paced streams, aiohttp", (OPENAI, a), (OURS_, a), ">=", 2.5),
            ],
        ),
        "push": Scenario(
            "One push on a warm connection",
            "push",
            [*both(BARE, OURS_), ("bare:push_aiohttp", a)],
            1_000,
            1_000,
            "push",
            tokens=1,
            targets=[
                ("push / bare POST", (OURS_, h), (BARE, h), "<=", 1.1),
                ("push, aiohttp / bare aiohttp", (OURS_, a), ("bare:push_aiohttp", a), "<=", 1.5),
            ],
        ),
        "push-sync": Scenario(
            "One push on a warm connection, blocking",
            "push_sync",
            [(BARE, h), (OURS_, h)],
            1_000,
            1_000,
            "push",
            tokens=1,
            targets=[("push, sync / bare POST", (OURS_, h), (BARE, h), "<=", 1.15)],
        ),
        "blocking": Scenario(
            "20 blocking relays, each in a thread",
            "blocking",
            [("bare:blocking_reading", h), ("ours:blocking_reading", h), ("ours:blocking", h)],
            20,
            20 * tokens,
            "token",
            tokens=tokens,
            every=TOKEN_EVERY,
        ),
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


QUICK: list[Client] = [(OURS_, "httpx"), (OURS_, "aiohttp"), (OPENAI, "aiohttp"), (FLOOR, "asyncio")]
CLIENTS: list[Client] = [*QUICK[:2], (OPENAI, "httpx"), *QUICK[2:], (FLOOR, "uvloop")]


def main() -> None:
    usual = scenarios()
    others: dict[str, Callable[[argparse.Namespace], list[Figure | Curve]]] = {
        "relays": headline,
        "scale": scale,
        "full": full,
        "idle": memory,
        "import": imports,
        "linear": linear,
    }
    every = [*list(others)[:4], *usual, *list(others)[4:]]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, help=f"runs per client (default: {FEWEST_RUNS}, or 3 if --quick)")
    parser.add_argument("--only", nargs="+", choices=every, help="scenarios to run")
    parser.add_argument("--quick", action="store_true", help="fewer tokens, runs and clients, while one develops")
    parser.add_argument("--relays", type=int, default=100, help="relays at once (default: %(default)s)")
    parser.add_argument(
        "--clients", nargs="+", metavar="KIND:TRANSPORT", help="whose relays, such as ours:aiohttp openai:httpx"
    )
    parser.add_argument("--against", metavar="PYTHON", help="an interpreter with another version of the library")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md and its plots")
    args = parser.parse_args()
    args.runs = args.runs or (3 if args.quick else FEWEST_RUNS)
    args.loads = {}  # what a later scenario need not measure again
    args.clients = args.clients and [client_of(name) for name in args.clients]
    if args.against:
        INTERPRETERS[OLD] = args.against

    how = f"CPython {platform.python_version()}, {os.cpu_count()} cores, medians of {args.runs} runs"
    figures: list[Figure | Curve] = []
    for name in args.only or every:
        began = time.monotonic()
        found = (
            others[name](args) if name in others else [measured(usual[name], FEW if name == "blocking" else args.runs)]
        )
        for figure in found:
            print(markdown(figure), flush=True)
        print(f"{name} took {time.monotonic() - began:.0f} s", file=sys.stderr)
        figures += found
        if args.write:
            write(figures, how, whole=args.only is None and name == every[-1])


def client_of(name: str) -> Client:
    kind, _, transport = name.rpartition(":")
    return kind, transport


def headline(args: argparse.Namespace) -> list[Figure | Curve]:
    """So many relays at once, and how late their pushes come."""
    clients = args.clients or (QUICK if args.quick else CLIENTS)
    if args.against:
        clients = [*clients, (OLD, "httpx"), (OLD, "aiohttp")]
    loads = args.loads[args.relays] = relayed(clients, args.relays, 60, args.runs)
    cost = Figure(f"{args.relays} relays at once, 20 tokens a second each", "µs of CPU per token")
    late = Figure(f"How late the pushes of {args.relays} relays are", "ms, p99")
    for client, load in loads.items():
        name = called(client)
        cost.bar(name, load.cpu)
        cost.note(name, "relays per core", f"{1e6 * TOKEN_EVERY / load.cpu:,.0f}")
        cost.note(name, "pushes", f"{load.pushes:,.0f}")
        cost.note(name, "p50 / p99 late, ms", f"{load.p50:.1f} / {load.p99:.1f}")
        late.bar(name, load.p99)
        late.note(name, "p50", f"{load.p50:.1f}")

    def target(what: str, ours: Client, other: Client, sign: str, bound: float) -> None:
        if {ours, other} <= loads.keys():
            cost.target(what, loads[ours].cpu / loads[other].cpu, sign, bound)

    target("over httpx / the version before", (OURS_, "httpx"), (OLD, "httpx"), "<=", 0.6)
    for kind, transport in loads:
        if kind == OURS_ and transport != "httpx":
            fast = OURS_, transport
            target(f"over {transport} / the version before over aiohttp", fast, (OLD, "aiohttp"), "<=", 0.65)
            target(f"over {transport} / raw floor", fast, (FLOOR, "asyncio"), "<=", 3.0)
            target(f"openai over aiohttp with its buffer / over {transport}", (OPENAI, "aiohttp"), fast, ">=", 3.0)
    for (kind, transport), load in loads.items():
        if kind == OURS_:
            bound = 50 if args.relays > 100 else 25 if transport == "httpx" else 10
            late.target(f"p99 in ms over {transport}", load.p99, "<=", bound)
    cost.text = summary(loads)
    return [cost, late]


def summary(loads: dict[Client, Load]) -> str:
    fast, theirs, least = (OURS_, "aiohttp"), (OPENAI, "aiohttp"), (FLOOR, "asyncio")
    if not {fast, theirs, least} <= loads.keys():
        return ""
    cost = loads[fast].cpu
    return (
        f"Over aiohttp a token costs {shown(cost)} µs of CPU, its share of the pushes included, so that one core bears "
        f"{1e6 * TOKEN_EVERY / cost:,.0f} relays.\n"
        f"openai-python, with the buffer that its users write, costs {loads[theirs].cpu / cost:.1f} times as much, and "
        f"the least that can be had in Python {loads[least].cpu / cost:.2f} of it."
    )


def scale(args: argparse.Namespace) -> list[Figure | Curve]:
    """The same, from a few relays to many."""
    clients, sizes = args.clients or QUICK, [10, 50, 100, 200, 400]
    cost = Curve("From 10 relays to 400", "µs of CPU per token", "relays at once", sizes)
    late = Curve("How late the pushes of 10 to 400 relays are", "ms, p99", "relays at once", sizes)
    for size in sizes:
        tokens = 60 if size < 50 else 40
        loads = args.loads.get(size) or relayed(clients, size, tokens, min(args.runs, FEWEST_FOR_A_CURVE))
        if size == sizes[-1] and (fast := (OURS_, "aiohttp")) in loads:
            loads |= relayed([fast], size, tokens, args.runs)
            late.targets.append((f"p99 in ms of {size} relays over aiohttp", loads[fast].p99, "<=", 50))
        for client in clients:
            if client in loads:
                cost.lines.setdefault(called(client), []).append(loads[client].cpu)
                late.lines.setdefault(called(client), []).append(loads[client].p99)
    return [cost, late]


def full(args: argparse.Namespace) -> list[Figure | Curve]:
    """Pushes where as many streams are open as there may be connections."""
    figure = Figure("Pushes beside as many streams as there may be", "ms late, p99")
    clients: list[Client] = [("ours:full", "httpx"), ("ours:full", "aiohttp")]
    some, most = (relayed(clients, count, 30, min(args.runs, FEW)) for count in (90, 100))
    for client in clients:
        transport = client[1]
        figure.bar(f"90 of 100 streams, {transport}", some[client].p99)
        figure.bar(f"100 of 100 streams, {transport}", most[client].p99)
        figure.target(f"100 / 90 of 100, {transport}", most[client].p99 / some[client].p99, "<=", 2)
    return [figure]


def measured(scenario: Scenario, runs: int) -> Figure:
    """Let the clients take turns."""
    cpu: dict[Client, list[float]] = {client: [] for client in scenario.clients}
    peaks: dict[Client, list[float]] = {client: [] for client in scenario.clients}
    connections: dict[Client, int] = {}
    with server(scenario) as (process, where):
        for turn in range(runs):
            for client in scenario.clients:
                before = asked(process) if scenario.function == "row" else 0
                result = one(scenario, client, where)
                connections[client] = asked(process) - before if scenario.function == "row" else 0
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
        peak, least = (statistics.median(peaks[kind, "httpx"]) for kind in (OURS_, BARE))
        figure.target(f"peak RSS after {scenario.count} streams / bare httpx", peak / least, "<=", 1.15)
    if scenario.function == "row":
        for client in scenario.clients:
            figure.note(called(client), "connections", str(connections[client]))
        figure.target(f"connections for {scenario.count} streams", connections[OURS_, "httpx"], "<=", 1)
    return figure


def called(client: Client) -> str:
    kind, transport = client
    module, _, function = kind.partition(":")
    name = NAMES.get(kind) or f"{NAMES[module]}, {function}"
    return name + ("" if transport in {"httpx", "asyncio"} or transport in name else f" ({transport})")


def show_progress(scenario: Scenario, turn: int, runs: int, client: Client, found: object = "") -> None:
    print(f"\r{scenario.title}: {turn + 1}/{runs} {client} {found}\033[K", end="", file=sys.stderr, flush=True)


@contextmanager
def server(scenario: Scenario) -> Iterator[tuple[Any, dict[str, str]]]:
    """Start what a scenario needs; returns its process, and where it is."""
    if scenario.tokens is None:
        yield None, {}
        return
    light = scenario.every or scenario.unit == "push"
    with started("endpoints.py" if light else "server.py", scenario) as it:
        yield it


@contextmanager
def started(program: str, scenario: Scenario) -> Iterator[tuple[Any, dict[str, str]]]:
    command = [sys.executable, str(HERE / program)]
    command += ["--tokens", str(scenario.tokens), "--every", str(scenario.every)]
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
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment(scenario))
    result: dict[str, Any] = json.loads(done.stdout)
    said = scenario.of if scenario.unit in {"event", "token"} else scenario.count
    if scenario.unit not in {"push", ""} and result["characters"] != said * len(" word"):
        sys.exit(f"{called(client)} read {result['characters']} characters of {said * len(' word')}")
    return result


def environment(scenario: Scenario) -> dict[str, str]:
    """The environment of a client; memory is measured as it is by default."""
    return {**os.environ} if scenario.function == "idle" else {**os.environ, **MALLOC}


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
    scenario = Scenario(f"{count} relays", "relays", clients, count, count * tokens, "token", tokens, TOKEN_EVERY)
    with server(scenario) as (process, where):
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


def memory(args: argparse.Namespace) -> list[Figure | Curve]:
    scenario = Scenario("A stream that is silent", "idle", [], 400, 400, "stream", tokens=2, every=60.0)
    clients = [*both(BARE, OURS_, "ours:idle_relay"), (OPENAI, "httpx"), (OPENAI, "aiohttp")]
    seen: dict[Client, list[float]] = {client: [] for client in clients}
    with server(scenario) as (_, where):
        for turn in range(min(args.runs, FEW)):
            for client in clients:
                seen[client].append(one(scenario, client, where)["found"]["KiB"])
                show_progress(scenario, turn, min(args.runs, FEW), client)
    print("\r\033[K", end="", file=sys.stderr)
    medians = {client: statistics.median(kib) for client, kib in seen.items()}
    figure = Figure(scenario.title, "KiB of memory")
    for client, kib in medians.items():
        figure.bar(called(client), kib)
    relay = medians["ours:idle_relay", "httpx"]
    figure.target("KiB of an idle relay over httpx", relay, "<=", 36)
    figure.target("KiB of an idle relay over aiohttp", medians["ours:idle_relay", "aiohttp"], "<=", 36)
    return [figure]


def imports(args: argparse.Namespace) -> list[Figure | Curve]:
    medians = seconds_to_import(max(args.runs, 9))
    figure = Figure("Importing it", "ms")
    for name, seconds in medians.items():
        figure.bar(name, seconds * 1e3)
    ratio = medians["the library"] / medians["its dependencies"]
    figure.target("import genesys_stream / its dependencies' own", ratio, "<=", 1.3)
    return [figure]


def linear(args: argparse.Namespace) -> list[Figure | Curve]:
    cases = per_byte(args.runs)
    ordinary = cases.pop("ordinary")
    figure = Figure("Decoding, per byte, in the worst shapes", "ns per byte")
    figure.bar("ordinary: events of 200 bytes in 16 KiB reads", ordinary)
    for name, cost in cases.items():
        figure.bar(name, cost)
    for name, cost in cases.items():
        figure.target(f"{name} / ordinary, per byte", cost / ordinary, "<=", 2)
    return [figure]


if __name__ == "__main__":
    main()
