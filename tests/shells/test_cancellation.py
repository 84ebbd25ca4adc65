"""Cancelled and abandoned: whatever is cut short, wherever, the pool has all its slots again and nobody complains."""

import asyncio
import contextlib
import gc
import os
import random
import subprocess
import sys
import textwrap
import threading

import anyio
import pytest
from tests.shells.worlds import ASK, our_threads, settle

from genesys_stream import GenesysStreamError, Retry, Timeouts, TimeSize, relay

SLOTS = 4
ROUNDS = 25
AT_ONCE = 8
WORDS = ["word "] * 8
PATIENT = Timeouts(pool=5)


async def a_stream(client):
    await client.completions.stream(**ASK).result()


async def a_left_stream(client):
    async for chunk in client.completions.stream(**ASK):
        if chunk.text:
            break


async def a_relay(client):
    sink = client.push.to("device")
    await relay(client.completions.stream(**ASK), sink, coalescer=TimeSize(0.005, 20), grace=0.02)


async def a_push(client):
    await client.push.send(["device"], "t", "b")


async def a_completion(client):
    await client.completions.create(**ASK)


ERRANDS = [a_stream, a_left_stream, a_relay, a_push, a_completion]


async def natively(work, delay):
    """Cancel by asyncio's own means."""
    task = asyncio.ensure_future(work)
    await asyncio.sleep(delay)
    task.cancel()
    await asyncio.wait([task])
    return task.cancelled()


async def three_times(work, delay):
    """Cancel by asyncio's own means, and again while the first cancellation is being dealt with."""
    task = asyncio.ensure_future(work)
    await asyncio.sleep(delay)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.wait([task])
    return task.cancelled()


async def by_scope(work, delay):
    """Cancel through a scope, from another task."""
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:

            async def cancel():
                await anyio.sleep(delay)
                scope.cancel()

            group.start_soon(cancel)
            await work
            group.cancel_scope.cancel()
    return scope.cancelled_caught


async def by_deadline(work, delay):
    """Cancel through a scope's deadline."""
    with anyio.move_on_after(delay) as scope:
        await work
    return scope.cancelled_caught


async def by_timeout(work, delay):
    """Cancel as `asyncio.timeout` does."""
    try:
        async with asyncio.timeout(delay):
            await work
    except TimeoutError:
        return True
    return False


async def by_group(work, delay):
    """Cancel as `asyncio.TaskGroup` does, when another of its tasks fails."""

    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work)
            await asyncio.sleep(delay)
            if not task.done():
                raise ZeroDivisionError
    except Exception as group:  # noqa: BLE001 - an ExceptionGroup, whose name Python 3.10 does not know
        return isinstance(group.exceptions[0], ZeroDivisionError)
    return False


WAYS = [
    pytest.param("asyncio", natively, id="asyncio-natively"),
    pytest.param("asyncio", three_times, id="asyncio-three_times"),
    pytest.param("asyncio", by_scope, id="asyncio-by_scope"),
    pytest.param("asyncio", by_deadline, id="asyncio-by_deadline"),
    pytest.param("asyncio", by_timeout, id="asyncio-by_timeout"),
    pytest.param("asyncio", by_group, id="asyncio-by_group"),
    pytest.param("trio", by_scope, id="trio-by_scope"),
    pytest.param("trio", by_deadline, id="trio-by_deadline"),
]
# With the other HTTP library the ways that leave sockets behind if nobody takes care.
CUT_SHORT = [pytest.param(*way.values, "httpx", id=way.id) for way in WAYS] + [
    pytest.param("asyncio", three_times, "httpx2", id="httpx2-asyncio-three_times"),
    pytest.param("asyncio", by_timeout, "httpx2", id="httpx2-asyncio-by_timeout"),
    pytest.param("trio", by_scope, "httpx2", id="httpx2-trio-by_scope"),
]


@pytest.fixture
def way(request):
    return request.param


class TestCancellation:
    @pytest.mark.parametrize(("loop_world", "way", "transport"), CUT_SHORT, indirect=["loop_world", "way"])
    async def test_at_any_point(self, loop_world, way, transport, fake, server):
        """Two hundred errands are cancelled at random moments; then as many as there are slots succeed at once."""
        fake.completions.say(WORDS, every=0.002, first_after=0.003, headers_after=0.002, times=None)
        fake.push.late(0.002, times=None)
        dice = random.Random(f"{loop_world} {way.__name__}")
        before = set(threading.enumerate())
        cancelled = []

        async with loop_world.client(server, max_connections=SLOTS, timeouts=PATIENT, transport=transport) as client:

            async def one(work, delay):
                cancelled.append(await way(work(client), delay))

            for _ in range(ROUNDS):
                pairs = [(dice.choice(ERRANDS), dice.random() ** 2 * 0.15) for _ in range(AT_ONCE)]
                async with anyio.create_task_group() as group:
                    for pair in pairs:
                        group.start_soon(one, *pair)
                # Now and then with connections in the pool, now and then with none.
                if dice.random() < 0.3:
                    server.drop_connections()

            quick = client.with_options(timeouts=Timeouts(pool=2), retry=Retry(attempts=2))
            await loop_world.together(*[lambda: a_stream(quick)] * SLOTS * 2)
            if loop_world.name == "asyncio":
                await loop_world.until(lambda: len(asyncio.all_tasks()) == 1)
            assert fake.open_connections <= 2 * SLOTS, "of each pool"
        assert len(cancelled) == ROUNDS * AT_ONCE
        assert cancelled.count(True) > ROUNDS
        assert cancelled.count(False) > 0
        gc.collect()
        assert set(threading.enumerate()) <= before

    async def test_while_nobody_answers(self, loop_world, fake, server):
        """A request that is cancelled while its server is silent gives its slot back at once, not when it answers."""
        fake.completions.say(WORDS, headers_after=60, times=SLOTS)
        fake.completions.say(WORDS)
        options = {"max_connections": SLOTS, "timeouts": Timeouts(pool=3), "retry": Retry(attempts=1)}
        async with loop_world.client(server, **options) as client:
            for _ in range(SLOTS):
                with anyio.move_on_after(0.1) as scope:
                    await a_stream(client)
                assert scope.cancelled_caught
            await a_stream(client)

    async def test_closing_a_client_that_is_opening_streams(self, loop_world, fake, server):
        """Who opens a stream of a client that another task closes is told so, and is not cancelled."""
        fake.completions.say(WORDS, headers_after=60)
        errors = []
        client = loop_world.client(server, retry=Retry(attempts=1))

        async def read():
            try:
                await a_stream(client)
            except GenesysStreamError as error:
                errors.append(error)

        async def close():
            await loop_world.until(lambda: fake.completions.requests)
            await client.aclose()

        await loop_world.together(read, close)
        assert len(errors) == 1

    async def test_closing_a_client_that_is_about_to_send(self, loop_world, server):
        """Neither waits for the other when a client is closed before the task that sends has taken its first step."""
        for turns in range(6):
            client = loop_world.client(server, retry=Retry(attempts=1), access_token="token")

            async def send(client=client):
                with contextlib.suppress(GenesysStreamError):
                    await a_push(client)

            async def close(turns=turns, client=client):
                for _ in range(turns):
                    await anyio.sleep(0)
                await client.aclose()

            with anyio.fail_after(60):
                await loop_world.together(send, close)

    async def test_waiting_for_a_slot(self, loop_world, fake, server):
        """A cancellation while all slots are taken takes none."""
        fake.completions.stall(60, after_events=3, text=WORDS)
        fake.completions.say(WORDS)
        async with loop_world.client(server, max_connections=1, timeouts=PATIENT) as client:
            async with client.completions.stream(**ASK) as stream:
                await anext(stream)
                for _ in range(20):
                    with anyio.move_on_after(0.005):
                        await a_stream(client)
            await a_stream(client)


def python(code, *flags):
    """Run a program; returns what it said on stdout, after checking that it said nothing on stderr."""
    code = "from genesys_stream import *\nfrom genesys_stream.testing import *\n" + textwrap.dedent(code)
    run = [sys.executable, *flags, "-c", code]
    done = subprocess.run(
        run, check=False, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


SERVED = """
import asyncio, gc, os, sys, threading, time, trio
fake = FakeGenesys()
fake.completions.stall(60, after_events=3, text=["a", "b", "c"], times=None)
server = fake.serve().start()
options = fake.client_options(server.base_url)
ask = dict(model="m", messages=[{"role": "user", "content": "Hi"}])
"""


class TestTheEnd:
    """What happens to streams that nobody closes when everything else ends."""

    def test_interpreter_exits_with_a_stream_open(self):
        """A program that just ends says nothing of the stream that it left open."""
        code = """
        client = Client(**options)
        stream = client.completions.stream(**ask)
        print(next(stream).text, next(stream).text)
        """
        assert python(SERVED + textwrap.dedent(code)) == " a\n"

    @pytest.mark.parametrize("world", ["asyncio.run(main())", "trio.run(main)"])
    @pytest.mark.parametrize("held", ["kept.append(stream)", "pass"], ids=["held", "dropped"])
    def test_event_loop_ends_with_a_stream_open(self, world, held):
        """An event loop that ends takes its streams with it, whether the program holds them or not."""
        code = f"""
        kept = []
        async def main():
            client = AsyncClient(**options)
            stream = client.completions.stream(**ask)
            async for chunk in stream:
                if chunk.text:
                    print(chunk.text)
                    {held}
                    kept.append(stream.__aiter__()) if kept else None
                    break
            second = client.completions.stream(**ask)
            await second.__anext__()
            kept.append(second) if kept else None
        {world}
        gc.collect()
        kept.clear()
        gc.collect()
        """
        assert python(SERVED + textwrap.dedent(code)) == "a\n"

    def test_event_loop_that_is_closed_by_hand(self):
        """The same for a loop that does not even close its generators."""
        code = """
        async def main():
            client = AsyncClient(**options)
            stream = client.completions.stream(**ask)
            print((await stream.__anext__()).text, (await stream.__anext__()).text)
            return client, stream
        loop = asyncio.new_event_loop()
        kept = loop.run_until_complete(main())
        loop.close()
        del kept
        gc.collect()
        """
        assert python(SERVED + textwrap.dedent(code)) == " a\n"

    def test_one_client_on_one_loop_after_the_other(self):
        """A client whose first loop has ended can be closed on the next."""
        code = """
        client = AsyncClient(**options)
        async def main():
            stream = client.completions.stream(**ask)
            return (await stream.__anext__()).text
        print(repr(asyncio.run(main())))
        asyncio.run(client.aclose())
        """
        assert python(SERVED + textwrap.dedent(code)) == "''\n"

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_fork(self):
        """A forked child uses a client that was in use, without disturbing its parent."""
        code = """
        import warnings
        warnings.simplefilter("ignore")
        client = Client(**options, timeouts=Timeouts(token_idle=0.3))
        fake.completions.clear()
        fake.completions.say(["a", "b"], times=None)
        fake.completions.queue
        assert client.completions.stream(**ask).result().text == "ab"
        fake.completions.clear()
        fake.completions.stall(1.0, after_events=3, text=["a", "b", "c"], times=None)
        stream = client.with_options(timeouts=Timeouts()).completions.stream(**ask)
        next(stream), next(stream)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                client.completions.stream(**ask).result()
            except TokenIdleTimeout:
                code = 7
            del stream
            gc.collect()
            os._exit(code)
        rest = "".join(chunk.text for chunk in stream)
        print(rest, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """
        assert python(SERVED + textwrap.dedent(code)) == "bc 7\n"

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_fork_with_idle_connections(self):
        """Parent and child do not talk over one connection."""
        code = """
        import warnings
        warnings.simplefilter("ignore")
        client = Client(**options)
        fake.completions.clear()
        fake.completions.say(["a", "b"], every=0.005, times=None)
        client.completions.stream(**ask).result()
        before = fake.connections
        child = os.fork()
        for _ in range(10):
            assert client.completions.stream(**ask).result().text == "ab"
        if child == 0:
            os._exit(7)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(status, fake.connections - before)
        """
        assert python(SERVED + textwrap.dedent(code)) == "7 1\n"


def test_no_threads_are_left():
    """None of the tests above left a thread."""
    assert settle(lambda: not our_threads())
