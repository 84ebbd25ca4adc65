"""What every client's process does alike: find out what to run, warm up, count the CPU time, and tell the runner.

A client is a module with one function per scenario, sync or async, that is given a `Run`.
CPU time is user and system time of the client's process alone: the server is another process.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ASK: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say something."}]}
PUSH: dict[str, Any] = {
    "targets": ["fcm_device_token_abc123"],
    "title": "LLM Stream Update",
    "body": "Received 42 new tokens.",
    "data": {"llm_response": "All work and no play. " * 20, "chunk_id": "chunk_001"},
}
WORD = " word"
COMPLETIONS_PATH = "/v1/chat/completions"
PUSH_PATH = "/api/v2/notifications/push"

EVENT = (
    b'data: {"id":"chatcmpl-9f3","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o-2024-08-06",'
    b'"system_fingerprint":"fp_44709d6fcb","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,'
    b'"finish_reason":null}]}\n\n'
)
DONE = b"data: [DONE]\n\n"
READ = 16384
WARM_UP = "warm-up"  # how the devices of relays are called that are not counted
WARM = 100  # pushes before those that are counted, because Python itself is slower at first


@dataclass
class Run:
    """One run of a scenario.

    Attributes:
        base_url: Where the server is.
        token: A token that it accepts.
        transport: What the client sends its requests with, such as httpx or aiohttp.
        count: How many streams, pushes or events.
        tokens: How many tokens each relay's stream has.
        cpu: Seconds of CPU time, while it was counted.
        characters: How much was said, so that nobody is fast by losing something.
        found: What else was measured.
    """

    base_url: str
    token: str
    transport: str
    count: int
    tokens: int = 0
    cpu: float = 0.0
    characters: int = 0
    found: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count the CPU time of what is done inside."""
        began = time.process_time()
        try:
            yield
        finally:
            self.cpu += time.process_time() - began

    @property
    def bearer(self) -> dict[str, str]:
        """The headers of somebody with no client."""
        return {"Authorization": f"Bearer {self.token}"}

    def reads(self) -> list[bytes]:
        """The bytes of a stream of `count` events, as they would be read."""
        body = EVENT * self.count + DONE
        return [body[at : at + READ] for at in range(0, len(body), READ)]


def resident() -> float:
    """The memory that this process holds, in KiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1024


async def at_once(run: Run, one: Callable[[str], Awaitable[int]]) -> None:
    """Run `count` relays, which begin evenly over a second, or all their tokens would come at the same moments.

    Args:
        run: What is run; a few relays before are not counted.
        one: Runs one relay to a device that it is given, and returns how many characters were pushed.
    """

    async def later(device: str, after: float) -> int:
        await asyncio.sleep(after)
        return await one(device)

    async def wave(name: str, count: int, seconds: float) -> int:
        relays = (later(f"{name}-{number}", number / count * seconds) for number in range(count))
        return sum(await asyncio.gather(*relays))

    tokens, run.tokens = run.tokens, 10
    await wave(WARM_UP, 10, 0.2)
    run.tokens = tokens
    with run.counted():
        run.characters = await wave("device", run.count, 1.0)


def in_threads(run: Run, one: Callable[[str], int]) -> None:
    """The same for blocking relays, each in a thread of its own."""

    def wave(name: str, count: int, seconds: float) -> int:
        def later(number: int) -> int:
            time.sleep(number / count * seconds)
            return one(f"{name}-{number}")

        with ThreadPoolExecutor(count) as threads:
            return sum(threads.map(later, range(count)))

    tokens, run.tokens = run.tokens, 10
    wave(WARM_UP, 10, 0.2)
    run.tokens = tokens
    with run.counted():
        run.characters = wave("device", run.count, 1.0)


def loop_factory(transport: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if transport != "uvloop":
        return None
    import uvloop

    return uvloop.new_event_loop


def main(**scenarios: Callable[[Run], Any]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario", choices=scenarios)
    parser.add_argument("--base-url", default="")
    parser.add_argument("--token", default="")
    parser.add_argument("--transport", default="httpx")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--tokens", type=int, default=0)
    args = parser.parse_args()
    run = Run(args.base_url, args.token, args.transport, args.count, args.tokens)
    scenario = scenarios[args.scenario]
    if inspect.iscoroutinefunction(scenario):
        with asyncio.Runner(loop_factory=loop_factory(run.transport)) as runner:
            runner.run(scenario(run))
    else:
        scenario(run)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    json.dump({"cpu": run.cpu, "characters": run.characters, "peak": peak, "found": run.found}, sys.stdout)
