"""Hundreds of relays for minutes, while one request in twenty goes wrong: is a text ever lost without a word?

The service is a FakeGenesys in a process of its own, which injects the faults and judges what came to the phone: it
knows what it said.
A third process runs nothing but a heartbeat, so that the noise of the machine is known.
The exit code is 1 if a text was lost without a word, or if something was left behind.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any, Self, TextIO

import anyio

from genesys_stream import AsyncClient, RelayReport, Retry, StreamAssembler, TimeSize, relay
from genesys_stream.testing import Answer, Cut, Drop, ErrorEvent, Fail, FakeGenesys, Handle, Say

ASK: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say something."}]}
BEAT = 0.005
BLOCKED = 0.05
# So impatient with pushes that now and then one is given up: that must be reported, too.
IMPATIENT = Retry(attempts=2, wait_initial=0.2, wait_max=1.0)
THROTTLED = Fail(400, "invalid_request", "rate limit exceeded; too many token requests")
UNAVAILABLE = Fail(503)
TOO_MANY = Fail(429, headers=(("Retry-After", "1"),))


# The service, and what the phone shows.


def token_of(number: int, index: int) -> str:
    """Make what completion `number` says as its delta `index`; it has a character of many bytes in any case."""
    return f"{number}.{index} é👩‍👧 "


@dataclass
class Service:
    """A fake that goes wrong at random, and the judge of what came of it.

    Attributes:
        seed: What the dice are thrown with.
        faults: Which part of the requests goes wrong.
        tokens: How many deltas a completion has, at least and at most.
        every: Seconds between two of them.
        expires_in: For how many seconds a token is good.
        fake: The fake.
        injected: How often what went wrong.
        verdicts: How many relays ended how.
        wrong: What was lost, or came otherwise than it was said, in words.
    """

    seed: int
    faults: float
    tokens: tuple[int, int] = (30, 60)
    every: float = 0.1
    expires_in: int = 20
    fake: FakeGenesys = field(init=False)
    injected: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    _said: dict[int, int] = field(default_factory=dict)  # completion to number of deltas that left
    _phones: dict[str, StreamAssembler] = field(default_factory=dict)
    _pieces: dict[str, dict[int, bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._dice = Random(self.seed)  # noqa: S311 - a run is to be had again
        self.fake = FakeGenesys(expires_in=self.expires_in)
        # Asked for each request, under the fake's own lock.
        self.fake.completions.next = self._completion
        self.fake.push.next = self._push
        self.fake.tokens.next = self._token

    def _wrong(self, *kinds: str) -> str:
        if self._dice.random() >= self.faults:
            return ""
        kind = self._dice.choice(kinds)
        self.injected[kind] += 1
        return kind

    def _completion(self) -> object:
        kind = self._wrong(
            "completion 503", "completion 429", "drop before headers", "drop in the middle", "error event"
        )
        if kind == "completion 503":
            return UNAVAILABLE
        if kind == "completion 429":
            return TOO_MANY
        if kind == "drop before headers":
            return Answer(before=(Drop(),))
        number, count = len(self._said), self._dice.randint(*self.tokens)
        after = self._dice.randint(1, count)  # events, of which the first has no text
        self._said[number] = count if not kind else after - 1
        faults: tuple[Any, ...] = ()
        if kind == "drop in the middle":
            faults = (Cut(after, self._dice.choice([None, "event", "character"])),)
        elif kind:
            error = {"message": "The server had an error.", "type": "server_error", "code": "internal.server.error"}
            faults = (ErrorEvent(after, error),)
        return Say(tuple(token_of(number, index) for index in range(count)), every=self.every, faults=faults)

    def _push(self) -> object:
        kind = self._wrong("push 429", "push 503", "lost answer", "late answer")
        fine = Handle()
        known = {"push 429": TOO_MANY, "push 503": UNAVAILABLE, "lost answer": Handle((Drop(),))}
        return Handle((self._dice.uniform(0.1, 2.0),)) if kind == "late answer" else known.get(kind, fine)

    def _token(self) -> object:
        # Few tokens are asked for; without this, none of these requests would go wrong.
        if self._dice.random() < min(0.5, self.faults * 6):
            self.injected["token throttled"] += 1
            return THROTTLED
        return Handle()

    def drain(self) -> None:
        """Hand what was pushed to the phones; the fake forgets it, and its request log."""
        app = self.fake._app
        with app.lock:
            pushes = list(app.pushes)
            app.pushes.clear()
            app.request_log.clear()
        for payload in pushes:
            data = payload["data"]
            stream_id = data["stream_id"]
            self._phones.setdefault(stream_id, StreamAssembler(stream_id)).receive(data)
            piece = data["llm_response"].encode()
            earlier = self._pieces.setdefault(stream_id, {}).setdefault(int(data["offset"]), piece)
            # The final payload may have no text of its own, and begin where the next would.
            if len(piece) > len(earlier):
                self._pieces[stream_id][int(data["offset"])] = piece

    def judge(self, accounts: Iterable[dict[str, Any]]) -> None:
        """Compare what the relays say with what was said and what came."""
        accounts = list(accounts)
        self.drain()
        for account in accounts:
            verdict, problem = self._judge(account)
            self.verdicts[verdict] += 1
            if problem:
                self.wrong.append(f"{problem}: {account}")

    def _judge(self, account: dict[str, Any]) -> tuple[str, str]:
        stream_id, text, state = account["id"], account["text"], account["state"]
        phone = self._phones.pop(stream_id, None) or StreamAssembler()
        pieces = self._pieces.pop(stream_id, {})
        if not stream_id:
            return "ended without a report", "an error has no report"
        said = ""
        if text:
            number = int(text.partition(".")[0])
            said = "".join(token_of(number, index) for index in range(self._said[number]))
        if text != said:
            return "lost without a word", f"{said!r} was said"
        if not account["undelivered"]:
            if phone.text != text or not phone.complete or phone.suspect or phone.state != state:
                return "lost without a word", f"the phone shows {phone.text!r}, {phone.state}"
            return ("delivered exactly" if state == "complete" else "delivered exactly, then the error raised"), ""
        covered = 0
        spans = [*pieces.items(), *((offset, piece.encode()) for offset, piece in account["undelivered"])]
        whole = text.encode()
        for offset, piece in sorted(spans):
            if offset > covered or whole[offset : offset + len(piece)] != piece:
                return "lost without a word", f"nobody tells of what is at {covered}"
            covered = max(covered, offset + len(piece))
        if covered < len(whole):
            return "lost without a word", f"nobody tells of what is at {covered}"
        return "partly undelivered, and reported", ""


# The client.


@dataclass
class Heartbeat:
    """A task that wakes up every 5 ms, and measures by how much it is late, and what kept the thread busy meanwhile.

    Attributes:
        longest: The longest delay, in seconds.
        busy: How much of that the thread spent on the CPU, and not waiting for one.
        busiest: The longest CPU time between two beats.
        beats: How many beats, by whole milliseconds of their delay.
    """

    longest: float = 0.0
    busy: float = 0.0
    busiest: float = 0.0
    beats: Counter[int] = field(default_factory=Counter)
    forgiven: bool = False  # the beat that is due will not count

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            due, cpu = time.monotonic() + BEAT, time.thread_time()
            await anyio.sleep(BEAT)
            late, busy = time.monotonic() - due, time.thread_time() - cpu
            if self.forgiven:
                self.forgiven = False
                continue
            self.beats[int(late * 1000)] += 1
            self.busiest = max(self.busiest, busy)
            if late > self.longest:
                self.longest, self.busy = late, busy

    def within(self, part: float) -> int:
        """Return how many milliseconds of delay this part of the beats stays within."""
        left = part * sum(self.beats.values())
        for late in sorted(self.beats):
            left -= self.beats[late]
            if left <= 0:
                return late + 1
        return 0

    def __str__(self) -> str:
        over = sum(count for late, count in self.beats.items() if late >= BLOCKED * 1000)
        return (
            f"longest {self.longest * 1000:.0f} ms, of which {self.busy * 1000:.0f} ms on the CPU; busiest beat"
            f" {self.busiest * 1000:.0f} ms; 99 % within {self.within(0.99)} ms, 99.9 % within {self.within(0.999)} ms;"
            f" {over} of {sum(self.beats.values())} beats late by more than {BLOCKED * 1000:.0f} ms"
        )


@dataclass
class Culprits:
    """What keeps the event loop busy: the longest callback, and the longest collection of garbage, in CPU time.

    Attributes:
        longest: Seconds that one callback took.
        name: Which.
        garbage: Seconds that one collection took.
        apart: Seconds of the present callback that are not its own.
    """

    longest: float = 0.0
    name: str = "none"
    garbage: float = 0.0
    apart: float = 0.0
    _began: float = 0.0

    def __enter__(self) -> Self:
        self._run = run = asyncio.Handle._run

        def timed(handle: asyncio.Handle) -> None:
            callback = handle._callback
            began, self.apart = time.thread_time(), 0.0
            run(handle)
            took = time.thread_time() - began - self.apart
            if took > self.longest:
                owner = getattr(callback, "__self__", callback)
                self.longest, self.name = took, repr(owner.get_coro() if isinstance(owner, asyncio.Task) else owner)

        asyncio.Handle._run = timed
        gc.callbacks.append(self._garbage)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.Handle._run = self._run
        gc.callbacks.remove(self._garbage)

    def _garbage(self, phase: str, _: object) -> None:
        if phase == "start":
            self._began = time.thread_time()
        else:
            took = time.thread_time() - self._began
            self.apart += took
            self.garbage = max(self.garbage, took)

    def __str__(self) -> str:
        return (
            f"longest callback, garbage apart, {self.longest * 1000:.0f} ms ({self.name});"
            f" longest collection of garbage {self.garbage * 1000:.0f} ms"
        )


def account_of(report: RelayReport | None) -> dict[str, Any]:
    """Say what a relay says, in values that JSON knows."""
    if report is None:
        return {"id": "", "text": "", "state": "", "undelivered": []}
    undelivered = [(missing.batch.offset, missing.text) for missing in report.undelivered]
    text = report.completion.text
    return {"id": report.stream_id, "text": text, "state": report.state, "undelivered": undelivered}


async def one_relay(client: AsyncClient, window: float) -> dict[str, Any]:
    """Relay one completion; whatever is raised must have a report."""
    sink = client.push.to("device", profile=None)
    try:
        report = await relay(
            client.completions.stream(**ASK), sink, coalescer=TimeSize(window, 2000), retry=IMPATIENT, give_up_after=5.0
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, it has a report, or is reported
        account = account_of(getattr(error, "report", None))
        return account if account["id"] else {**account, "error": repr(error)}
    return account_of(report)


async def keep_relaying(
    client: AsyncClient, relays: int, seconds: float, window: float, done: Callable[[dict[str, Any]], None]
) -> None:
    """Keep so many relays going, each replaced when it ends, until the time is over; then wait for the last."""
    until = time.monotonic() + seconds

    async def line(index: int) -> None:
        await anyio.sleep(min(2.0, seconds / 4) * index / relays)
        while time.monotonic() < until:
            done(await one_relay(client, window))

    async with anyio.create_task_group() as group:
        for index in range(relays):
            group.start_soon(line, index)


def resident() -> float:
    """Return how many MiB of memory this process has; 0 where nobody tells."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20
    except OSError:
        return 0.0


# The benchmark: three processes.


def serve(pipe: Connection, accounts: str, seed: int, faults: float) -> None:
    """Be the service; judge the accounts as they come."""
    service = Service(seed, faults)
    rest = ""
    with service.fake.serve() as server, Path(accounts).open(encoding="utf-8") as file:
        pipe.send(server.base_url)
        while True:
            asked = pipe.recv() if pipe.poll(0.25) else ""
            *lines, rest = (rest + file.read()).split("\n")
            service.judge(json.loads(line) for line in lines)
            if asked == "connections":
                pipe.send((service.fake.open_connections, service.fake.connections))
            elif asked:
                pipe.send((service.verdicts, service.injected, service.wrong))
                return


def idle(pipe: Connection) -> None:
    """Be an event loop with nothing to do but a heartbeat, until told to stop."""
    heart = Heartbeat()

    async def main() -> None:
        beating = asyncio.create_task(heart.run())
        await asyncio.to_thread(pipe.recv)
        beating.cancel()

    asyncio.run(main())
    pipe.send(str(heart))


@dataclass
class Figures:
    """What the client's process measured."""

    heart: Heartbeat = field(default_factory=Heartbeat)
    culprits: Culprits = field(default_factory=Culprits)
    memory: dict[str, float] = field(default_factory=dict)
    connections: dict[str, int] = field(default_factory=dict)
    made: int = 0
    tasks: list[str] = field(default_factory=list)
    cpu: float = 0.0

    def weigh(self, when: str) -> None:
        """Write down what memory is in use, without what is garbage; that it takes its time is nobody's fault."""
        self.heart.forgiven = True
        callbacks, gc.callbacks[:] = list(gc.callbacks), []
        began = time.thread_time()
        gc.collect()
        gc.callbacks[:] = callbacks
        self.culprits.apart += time.thread_time() - began
        self.memory[when] = resident()


async def soak(args: argparse.Namespace, base_url: str, service: Connection, accounts: TextIO) -> Figures:
    figures = Figures()
    heart = figures.heart

    async def connections() -> int:
        service.send("connections")
        now, figures.made = await asyncio.to_thread(service.recv)
        return now

    def done(account: dict[str, Any]) -> None:
        accounts.write(json.dumps(account) + "\n")

    async def watch() -> None:
        warm = min(60.0, args.seconds * 0.3)
        await asyncio.sleep(warm)
        figures.weigh("warm")
        await asyncio.sleep(args.seconds - warm)
        figures.weigh("end")
        figures.connections["under load"] = await connections()

    options = FakeGenesys().client_options(base_url)
    limit = max(1000, 3 * args.relays)
    async with AsyncClient(**options, push_rate=None, max_connections=limit, transport=args.transport) as client:
        # What is done once per process, such as late imports, is not the soak's business.
        done(await one_relay(client, args.window))
        gc.collect()
        with figures.culprits:
            beating = asyncio.create_task(heart.run())
            await asyncio.gather(watch(), keep_relaying(client, args.relays, args.seconds, args.window, done))
            beating.cancel()
        figures.connections["idle, client open"] = await connections()
        figures.tasks = [repr(task) for task in asyncio.all_tasks() - {asyncio.current_task(), beating}]
    await asyncio.sleep(0.1)
    figures.connections["client closed"] = await connections()
    figures.weigh("over")
    figures.cpu = time.process_time()
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--relays", type=int, default=300, help="how many at once")
    parser.add_argument("--seconds", type=float, default=300.0, help="for how long new ones begin")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=float, default=0.05, help="which part of the requests goes wrong")
    parser.add_argument("--window", type=float, default=1.0, help="for how many seconds text is gathered")
    parser.add_argument("--transport", choices=["httpx", "aiohttp"], default="httpx")
    args = parser.parse_args()

    spawn = multiprocessing.get_context("spawn")
    with tempfile.NamedTemporaryFile("w", buffering=1, encoding="utf-8", suffix=".jsonl") as accounts:
        service, its_end = spawn.Pipe()
        control, other_end = spawn.Pipe()
        children = [
            spawn.Process(target=serve, args=(its_end, accounts.name, args.seed, args.faults), daemon=True),
            spawn.Process(target=idle, args=(other_end,), daemon=True),
        ]
        for child in children:
            child.start()
        began = time.monotonic()
        figures = asyncio.run(soak(args, service.recv(), service, accounts.file))
        took = time.monotonic() - began
        service.send("end")
        verdicts, injected, wrong = service.recv()
        control.send("end")
        noise = control.recv()
        for child in children:
            child.join()

    memory, relays = figures.memory, sum(verdicts.values())
    print(f"{relays} relays in {took:.0f} s, {args.relays} at once, {args.transport}, seed {args.seed}")
    print(f"CPU: {figures.cpu / took:.0%} of one, {figures.cpu / max(1, relays) * 1000:.0f} ms per relay")
    for verdict, count in verdicts.most_common():
        print(f"  {count:6} {verdict}")
    print(
        f"faults: {sum(injected.values())} ({', '.join(f'{kind} {count}' for kind, count in injected.most_common())})"
    )
    print(
        f"memory: {memory['warm']:.1f} MiB warm, {memory['end']:.1f} at the end, {memory['over']:.1f} when all is over"
    )
    print(f"event loop: {figures.heart}")
    print(f"its callbacks: {figures.culprits}")
    print(f"idle control: {noise}")
    counts = ", ".join(f"{count} {when}" for when, count in figures.connections.items())
    print(f"connections: {counts}; {figures.made} made in all")
    print(f"tasks left: {len(figures.tasks)}")
    for line in [*wrong[:10], *figures.tasks[:10]]:
        print(line)
    return 1 if wrong or figures.tasks or figures.connections["client closed"] or not relays else 0


if __name__ == "__main__":
    sys.exit(main())
