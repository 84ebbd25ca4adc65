"""`coalesce`, in each world: batches of any source, when they are due."""

import threading
from contextlib import aclosing, closing

import anyio
import pytest
from tests.shells.worlds import our_threads, settle

from genesys_stream import (
    Batch,
    CompletionChunk,
    FinalOnly,
    InvalidArgument,
    Line,
    PassThrough,
    TimeSize,
    coalesce,
)


class Mistaken:
    """A strategy with a mistake."""

    def __init__(self, *, in_cut):
        self.in_cut = in_cut

    def cut(self, waiting, now):
        if self.in_cut or now >= waiting.first_at + 0.01:
            raise ZeroDivisionError
        return 0

    def due(self, waiting):
        return waiting.first_at + 0.01


@pytest.fixture(autouse=True)
def nothing_is_left():
    """No thread outlives a test."""
    yield
    assert settle(lambda: not our_threads())


class TestBatches:
    async def test_whole_lines(self, world):
        """Joined batches are joined deltas, chunks or strings, and nothing is lost at the end."""
        said = ["one\nt", "wo\n", "", "thr\ud83d", "\ude00"]
        for items in (said, [CompletionChunk.of_text(text) for text in said]):
            batches = await collect(world, coalesce(world.source(items), Line()))

            assert [batch.text for batch in batches] == ["one\n", "two\n", "thr\U0001f600"]
            assert all(type(batch) is Batch for batch in batches)

    async def test_nothing(self, world):
        """A source that says nothing makes no batch."""
        assert await collect(world, coalesce(world.source([]), PassThrough())) == []

    async def test_what_was_said_before_an_error_comes_first(self, world):
        """And then the error itself."""
        batches = coalesce(world.source(["one ", "two", OSError("broken")]), FinalOnly())
        with pytest.raises(OSError, match="broken"):
            await collect(world, batches, found := [])

        assert [batch.text for batch in found] == ["one two"]

    @pytest.mark.parametrize("in_cut", [True, False])
    async def test_a_mistake_of_the_coalescer_loses_no_text(self, world, in_cut):
        """Whether it happens when text comes, or when time passes."""
        batches = coalesce(world.source(["one ", 0.1, "two"]), Mistaken(in_cut=in_cut))
        with pytest.raises(ZeroDivisionError):
            await collect(world, batches, found := [])

        assert "one " in "".join(batch.text for batch in found)

    async def test_items_of_another_kind(self, world):
        """They are refused, after what was said before."""
        with pytest.raises(InvalidArgument, match="must yield CompletionChunk or str, not "):
            await collect(world, coalesce(world.source(["one", 7]), FinalOnly()), found := [])

        assert [batch.text for batch in found] == ["one"]

    async def test_a_stream(self, world, fake, server):
        """One of this library is a source as well."""
        async with world.client(server) as client:
            stream = client.completions.stream(model="gpt-4o", messages=[{"role": "user", "content": "Hi"}])
            batches = await collect(world, coalesce(getattr(stream, "it", stream), TimeSize()))

            assert "".join(batch.text for batch in batches) == stream.completion.text != ""


async def collect(world, batches, found=None):
    """All batches, in this world's colour."""
    found = [] if found is None else found
    if world.name == "sync":
        found.extend(batches)
    else:
        async for batch in batches:
            found.append(batch)
    return found


class TestSilence:
    def test_a_batch_leaves_when_it_is_due(self):
        """Also where the source says nothing more until the batch has arrived."""
        arrived, closed = threading.Event(), threading.Event()

        def source():
            try:
                yield "one"
                assert arrived.wait(10)
                yield "two"
            finally:
                closed.set()

        batches = coalesce(source(), TimeSize(0.01))
        assert next(batches).text == "one"
        arrived.set()

        assert [batch.text for batch in batches] == ["two"]
        assert closed.is_set()

    async def test_the_same_awaited(self, loop_world):
        """With a task in place of the thread."""
        arrived, closed = anyio.Event(), anyio.Event()

        async def source():
            try:
                yield "one"
                await arrived.wait()
                yield "two"
            finally:
                closed.set()

        batches = coalesce(source(), TimeSize(0.01))
        assert (await anext(batches)).text == "one"
        arrived.set()

        assert [batch.text async for batch in batches] == ["two"]
        assert closed.is_set()


class TestLeavingEarly:
    def test_the_source_is_closed(self):
        """As soon as it is not running any more."""
        closed = threading.Event()

        def source():
            try:
                while True:
                    yield "word "
            finally:
                closed.set()

        with closing(coalesce(source(), PassThrough())) as batches:
            assert next(batches).text == "word "

        assert closed.wait(10)

    def test_a_source_that_waits_is_interrupted_where_it_can_be(self):
        """With its `close`."""

        class Silent:
            def __init__(self):
                self.closed = threading.Event()
                self.said = iter(["word "])

            def __iter__(self):
                return self

            def __next__(self):
                if (word := next(self.said, None)) is not None:
                    return word
                assert self.closed.wait(10)
                raise StopIteration

            def close(self):
                self.closed.set()

        source = Silent()
        batches = coalesce(source, PassThrough())
        assert next(batches).text == "word "
        batches.close()

        assert source.closed.is_set()
        assert not our_threads()

    async def test_the_same_awaited(self, loop_world):
        """The source's own task is cancelled, and over when `aclose` returns."""
        closed = []

        async def source():
            try:
                yield "word "
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0)
                closed.append(True)

        async with aclosing(coalesce(source(), PassThrough())) as batches:
            async for batch in batches:
                assert batch.text == "word "
                break

        assert closed == [True]

    async def test_a_cancelled_caller(self, loop_world):
        """Leaves nothing behind either."""
        closed = []

        async def source():
            try:
                yield "word "
                await anyio.sleep_forever()
            finally:
                closed.append(True)

        got = []
        with anyio.CancelScope() as scope:
            async with aclosing(coalesce(source(), PassThrough())) as batches:
                async for batch in batches:
                    got.append(batch.text)
                    scope.cancel()

        assert got == ["word "]
        assert closed == [True]


class TestASlowCaller:
    def test_the_source_waits_for_it(self):
        """Once a mebibyte of batches is waiting; all of them arrive in the end."""
        read = []

        def source():
            for number in range(8):
                read.append(number)
                yield "x" * 2**19

        batches = coalesce(source(), PassThrough())
        first = next(batches)
        assert settle(lambda: len(read) > 1)
        assert len(read) <= 4

        assert [len(batch.text) for batch in [first, *batches]] == [2**19] * 8

    async def test_the_same_awaited(self, loop_world):
        """With a task in place of the thread."""
        read = []

        async def source():
            for number in range(8):
                read.append(number)
                yield "x" * 2**19

        batches = coalesce(source(), PassThrough())
        first = await anext(batches)
        await loop_world.until(lambda: len(read) > 1)
        for _ in range(20):
            await anyio.sleep(0)
        assert len(read) <= 4

        assert [len(batch.text) for batch in [first, *[batch async for batch in batches]]] == [2**19] * 8


class TestArguments:
    @pytest.mark.parametrize(
        ("source", "coalescer", "argument"),
        [("text", TimeSize(), "source"), (7, TimeSize(), "source"), ([], TimeSize, "coalescer")],
    )
    def test_are_checked_at_once(self, source, coalescer, argument):
        """Before anything is read."""
        with pytest.raises(InvalidArgument) as caught:
            coalesce(source, coalescer)

        assert caught.value.argument == argument
