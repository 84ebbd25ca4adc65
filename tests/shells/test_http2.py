"""Pushes over HTTP/2 through pyqwest under faults: nothing that was not processed is lost, and nothing is sent twice.

They pin what pyqwest does, so that an update of it cannot change it unseen.
"""

from __future__ import annotations

import asyncio
import collections
import multiprocessing
import os
import random

import anyio
import pytest
from tests.shells.worlds import WORLDS

pytest.importorskip("pyqwest", reason="the extra [apns] is not installed")
pytest.importorskip("h2", reason="h2 is not installed")

from genesys_stream import AmbiguousDelivery, Batch, ConnectFailed, StreamStateError, Timeouts, UsageError
from genesys_stream._http2 import scrubbed
from genesys_stream.apns import Apns, AsyncApns
from genesys_stream.testing import ApnsAnswer, Drop, FakeApns, GoAway, LimitStreams, NeverAnswer, RefuseStream

MANY = 1000
THREADS = 50
SLOW = ApnsAnswer(after=0.05)


@pytest.fixture(params=[*WORLDS])
def world(request):
    return WORLDS[request.param]


@pytest.fixture
def fake():
    return FakeApns()


@pytest.fixture
def server(fake):
    with fake.serve() as server:
        yield server


def service(world, fake, server, **options):
    cls = Apns if world.name == "sync" else AsyncApns
    return cls.from_p8(**{**fake.client_options(server), **options})


async def close(apns):
    if isinstance(apns, Apns):
        apns.close()
    else:
        await apns.aclose()


def batch(number):
    return Batch(f"text {number}", stream_id="stream", seq=number + 1)


async def push(sink, number):
    """Push once; returns the error, or None."""
    one = batch(number)
    try:
        sent = sink.send(sink.encode(one), one)
        if asyncio.iscoroutine(sent):
            await sent
    except Exception as error:  # noqa: BLE001 - the outcome
        return error
    return None


async def push_many(world, sink, count=MANY, at_once=None):
    """Push at the same time, from 50 threads where the world is blocking; returns the outcomes in order."""
    outcomes = [None] * count
    if world.name == "sync":

        async def share(first):
            for number in range(first, count, THREADS):
                outcomes[number] = await push(sink, number)

        await world.together(*(lambda first=first: share(first) for first in range(THREADS)))
        return outcomes
    limit = anyio.CapacityLimiter(at_once or count)

    async def one(number):
        async with limit:
            outcomes[number] = await push(sink, number)

    async with anyio.create_task_group() as group:
        for number in range(count):
            group.start_soon(one, number)
    return outcomes


def arrivals(fake):
    """How often each push arrived."""
    return collections.Counter(entry.headers["apns-id"] for entry in fake.request_log if entry.accepted)


def check_exactly_once(fake, outcomes):
    failed = collections.Counter(f"{type(error).__name__}: {error}" for error in outcomes if error is not None)
    assert not failed, failed
    counts = arrivals(fake)
    assert len(counts) == len(outcomes), f"{len(outcomes) - len(counts)} were lost"
    assert set(counts.values()) == {1}, f"{sum(count > 1 for count in counts.values())} came twice"


class TestFaults:
    async def test_no_fault(self, world, fake, server):
        """A thousand pushes at once, or from fifty threads, arrive once, over at most two connections."""
        apns = service(world, fake, server)

        outcomes = await push_many(world, apns.to("c0ffee"))
        await close(apns)

        check_exactly_once(fake, outcomes)
        assert fake.connections <= 2

    @pytest.mark.parametrize("two_steps", [False, True])
    async def test_graceful_goaway(self, world, fake, server, two_steps):
        """What came after the last stream of a GOAWAY is sent again on a new connection; the rest is answered."""
        fake.push.queue(SLOW, times=400)
        fake.push.queue(GoAway(two_steps))
        fake.push.queue(SLOW, times=None)
        apns = service(world, fake, server)

        outcomes = await push_many(world, apns.to("c0ffee"))
        await close(apns)

        check_exactly_once(fake, outcomes)

    async def test_goaway_with_a_limit_of_one_stream(self, world, fake, server):
        """Both at once lose nothing in silence, and send nothing twice.

        A push that waits in hyper at the moment when the connection ends is, rarely, told of as "dispatch task is
        gone", which does not say whether it was sent; so it is ambiguous.
        """
        fake.push.queue(ApnsAnswer(), times=50)
        fake.push.queue(LimitStreams(1))
        fake.push.queue(ApnsAnswer(), times=20)
        fake.push.queue(GoAway())
        apns = service(world, fake, server)

        outcomes = await push_many(world, apns.to("c0ffee"), 200)
        await close(apns)

        failed = [error for error in outcomes if error is not None]
        assert {type(error) for error in failed} <= {AmbiguousDelivery} and len(failed) <= 2
        assert set(arrivals(fake).values()) == {1} and len(arrivals(fake)) >= 200 - len(failed)

    async def test_refused_streams(self, world, fake, server):
        """Every hundredth stream is refused, and sent again."""
        for _ in range(MANY // 100):
            fake.push.queue(ApnsAnswer(after=0.02), times=99)
            fake.push.queue(RefuseStream())
        apns = service(world, fake, server)

        outcomes = await push_many(world, apns.to("c0ffee"))
        await close(apns)

        check_exactly_once(fake, outcomes)

    async def test_the_limit_is_lowered_to_one_stream(self, world, fake, server):
        """In flight are many, and from then on one at a time."""
        fake.push.queue(SLOW, times=100)
        fake.push.queue(LimitStreams(1))
        apns = service(world, fake, server)

        outcomes = await push_many(world, apns.to("c0ffee"))
        await close(apns)

        check_exactly_once(fake, outcomes)

    async def test_one_stream_at_the_start(self, world, fake, server):
        """As with Apple: a connection has one stream until its first token was found valid."""
        fake.first_streams = 1
        apns = service(world, fake, server)

        outcomes = await push_many(world, apns.to("c0ffee"))
        await close(apns)

        check_exactly_once(fake, outcomes)
        assert fake.connections <= 2

    async def test_a_stream_that_is_never_answered_harms_no_other(self, world, fake, server):
        """That push alone is ambiguous; all others arrive."""
        fake.push.queue(ApnsAnswer(), times=50)
        fake.push.queue(NeverAnswer())
        apns = service(world, fake, server, timeouts=Timeouts(push=1.0))
        sink = apns.to("c0ffee")

        outcomes = await push_many(world, sink, 300)
        again = [await push(sink, number) for number in range(300, 320)]
        await close(apns)

        failed = [error for error in outcomes if error is not None]
        assert [type(error) for error in failed] == [AmbiguousDelivery]
        assert set(arrivals(fake).values()) == {1} and len(arrivals(fake)) == 320
        assert again == [None] * 20
        assert fake.connections <= 2

    async def test_a_first_push_that_is_never_answered_harms_no_other(self, world, fake, server):
        """The others wait for it for a second, and go then."""
        fake.push.queue(NeverAnswer())
        apns = service(world, fake, server, timeouts=Timeouts(push=1.5))

        outcomes = await push_many(world, apns.to("c0ffee"), 200)
        await close(apns)

        assert [type(error) for error in outcomes if error is not None] == [AmbiguousDelivery]
        assert len(arrivals(fake)) == 200

    @pytest.mark.parametrize("reset", [False, True])
    async def test_an_abrupt_close_is_ambiguous(self, world, fake, server, reset):
        """What was in flight is reported as ambiguous and is not sent again; nothing is lost in silence."""
        fake.push.queue(SLOW, times=100)
        fake.push.queue(Drop(reset))
        apns = service(world, fake, server)

        outcomes = await push_many(world, apns.to("c0ffee"), 300)
        await close(apns)

        failed = [error for error in outcomes if error is not None]
        assert failed and {type(error) for error in failed} <= {AmbiguousDelivery, ConnectFailed}
        assert AmbiguousDelivery in {type(error) for error in failed}
        counts = arrivals(fake)
        assert set(counts.values()) == {1}
        assert len(counts) >= 300 - len(failed)

    async def test_a_frozen_connection_is_left(self, world, fake, server):
        """After three pushes without an answer the next one goes over a new connection."""
        fake.push.queue(ApnsAnswer())
        fake.push.queue(NeverAnswer(), times=3)
        apns = service(world, fake, server, timeouts=Timeouts(push=0.1))
        sink = apns.to("c0ffee")

        outcomes = [await push(sink, number) for number in range(5)]
        await close(apns)

        assert [type(error) for error in outcomes] == [type(None), *[AmbiguousDelivery] * 3, type(None)]
        assert [entry.connection for entry in fake.request_log] == [1, 1, 1, 1, 2]

    async def test_no_connection(self, world, fake):
        """Nothing was sent, and the error says so without the device token."""
        with fake.serve() as server:
            apns = service(world, fake, server)

        error = await push(apns.to("c0ffee"), 0)
        await close(apns)

        assert isinstance(error, ConnectFailed)
        assert "c0ffee" not in str(error) and "c0ffee" not in repr(error.__cause__) and error.__context__ is None

    async def test_closed(self, world, fake, server):
        """A client that was closed says so."""
        apns = service(world, fake, server)
        await close(apns)

        assert isinstance(await push(apns.to("c0ffee"), 0), StreamStateError)


class TestCancellation:
    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_random_cancellations(self, fake, server, backend):
        """A thousand pushes that are cancelled at any moment leave the connection as it was, and harm no other."""

        async def scenario():
            random.seed(1)
            apns = AsyncApns.from_p8(**fake.client_options(server))
            sink = apns.to("c0ffee")
            assert await push(sink, 0) is None

            async def cancelled(number):
                with anyio.move_on_after(random.random() * 0.3):
                    await push(sink, number)

            others = []

            async def undisturbed(number):
                others.append(await push(sink, number))

            async with anyio.create_task_group() as group:
                for number in range(1, 1001):
                    group.start_soon(cancelled, number)
                    if number % 10 == 0:
                        group.start_soon(undisturbed, 2000 + number)
            after = [await push(sink, 5000 + number) for number in range(10)]
            await apns.aclose()
            return others + after

        fake.push.queue(ApnsAnswer(after=0.1), times=None)

        assert anyio.run(scenario, backend=backend) == [None] * 110
        assert fake.connections <= 2

    def test_native_cancellation(self, fake, server):
        """A task.cancel() with a thousand pushes in flight resets that stream alone."""

        async def scenario():
            apns = AsyncApns.from_p8(**fake.client_options(server))
            sink = apns.to("c0ffee")
            assert await push(sink, 0) is None
            tasks = [asyncio.create_task(push(sink, number)) for number in range(1, 1001)]
            await asyncio.sleep(0.1)
            tasks[500].cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            await apns.aclose()
            return outcomes

        fake.push.queue(ApnsAnswer(after=0.5), times=None)
        outcomes = asyncio.run(scenario())

        assert isinstance(outcomes.pop(500), asyncio.CancelledError)
        assert outcomes == [None] * 999


class TestProcess:
    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
    def test_a_fork_after_its_use_is_refused(self, fake, server):
        """In the child it would wait for ever."""
        apns = Apns.from_p8(**fake.client_options(server))
        sink = apns.to("c0ffee")
        sink.send(sink.encode(batch(0)), batch(0))

        context = multiprocessing.get_context("fork")
        receiving, sending = context.Pipe(duplex=False)

        def child():
            try:
                sink.send(sink.encode(batch(1)), batch(1))
            except UsageError as error:
                sending.send(str(error))
            os._exit(0)

        process = context.Process(target=child)
        process.start()
        said = receiving.recv() if receiving.poll(10) else ""
        process.kill()
        process.join()
        apns.close()

        assert "before this process was forked" in said

    def test_several_event_loops_in_turn(self, fake, server):
        """The connection belongs to no event loop, so one client serves several."""
        apns = AsyncApns.from_p8(**fake.client_options(server))
        sink = apns.to("c0ffee")

        assert [asyncio.run(push(sink, number)) for number in range(3)] == [None] * 3
        assert fake.connections == 1

    def test_threads_share_a_blocking_client(self, fake, server):
        """Fifty threads, twenty pushes each."""
        with Apns.from_p8(**fake.client_options(server)) as apns:
            sink = apns.to("c0ffee")
            outcomes = WORLDS["sync"].run(push_many, WORLDS["sync"], sink)

        check_exactly_once(fake, outcomes)


def test_errors_have_no_address():
    """What pyqwest says has the URL of the push, and so the device token."""
    assert "c0ffee" not in scrubbed(ConnectionError("error sending request for url (https://a.b/3/device/c0ffee): no"))
    assert scrubbed(ConnectionError("https://a.b/3/device/c0ffee")) == "ConnectionError"
