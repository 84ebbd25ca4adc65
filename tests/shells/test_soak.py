"""The short soak: relays without end while requests go wrong at random; see benchmarks/soak.py for the long one."""

import asyncio
import gc
import importlib.util
import sys
from collections import Counter
from pathlib import Path

import anyio
import pytest

from genesys_stream import Retry

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"
RELAYS = 40


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # its dataclasses look it up there
    spec.loader.exec_module(module)
    return module


soak = load("soak", SOAK)


def ours():
    """How many objects of the library's classes there are."""
    gc.collect()
    return Counter(
        type(one).__qualname__ for one in gc.get_objects() if type(one).__module__.startswith("genesys_stream.")
    )


@pytest.fixture
def service():
    # Twice as many faults as in the long run, to see each of them.
    return soak.Service(seed=1, faults=0.1, tokens=(20, 40), every=0.03, expires_in=3)


@pytest.fixture
def fake(service):
    return service.fake


@pytest.mark.slow
async def test_no_text_is_lost_and_nothing_stays_behind(loop_world, service, server, record_property):
    """Each text is delivered or reported, and what a relay made is gone when it is over."""
    heart = soak.Heartbeat()
    retry = Retry(attempts=6, wait_initial=0.1, wait_max=0.5)
    options = {"push_rate": None, "retry": retry, "max_connections": 4 * RELAYS}

    async with loop_world.client(server, **options) as client:

        async def some(seconds):
            accounts = []
            async with anyio.create_task_group() as group:
                group.start_soon(heart.run)
                await soak.keep_relaying(client, RELAYS, seconds, 0.3, accounts.append)
                group.cancel_scope.cancel()
            service.judge(accounts)
            return len(accounts)

        done = await some(1.0)
        before, warm = ours(), soak.resident()
        done += await some(3.0)
        after, end = ours(), soak.resident()
        if loop_world.name == "asyncio":
            await loop_world.until(lambda: len(asyncio.all_tasks()) == 1)

    record_property("figures", {**service.verdicts, **service.injected, "heart": str(heart), "MiB": (warm, end)})
    assert service.wrong == []
    assert sum(service.verdicts.values()) == done > 2 * RELAYS
    assert set(service.verdicts) <= {
        "delivered exactly",
        "delivered exactly, then the error raised",
        "partly undelivered, and reported",
    }
    assert service.verdicts["delivered exactly"] > done / 2
    assert len(service.injected) >= 6, "not much went wrong"
    assert sum((after - before).values()) < RELAYS, after - before
    assert end - warm < 24
    assert heart.longest < 1.0
