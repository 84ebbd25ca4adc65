"""The relay and whatever ends it: sources that fail, sinks that fail or are slow, cancellations, and Ctrl-C."""

import _thread
import asyncio
import gc
import signal
import threading
import time

import anyio
import pytest
import trio
from tests.shells.worlds import ASK, WORLDS, our_threads, settle

from genesys_stream import (
    AmbiguousDelivery,
    AsyncSink,
    CompletionChunk,
    DeadlineExceeded,
    Delivery,
    Exchange,
    ExchangeStarted,
    InvalidArgument,
    PassThrough,
    RateLimited,
    RelayStarted,
    Retry,
    ServiceUnavailable,
    StreamAssembler,
    StreamStateError,
    StreamTruncated,
    TimeSize,
    relay,
)
from genesys_stream._aio.relay import _Sender

SAID = ["Hello, ", "wör", "ld ", "👍🏽", "."]
TEXT = "".join(SAID)


class Stop(BaseException):
    """Like a Ctrl-C, and unlike one no business of pytest's."""


QUICK = Retry(attempts=8, wait_initial=0.01, wait_max=0.05)


def often():
    return TimeSize(0.02, 500)


def shown(fake):
    phone = StreamAssembler()
    for payload in fake.pushes:
        phone.receive(payload["data"])
    return phone


def batches_of(report):
    return sorted([*(d.batch for d in report.pushes), *(u.batch for u in report.undelivered)], key=lambda b: b.offset)


def accounted(report, text):
    """Check that what was delivered and what was not make up what was said, each once."""
    assert text == "".join(batch.text for batch in batches_of(report))
    assert text == report.completion.text
    assert batches_of(report)[-1].final


class TestSinks:
    async def test_any_callable(self, world, server):
        """A function takes the batches, and what it returns is kept."""
        taken = []
        report = await world.relay(
            world.source(SAID), lambda batch: taken.append(batch) or len(taken), coalescer=PassThrough()
        )

        assert TEXT == "".join(batch.text for batch in taken) == report.delivered_text
        assert [*range(1, len(taken) + 1)] == [push.receipt for push in report.pushes]
        assert [False] * (len(taken) - 1) + [True] == [batch.final for batch in taken]

    async def test_a_coroutine_function(self, loop_world, server):
        """So does a coroutine function, and an object that has one for its call."""
        taken = []

        class Taking:
            async def __call__(self, batch):
                await anyio.sleep(0.001)
                taken.append(batch.text)
                return "ok"

        taking = Taking()
        limited = AsyncSink(
            send=lambda content, batch: taking(batch), encode=lambda batch: b"x" * len(batch.text), max_bytes=4
        )
        whole = await loop_world.relay(loop_world.source([1.0 / 100, *SAID]), taking)
        assert TEXT == "".join(taken) == whole.delivered_text
        taken.clear()
        report = await loop_world.relay(loop_world.source([1.0 / 100, *SAID]), limited)

        assert TEXT == "".join(taken) == report.delivered_text
        assert max(map(len, taken)) <= 4
        assert {"ok"} == {push.receipt for push in report.pushes}

    async def test_a_sink_that_raises(self, world, server):
        """Text that a sink refuses for good is listed, and the rest goes on."""

        def sink(batch):
            if batch.text == "ld ":
                raise ZeroDivisionError

        report = await world.relay(
            world.source([SAID[0], 0.05, SAID[1], 0.05, SAID[2], 0.05, SAID[3], SAID[4]]), sink, coalescer=PassThrough()
        )

        assert [missing.text for missing in report.undelivered] == ["ld "]
        accounted(report, TEXT)
        with pytest.raises(ZeroDivisionError) as caught:
            report.raise_for_undelivered()
        assert caught.value.report is report

    async def test_a_sink_that_fails_for_a_while(self, world, server):
        """What a sink says is worth another try is tried again."""
        taken = []

        def sink(batch):
            taken.append(batch)
            if len(taken) < 4:
                raise ServiceUnavailable("not now", status=503)

        report = await world.relay(world.source(SAID), sink, retry=QUICK)

        assert report.delivered_text == TEXT
        assert report.undelivered == ()

    async def test_a_sink_that_never_works(self, world, server):
        """RetryState ends, and then everything is listed."""

        def sink(batch):
            raise ServiceUnavailable("never", status=503)

        report = await world.relay(world.source(SAID), sink, retry=Retry(attempts=3, wait_initial=0.01))

        assert (report.delivered_text, report.undelivered_text) == ("", TEXT)
        assert report.state == "complete"
        accounted(report, TEXT)

    async def test_a_push_that_hangs(self, world, fake, server):
        """The reader never waits for a push: the stream ends on time, and one more push carries the rest."""
        said = ["word "] * 30
        fake.completions.say(said, every=0.005)
        fake.push.late(0.8)
        async with world.client(server) as client:
            stream = client.completions.stream(**ASK)
            report = await world.relay(stream, client.push.to("device"), coalescer=often())

            assert "".join(said) == shown(fake).text
            assert len(report.pushes) == 2
            assert stream.timing.max_gap < 0.6
        first, last = fake.push.requests
        assert last.at - first.at >= 0.7

    async def test_back_pressure(self, world, server):
        """When too much text waits for a slow sink, the source is not read further; nothing is lost."""
        handed, ahead = [], []

        def items():
            for number in range(60):
                handed.append(number)
                yield "0123456789"

        async def aitems():
            for item in items():
                await anyio.sleep(0)
                yield item

        taken = []

        def sink(batch):
            time.sleep(0.002)
            taken.append(batch.text)
            ahead.append(10 * len(handed) - sum(map(len, taken)))

        report = await world.relay(
            items() if world.name == "sync" else aitems(), sink, coalescer=PassThrough(), max_backlog_bytes=50
        )

        assert "0123456789" * 60 == "".join(taken) == report.delivered_text
        assert max(ahead) <= 50 + 10

    async def test_told_of_everything(self, world, server):
        """The hook hears of the start, of each delivery and loss, and at last of the report, all with the stream's id."""
        told = []

        def sink(batch):
            if batch.text == SAID[0]:
                raise ZeroDivisionError

        report = await world.relay(
            world.source([SAID[0], 0.05, *SAID[1:]]), sink, coalescer=PassThrough(), on_event=told.append
        )

        assert told[0] == RelayStarted(report.stream_id, epoch=1, sinks=1)
        assert told[-1] is report
        assert {event.stream_id for event in told} == {report.stream_id}
        assert all(event in told for event in (*report.pushes, *report.undelivered))
        assert len(told) == 1 + len(report.pushes) + len(report.undelivered) + 1

    async def test_a_client_tells_of_each_request_before_and_after(self, world, fake, server):
        """An `ExchangeStarted` comes before each `Exchange`, that of the token included."""
        fake.completions.say(SAID)
        told = []
        async with world.client(server, on_event=told.append) as client:
            await client.completions.stream(**ASK).result()

        assert [type(event) for event in told] == [ExchangeStarted, Exchange] * 2
        assert [event.url for event in told[::2]] == [event.url for event in told[1::2]]
        assert told[0].url.endswith("/oauth/token")

    async def test_a_hook_that_raises(self, world, server, caplog):
        """It costs no text, no report and no failure; the log says where to look."""

        def hook(event):
            raise ZeroDivisionError("what was said")

        report = await world.relay(world.source(SAID), lambda batch: None, coalescer=PassThrough(), on_event=hook)
        with pytest.raises(EOFError) as caught:
            await world.relay(world.source([*SAID, EOFError()]), lambda batch: None, on_event=hook)

        assert (report.state, report.delivered_text) == ("complete", TEXT)
        assert caught.value.report.delivered_text == TEXT
        lines = [(record.levelname, record.getMessage()) for record in caplog.records]
        assert {level for level, _ in lines} == {"ERROR"}
        assert sum("ZeroDivisionError" in line and "RelayReport" in line for _, line in lines) == 2
        assert all("test_interruption.py:" in line and "what was said" not in line for _, line in lines)

    async def test_a_clients_hook_that_raises(self, world, fake, server):
        """A push that was taken is delivered, whatever was made of it."""

        def hook(event):
            raise ZeroDivisionError

        fake.completions.say(SAID)
        async with world.client(server, on_event=hook) as client:
            report = await world.relay(client.completions.stream(**ASK), client.push.to("device"))

        assert TEXT == shown(fake).text == report.delivered_text
        assert report.undelivered == ()

    async def test_ctrl_c_in_a_hook(self, world, server):
        """It interrupts the relay as it does anywhere."""

        def hook(event):
            if isinstance(event, Delivery):
                raise Stop

        with pytest.raises(Stop) as caught:
            await world.relay(world.source(SAID), lambda batch: None, coalescer=PassThrough(), on_event=hook)

        accounted(caught.value.report, caught.value.report.completion.text)


class TestSources:
    async def test_chunks(self, world, server):
        """A source may yield chunks, of any making."""
        chunks = [CompletionChunk.of_text(text) for text in SAID]
        report = await world.relay(world.source(chunks), lambda batch: None)

        accounted(report, TEXT)

    def test_a_list(self, server):
        """A list will do, and so will nothing at all."""
        accounted(relay(SAID, lambda batch: None), TEXT)
        report = relay([], lambda batch: None)
        assert (report.delivered_text, report.state, len(report.pushes)) == ("", "complete", 1)

    def test_on_no_event_loop_yet(self):
        """The async relay can be made before the loop runs."""
        source = WORLDS["asyncio"].source(SAID)
        accounted(asyncio.run(relay(source, lambda batch: None)), TEXT)

        async def main():
            return await relay(WORLDS["trio"].source(SAID), lambda batch: None)

        accounted(trio.run(main), TEXT)

    @pytest.mark.parametrize("error", [ValueError("no more"), StreamTruncated("cut"), KeyboardInterrupt()], ids=repr)
    async def test_a_source_that_fails(self, world, server, error):
        """What it said is delivered first; then its exception comes out, unchanged, with the report."""
        taken = []
        with pytest.raises(type(error)) as caught:
            await world.relay(world.source([*SAID, 0.01, error]), taken.append)

        assert caught.value is error
        report = error.report
        assert "".join(batch.text for batch in taken) == TEXT
        state = "cancelled" if isinstance(error, KeyboardInterrupt) else "error"
        assert (state, type(error).__name__) == (taken[-1].state, taken[-1].finish_reason)
        assert (report.state, report.error) == (state, error)
        accounted(report, TEXT)

    async def test_ctrl_c_in_a_source(self, loop_world, server):
        """Where Ctrl-C hits the task that reads, a sink that holds text back has the grace period and no more."""

        def sink(batch):
            raise RateLimited("wait", status=429, retry_after=60.0)

        with pytest.raises(KeyboardInterrupt) as caught:
            await loop_world.relay(loop_world.source([*SAID, 0.01, KeyboardInterrupt()]), sink, grace=0.1)

        report = caught.value.report
        assert (report.state, report.undelivered_text) == ("cancelled", TEXT)
        assert {type(missing.error) for missing in report.undelivered} == {DeadlineExceeded}

    async def test_a_stream_that_breaks(self, world, fake, server):
        """A stream that breaks in the middle ends the same way, at the phone too."""
        fake.completions.drop(after_events=4, text=SAID)
        async with world.client(server) as client:
            with pytest.raises(Exception) as caught:
                await world.relay(client.completions.stream(**ASK), client.push.to("device"), coalescer=often())

        assert "".join(SAID[:3]) == caught.value.report.delivered_text == caught.value.partial.text == shown(fake).text
        assert ("error", type(caught.value).__name__) == (shown(fake).state, shown(fake).reason)

    @pytest.mark.parametrize("after", [0, 1], ids=["before", "midway"])
    async def test_a_stream_that_somebody_closes(self, world, fake, server, after):
        """Half an answer does not pass for a whole one because its stream was closed and did not break."""
        fake.completions.stall(60, after_events=3, text=SAID)
        async with world.client(server) as client:
            stream = client.completions.stream(**ASK)
            errors = []

            async def close():
                await world.until(lambda: len(fake.pushes) >= after)
                await stream.aclose()

            async def start():
                with pytest.raises(
                    StreamStateError, match="closed before it was complete" if after else "only once"
                ) as caught:
                    await world.relay(stream, client.push.to("device"), coalescer=often())
                errors.append(caught.value)

            if after:
                await world.together(start, close)
            else:
                await close()
                await start()

        said = "".join(SAID[:2]) if after else ""
        assert said == errors[0].partial.text == shown(fake).text
        assert (shown(fake).state, shown(fake).reason) == ("error", "StreamStateError")
        accounted(errors[0].report, said)

    async def test_a_source_of_nonsense(self, world, server):
        """What is neither a chunk nor text is named, after what came before it."""
        with pytest.raises(InvalidArgument) as caught:
            await world.relay(world.source(["a", 1]), lambda batch: None)

        assert caught.value.report.delivered_text == "a"

    async def test_closed_at_last(self, world, server):
        """A generator's own clean-up runs, in whichever way the relay ends."""
        cleaned = []

        def items():
            try:
                yield "a"
                yield 1
            finally:
                cleaned.append("sync")

        async def aitems():
            try:
                yield "a"
                yield 1
            finally:
                await anyio.sleep(0.01)
                cleaned.append("async")

        with pytest.raises(InvalidArgument):
            await world.relay(items() if world.name == "sync" else aitems(), lambda batch: None)
        assert len(cleaned) == 1

    def test_a_source_that_is_cancelled_from_within(self):
        """A source whose own task was cancelled by somebody ends the relay, and does not leave it waiting."""

        async def main():
            async def items():
                yield "a"
                inner = asyncio.ensure_future(asyncio.sleep(60))
                asyncio.get_running_loop().call_later(0.05, inner.cancel)
                await inner

            with pytest.raises(asyncio.CancelledError) as caught:
                await relay(items(), lambda batch: None)
            assert caught.value.report.delivered_text == "a"

        asyncio.run(main())


async def cancelled(world, source, sink, after, times=1, **options):
    """Cancel a relay once `after()` is true; returns its report, found on what it raised."""
    found = []

    async def run():
        try:
            await relay(source, sink, **options)
        except BaseException as error:
            found.append(error)
            raise

    if world.name == "asyncio":
        task = asyncio.ensure_future(run())
        for _ in range(times):
            await world.until(after)
            task.cancel()
            await asyncio.sleep(0.05)
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        async with anyio.create_task_group() as group:
            group.start_soon(run)
            await world.until(after)
            group.cancel_scope.cancel()
    (error,) = found
    return error.report


class TestCancelled:
    @pytest.mark.parametrize("when", ["waiting for the stream", "pushing", "held back"])
    async def test_what_was_said_is_delivered(self, loop_world, fake, server, when):
        """A cancelled relay still delivers what was said, and says that it was cancelled."""
        fake.completions.stall(60, after_events=4, text=SAID)
        if when == "pushing":
            fake.push.late(0.3)
        if when == "held back":
            fake.push.rate_limit(0.5)
        async with loop_world.client(server) as client:
            stream = client.completions.stream(**ASK)

            def ready():
                return stream.timing.chunks >= 4 and len(fake.push.requests) >= 1

            report = await cancelled(
                loop_world, stream, client.push.to("device"), ready, coalescer=often(), retry=QUICK
            )

        assert "".join(SAID[:3]) == shown(fake).text
        assert (shown(fake).state, shown(fake).complete) == ("cancelled", True)
        assert (report.state, report.undelivered) == ("cancelled", ())
        accounted(report, "".join(SAID[:3]))

    async def test_the_grace_period_is_bounded(self, loop_world, fake, server):
        """A sink that hangs does not keep a cancelled relay for longer than the grace period."""
        fake.completions.stall(60, after_events=4, text=SAID)
        fake.push.late(30, times=None)
        async with loop_world.client(server) as client:
            stream = client.completions.stream(**ASK)
            began = time.monotonic()
            report = await cancelled(
                loop_world, stream, client.push.to("device"), lambda: fake.push.requests, coalescer=often(), grace=0.2
            )

        assert time.monotonic() - began < 10
        accounted(report, "".join(SAID[:3]))
        assert {True} == {isinstance(u.error, (DeadlineExceeded, AmbiguousDelivery)) for u in report.undelivered}
        assert report.delivered_text == ""

    def test_a_second_cancellation(self, fake, server):
        """Who cancels twice means it: the rest is listed as undelivered, at once."""
        world = WORLDS["asyncio"]

        async def scenario():
            fake.completions.stall(60, after_events=4, text=SAID)
            fake.push.late(30, times=None)
            async with world.client(server) as client:
                stream = client.completions.stream(**ASK)
                began = time.monotonic()
                report = await cancelled(
                    world, stream, client.push.to("device"), lambda: fake.push.requests, 2, coalescer=often(), grace=60
                )
            assert time.monotonic() - began < 10
            accounted(report, "".join(SAID[:3]))
            assert "".join(SAID[:3]) == report.undelivered_text

        world.run(scenario)

    async def test_ctrl_c_on_the_way_to_the_sink(self, loop_world, server, monkeypatch):
        """A push that was handed out, and has not come to the sink, is delivered all the same."""
        deliver = _Sender._deliver

        async def interrupted(*_):
            monkeypatch.setattr(_Sender, "_deliver", deliver)
            raise KeyboardInterrupt

        monkeypatch.setattr(_Sender, "_deliver", interrupted)
        taken = []
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt) as caught:
            await loop_world.relay(
                loop_world.source(["a", 60.0]), taken.append, coalescer=PassThrough(), retry=QUICK, grace=30
            )

        assert time.monotonic() - began < 10
        assert [batch.text for batch in taken] == ["a", ""]
        accounted(caught.value.report, "a")

    async def test_no_exception_group(self, loop_world, fake, server):
        """Whatever fails in the reading task comes out as itself, even when the sink fails at the same time."""

        def sink(batch):
            raise ZeroDivisionError

        with pytest.raises(ValueError, match="both"):
            await loop_world.relay(loop_world.source(["a", ValueError("both")]), sink)

    async def test_a_generator_that_swallows_nothing(self, loop_world, server):
        """A cancelled relay closes the generator that it read, and waits for its clean-up."""
        cleaned = []

        async def items():
            try:
                yield "a"
                await anyio.sleep(60)
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.02)
                cleaned.append(True)

        taken = []
        report = await cancelled(loop_world, items(), taken.append, lambda: taken, coalescer=often())

        assert cleaned == [True]
        assert report.delivered_text == "a"


def interrupt_when(*conditions):
    """Press Ctrl-C, as the terminal would, as soon as each condition in turn is true."""

    def press():
        for ready in conditions:
            settle(ready, 60)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    thread = threading.Thread(target=press, daemon=True)
    thread.start()
    return thread


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
class TestCtrlC:
    """The blocking relay, in the main thread."""

    def run(self, scenario):
        async def guarded():
            with pytest.raises(KeyboardInterrupt) as caught:
                await scenario()
            return caught.value.report

        return WORLDS["sync"].run(guarded)

    @pytest.mark.parametrize("when", ["waiting for the stream", "pushing", "held back"])
    def test_what_was_said_is_delivered(self, fake, server, when):
        """Ctrl-C ends the stream, delivers what was said, and is raised again with the report."""
        fake.completions.stall(60, after_events=4, text=SAID)
        if when == "pushing":
            fake.push.late(0.3)
        if when == "held back":
            fake.push.rate_limit(0.5)
        world = WORLDS["sync"]

        async def scenario():
            async with world.client(server) as client:
                stream = client.completions.stream(**ASK)

                def ready():
                    pushed = fake.pushes if when == "waiting for the stream" else fake.push.requests
                    return stream.timing.chunks >= 4 and pushed

                presser = interrupt_when(ready)
                try:
                    await world.relay(stream, client.push.to("device"), coalescer=often(), retry=QUICK)
                finally:
                    presser.join()

        began = time.monotonic()
        report = self.run(scenario)

        assert time.monotonic() - began < 15
        assert "".join(SAID[:3]) == shown(fake).text
        assert (shown(fake).state, shown(fake).reason, shown(fake).complete) == ("cancelled", "KeyboardInterrupt", True)
        assert (report.state, report.undelivered) == ("cancelled", ())
        accounted(report, "".join(SAID[:3]))

    def test_the_second_one_ends_it(self, fake, server):
        """Who presses twice means it: the rest is listed as undelivered, at once."""
        fake.completions.stall(60, after_events=4, text=SAID)
        fake.push.rate_limit(100, times=None)
        world = WORLDS["sync"]
        closed = threading.Event()

        class Source:
            """Tells when it is closed, which is what the first Ctrl-C does; two at once would be one to Python."""

            def __init__(self, stream):
                self.stream = stream

            def __iter__(self):
                return iter(self.stream)

            def close(self):
                closed.set()
                self.stream.close()

        async def scenario():
            async with world.client(server) as client:
                stream = client.completions.stream(**ASK)
                presser = interrupt_when(lambda: stream.timing.chunks >= 4 and fake.push.requests, closed.is_set)
                try:
                    await world.relay(Source(stream.it), client.push.to("device"), coalescer=often(), grace=100)
                finally:
                    presser.join()

        began = time.monotonic()
        report = self.run(scenario)

        assert time.monotonic() - began < 60
        accounted(report, "".join(SAID[:3]))
        assert "".join(SAID[:3]) == report.undelivered_text

    def test_the_grace_period_is_bounded(self, fake, server):
        """A rate limit that outlasts the grace period leaves the rest undelivered."""
        fake.completions.stall(60, after_events=4, text=SAID)
        fake.push.rate_limit(30, times=None)
        world = WORLDS["sync"]

        async def scenario():
            async with world.client(server) as client:
                stream = client.completions.stream(**ASK)
                presser = interrupt_when(lambda: stream.timing.chunks >= 4 and fake.push.requests)
                try:
                    await world.relay(stream, client.push.to("device"), coalescer=often(), grace=0.2)
                finally:
                    presser.join()

        began = time.monotonic()
        report = self.run(scenario)

        assert time.monotonic() - began < 15
        assert {DeadlineExceeded} == {type(missing.error) for missing in report.undelivered}
        accounted(report, "".join(SAID[:3]))

    def test_a_token_that_does_not_come_is_not_waited_for(self, fake, server):
        """The last push shares the stream's wait for a token, and gives up when the grace period is over."""
        fake.tokens.late(8)
        world = WORLDS["sync"]

        async def scenario():
            async with world.client(server) as client:
                stream = client.completions.stream(**ASK)
                presser = interrupt_when(lambda: fake.tokens.requests)
                try:
                    await world.relay(stream, client.push.to("device"), grace=0.3)
                finally:
                    presser.join()

        began = time.monotonic()
        report = self.run(scenario)

        assert time.monotonic() - began < 6
        assert [type(missing.error) for missing in report.undelivered] == [DeadlineExceeded]
        accounted(report, "")
        assert settle(lambda: not our_threads(), 30)

    def test_a_push_that_hangs_is_not_waited_for(self, fake, server):
        """A service that does not answer holds nobody longer than the grace period."""
        fake.completions.stall(60, after_events=4, text=SAID)
        fake.push.late(30, times=None)
        world = WORLDS["sync"]

        async def scenario():
            async with world.client(server) as client:
                stream = client.completions.stream(**ASK)
                presser = interrupt_when(lambda: stream.timing.chunks >= 4 and fake.push.requests)
                try:
                    await world.relay(stream, client.push.to("device"), coalescer=often(), retry=QUICK, grace=0.3)
                finally:
                    presser.join()

        began = time.monotonic()
        report = self.run(scenario)

        assert time.monotonic() - began < 10
        assert report.undelivered[0].ambiguous
        accounted(report, "".join(SAID[:3]))

    def test_a_generator_that_is_running(self):
        """A generator that cannot be interrupted is left at once, and closed by its reader as soon as it speaks."""
        taken, cleaned, go = [], [], threading.Event()

        def items():
            try:
                yield "a"
                go.wait(10)
                yield "b"
            finally:
                cleaned.append(threading.current_thread().name)

        presser = interrupt_when(lambda: taken)
        with pytest.raises(KeyboardInterrupt) as caught:
            try:
                relay(items(), taken.append, coalescer=often())
            finally:
                presser.join()

        assert caught.value.report.delivered_text == "a"
        assert cleaned == []
        go.set()
        assert settle(lambda: cleaned)
        assert settle(lambda: not our_threads())

    def test_just_before_a_wait(self):
        """A Ctrl-C that the system has delivered before the relay began to wait, and that ends no wait, is heard."""
        taken, go = [], threading.Event()

        def items():
            yield "a"
            go.wait(60)

        def press():
            settle(lambda: taken, 60)
            time.sleep(0.2)
            _thread.interrupt_main()  # notes a signal, and wakes nobody

        presser = threading.Thread(target=press)
        presser.start()
        began = time.monotonic()
        try:
            with pytest.raises(KeyboardInterrupt) as caught:
                try:
                    relay(items(), taken.append, coalescer=often())
                finally:
                    presser.join()
            assert time.monotonic() - began < 30
        finally:
            go.set()

        assert caught.value.report.delivered_text == "a"
        assert settle(lambda: not our_threads())

    def test_at_any_moment(self):
        """Wherever Ctrl-C hits, what was said is accounted for."""
        for round_ in range(30):
            taken = []

            def items():
                for number in range(100_000):
                    yield f"{number} "

            def press(delay=0.002 + 0.001 * (round_ % 10)):
                time.sleep(delay)
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

            presser = threading.Thread(target=press)
            with pytest.raises(KeyboardInterrupt) as caught:
                try:
                    presser.start()
                    relay(items(), taken.append, coalescer=PassThrough(), grace=5)
                finally:
                    presser.join()
            report = getattr(caught.value, "report", None)
            if report is not None:
                accounted(report, report.completion.text)
        gc.collect()
        assert settle(lambda: not our_threads())
