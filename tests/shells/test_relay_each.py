"""One stream, several sinks: each has its own queue, pace and report, and no one of them slows another."""

import asyncio
import inspect
import logging
import threading
import time

import anyio
import pytest
from tests.shells.worlds import ASK, WORLDS, our_threads, settle

from genesys_stream import (
    AsyncSink,
    InvalidArgument,
    InvalidToken,
    PassThrough,
    PermissionDenied,
    Rate,
    RateLimited,
    RateLimits,
    Retry,
    Sink,
    StreamAssembler,
    StreamTruncated,
    Undelivered,
    relay,
    relay_each,
)

SAID = [f"word{number} " for number in range(40)]
TEXT = "".join(SAID)
QUICK = Retry(attempts=8, wait_initial=0.01, wait_max=0.05)


class Gate:
    """Opens once, in whatever world."""

    def __init__(self, world):
        self.world = world
        self.event = threading.Event()

    def open(self):
        self.event.set()

    async def wait(self):
        await self.world.until(self.event.is_set)


def undelivered_once(report):
    texts = sorted([*(p.batch for p in report.pushes), *(m.batch for m in report.undelivered)], key=lambda b: b.seq)
    return "".join(batch.text for batch in texts)


class TestSeveralSinks:
    async def test_each_at_its_own_pace(self, world):
        """A slow, a dead and a rate-limited sink stand beside a fast one, which is done before the slow one goes on."""
        taken = {name: [] for name in ("fast", "slow", "dead", "limited")}
        gate = Gate(world)
        events = []

        async def fast(batch):
            taken["fast"].append(batch)
            if batch.final:
                gate.open()

        async def slow(batch):
            taken["slow"].append(batch)
            await gate.wait()

        async def dead(batch):
            taken["dead"].append(batch)
            raise InvalidToken("unregistered", since=1e9)

        async def limited(batch):
            taken["limited"].append(batch)
            if len(taken["limited"]) in {1, 2, 3}:
                raise RateLimited("slow down", status=429, retry_after=0.01)

        sinks = [world.sink(send) for send in (fast, slow, dead, limited)]
        reports = await world.relay_each(
            world.source(SAID), sinks, coalescer=PassThrough(), retry=QUICK, on_event=events.append
        )

        assert [undelivered_once(report) for report in reports] == [TEXT] * 4
        assert [report.delivered_text for report in reports] == [TEXT, TEXT, "", TEXT]
        assert {"complete"} == {report.state for report in reports}
        assert {TEXT} == {report.completion.text for report in reports}
        assert len(taken["dead"]) == 1
        assert len(taken["slow"]) <= 3  # the first, what gathered meanwhile, and perhaps the end
        assert len({report.stream_id for report in reports}) == 1
        lost = [event for event in events if isinstance(event, Undelivered)]
        assert len(lost) == 1 and isinstance(lost[0].error, InvalidToken)
        assert list(reports) == [event for event in events if event in reports]

    async def test_a_stream_that_goes_on_after_its_phone_is_gone(self, world):
        """The relay ends with the stream, though nothing is left to be sent."""

        async def dead(batch):
            raise InvalidToken("unregistered")

        report = await world.relay(world.source(["a", 0.05, "b"]), world.sink(dead), coalescer=PassThrough())

        assert "".join(lost.text for lost in report.undelivered) == "ab"

    async def test_phones_of_one_client(self, world, fake, server):
        """Each phone assembles the whole text."""
        fake.completions.say(SAID, every=0.002)
        async with world.client(server) as client:
            stream = client.completions.stream(**ASK)
            reports = await world.relay_each(stream, [client.push.to(name) for name in ("one", "two", "three")])

        assert [report.delivered_text for report in reports] == [TEXT] * 3
        for name in ("one", "two", "three"):
            phone = StreamAssembler()
            for payload in fake.pushes:
                if payload["targets"] == [name]:
                    phone.receive(payload["data"])
            assert (phone.text, phone.complete) == (TEXT, True)

    async def test_the_source_fails(self, world):
        """What was said is delivered to each, and the error has a report for each."""
        error = StreamTruncated("half")
        with pytest.raises(StreamTruncated) as caught:
            await world.relay_each(world.source(["a", "b", error]), [lambda batch: None, lambda batch: None])

        assert [report.delivered_text for report in caught.value.reports] == ["ab", "ab"]
        assert caught.value.report is caught.value.reports[0]

    async def test_a_full_sink_does_not_stop_the_source(self, world):
        """The source is read on as long as one sink has room."""
        gate, taken = Gate(world), []

        async def stuck(batch):
            await gate.wait()

        async def free(batch):
            taken.append(batch.text)
            if batch.final:
                gate.open()

        reports = await world.relay_each(
            world.source(SAID), [world.sink(stuck), world.sink(free)], coalescer=PassThrough(), max_backlog_bytes=8
        )

        assert [report.delivered_text for report in reports] == [TEXT, TEXT]

    @pytest.mark.parametrize("which", [0, 1])
    def test_an_interruption(self, world, which):
        """Ctrl-C in any sink ends all of them, after what was said was delivered."""
        taken = [[], []]

        def sink(number):
            async def send(batch):
                if number == which and not taken[which] and batch.text:
                    taken[which].append("")
                    raise KeyboardInterrupt
                taken[number].append(batch.text)

            return send

        if world.name == "sync" and which == 1:
            pytest.skip("Ctrl-C is raised in the main thread, which sends to the first sink")

        async def scenario():
            with pytest.raises(KeyboardInterrupt) as caught:
                await world.relay_each(
                    world.source(["a", "b", 0.3, "c"]),
                    [world.sink(sink(0)), world.sink(sink(1))],
                    coalescer=PassThrough(),
                    retry=QUICK,
                )
            return caught.value.reports

        reports = world.run(scenario)
        for report in reports:
            assert undelivered_once(report) == report.completion.text
            assert report.state == "cancelled"
        assert settle(lambda: not our_threads())

    @pytest.mark.parametrize("sinks", [[], "device", 7])
    def test_no_sinks(self, sinks):
        """There must be at least one, in a list."""
        with pytest.raises(InvalidArgument, match=r"^sinks must be"):
            relay_each(["a"], sinks)

    def test_each_sink_is_checked(self):
        """And named by its place."""
        with pytest.raises(InvalidArgument, match=r"^sinks\[1\] must be a Sink"):
            relay_each(["a"], [print, "device"])


class TestWhatIsLost:
    async def test_it_is_logged(self, world, caplog):
        """A warning has counts and the errors' classes, and no text."""
        error = PermissionDenied("sesame", status=403)

        def refuse(batch):
            raise error

        with caplog.at_level(logging.WARNING, "genesys_stream"):
            report = await world.relay(world.source(["sesame ", "street"]), refuse, coalescer=PassThrough())

        (record,) = caplog.records
        assert record.levelname == "WARNING"
        assert "left 13 characters undelivered" in record.getMessage()
        assert "x PermissionDenied" in record.getMessage() and "sesame" not in record.getMessage()
        assert report.state == "complete"

    async def test_it_raises_if_asked_to(self, world):
        """With `strict` the first sink's error is raised, with the report."""
        error = PermissionDenied("no", status=403)

        def refuse(batch):
            raise error

        with pytest.raises(PermissionDenied) as caught:
            await world.relay(world.source(["text"]), refuse, strict=True)

        assert caught.value is error
        assert caught.value.report.undelivered_text == "text"

    async def test_nothing_is_lost(self, world, caplog):
        """Then nothing is logged, and `strict` raises nothing."""
        report = await world.relay(world.source(["text"]), lambda batch: None, strict=True)

        assert report.delivered_text == "text"
        assert not caplog.records


class TestColours:
    def test_a_blocking_sink_in_an_async_relay(self):
        """It would stop the event loop, and is refused."""
        sink = Sink(send=lambda content, batch: None, encode=lambda batch: b"")
        with pytest.raises(InvalidArgument, match=r"^sink is blocking, and would stop the event loop"):
            relay(WORLDS["asyncio"].source(["a"]), sink)

    def test_an_async_sink_in_a_blocking_relay(self):
        """Nobody could await it."""

        async def send(content, batch):
            return None

        sink = AsyncSink(send=send, encode=lambda batch: b"")
        with pytest.raises(InvalidArgument, match=r"^sink must not be async where the source is not"):
            relay(["a"], sink)

    def test_an_async_relay_is_a_coroutine(self):
        """So that a task can be made of it, and a forgotten `await` is seen."""
        running = relay(WORLDS["asyncio"].source(["a"]), lambda batch: None)

        assert inspect.iscoroutine(running)
        assert asyncio.run(running).delivered_text == "a"

    @pytest.mark.parametrize("options", [{"coalesce": PassThrough()}, {"profile": None}])
    def test_an_unknown_option(self, options):
        """It is named, with those that there are."""
        with pytest.raises(InvalidArgument, match=f"^{next(iter(options))} is not an option of a relay.*coalescer"):
            relay(["a"], print, **options)


class SlowTurn:
    """A turn at a limiter elsewhere, which takes a moment to answer."""

    def __init__(self, log):
        self.log = log

    async def request(self, now, *, final):
        await anyio.sleep(0)
        self.log.append(final)
        return now if len(self.log) % 2 == 0 else now + 0.001

    def cancel(self):
        self.log.append("cancelled")


class Elsewhere:
    def __init__(self):
        self.log = []

    def turn(self):
        return SlowTurn(self.log)

    def block(self, until, scope):
        self.log.append(scope)


class TestLimiters:
    @pytest.mark.parametrize("name", ["asyncio", "trio"])
    def test_a_limiter_that_is_awaited(self, name):
        """As one that many processes share; it is asked again when it says so."""
        world, limiter, taken = WORLDS[name], Elsewhere(), []

        async def send(batch):
            taken.append(batch.text)

        async def scenario():
            sink = world.sink(send, limiter=limiter)
            return await world.relay(world.source(SAID), sink, coalescer=PassThrough())

        report = world.run(scenario)

        assert TEXT == "".join(taken) == report.delivered_text
        assert limiter.log[-1] is True
        assert len(limiter.log) == 2 * len(taken)

    def test_it_is_refused_where_nobody_can_await_it(self):
        """With an error that says so, and all text listed."""
        sink = Sink(send=lambda content, batch: None, encode=lambda batch: b"", limiter=Elsewhere())
        with pytest.raises(InvalidArgument, match=r"^limiter must answer with a time") as caught:
            relay(["a", "b"], sink)

        assert caught.value.report.undelivered_text == "ab"

    async def test_two_relays_on_one_sink_are_both_paced(self, world):
        """The rate holds for both together, in any span of time."""
        sent = []
        limits = RateLimits(None, threading.Lock())

        async def send(batch):
            sent.append(time.monotonic())

        sink = world.sink(send, limiter=limits.limiter(["phone"], Rate(3, 50.0)))
        said = [item for word in SAID[:15] for item in (word, 0.005)]
        reports = await world.together(
            *[lambda: world.relay(world.source(said), sink, coalescer=PassThrough()) for _ in range(2)]
        )

        assert ["".join(SAID[:15])] * 2 == [report.delivered_text for report in reports]
        for first in range(len(sent)):
            for last in range(first, len(sent)):
                # One more, because a push is noted here a moment after its turn was granted.
                assert last - first + 1 <= 3 + 50.0 * (sent[last] - sent[first]) + 1
        assert all(report.paced_seconds > 0 for report in reports)
