"""Streams against a served Genesys Cloud, in every world: how they are read, left, closed, and how they break."""

import asyncio
import gzip
import importlib
import importlib.util
import json
import threading
import time

import pytest
from tests.shells.worlds import ASK, WORLDS, collected, our_threads, settle

from genesys_stream import (
    AuthenticationError,
    BadRequest,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    FirstTokenTimeout,
    GenesysStreamError,
    NotFound,
    PermissionDenied,
    PoolExhausted,
    Retry,
    ServerError,
    StatusError,
    StreamStateError,
    StreamTruncated,
    Timeouts,
    TokenIdleTimeout,
    TransportIdleTimeout,
    UnexpectedContent,
)
from genesys_stream._aio.bodies import BodyReader, ReadTimer, finish
from genesys_stream.testing import FakeGenesys

SAID = ["Hé", "llo, ", "wör", "ld ", "👍🏽", "."]
TEXT = "".join(SAID)
QUICK = Retry(attempts=3, wait_initial=0.01, wait_max=0.02)
ONCE = Retry(attempts=1)


def chunk(text, finish_reason=None):
    data = {
        "id": "c",
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}],
    }
    return f"data: {json.dumps(data)}\n\n".encode()


async def texts(stream):
    return [chunk.text async for chunk in stream if chunk.text]


class Stop(BaseException):
    """Like a Ctrl-C, and unlike one no business of pytest's."""


class TestReading:
    async def test_a_loop(self, world, fake, server):
        """A loop gets every chunk, and then the stream knows the whole."""
        fake.completions.say(SAID)
        async with world.client(server) as client:
            stream = client.completions.stream(**ASK)

            assert await texts(stream) == SAID
            assert stream.completion.text == TEXT
            assert stream.completion.finish_reason == "stop"
            assert (stream.status, stream.committed) == (200, True)
            assert fake.completions.requests[0].correlation_id == stream.request_id
            assert stream.headers["content-type"] == "text/event-stream"
            assert stream.timing.chunks >= len(SAID)

    async def test_nothing_is_sent_before_it_is_read(self, world, fake, server):
        """A stream that nobody reads costs nothing, and knows nothing."""
        async with world.client(server) as client:
            stream = client.completions.stream(**ASK)

            assert (stream.status, stream.headers, stream.request_id, stream.committed) == (None, {}, "", False)
            assert stream.completion.text == ""
            await stream.aclose()
            assert fake.request_log == []
            with pytest.raises(StreamStateError, match="only once"):
                await texts(stream)

    async def test_an_answer_that_says_no(self, world, fake, server):
        """A refusal is an answer, too: its status and its request id can be asked for."""
        fake.completions.fail(403, code="not.authorized", message="No.")
        async with world.client(server) as client:
            stream = client.completions.stream(**ASK)
            with pytest.raises(PermissionDenied) as caught:
                await stream.result()

        assert (stream.status, stream.request_id) == (403, caught.value.correlation_id)
        assert stream.headers["content-type"].startswith("application/json")

    async def test_text_stream(self, world, fake, server):
        """The text alone, with the halves of a surrogate pair joined."""
        fake.completions.say(["a", "\ud83d", "\ude00", "", "b"])
        async with world.client(server) as client:
            stream = client.completions.stream(**ASK)

            assert [text async for text in stream.text_stream] == ["a", "😀", "b"]
            assert stream.completion.text == "a😀b"

    async def test_result(self, world, fake, server):
        """The rest is read to the end, and the whole is returned."""
        fake.completions.say(SAID)
        async with world.client(server) as client:
            stream = client.completions.stream(**ASK)
            first = await anext(stream)

            assert TEXT == (await stream.result()).text == (await stream.result()).text
            assert first.text in {"", SAID[0]}

    async def test_completion_so_far(self, world, fake, server):
        """What was said so far can be looked at on the way."""
        fake.completions.say(SAID, every=0.01)
        async with world.client(server) as client:
            seen = []
            async with client.completions.stream(**ASK) as stream:
                assert stream.status == 200
                async for one in stream:
                    if one.text:
                        seen.append(stream.completion.text)

        assert ["".join(SAID[: n + 1]) for n in range(len(SAID))] == seen

    async def test_create(self, world, fake, server):
        """A whole completion, and the error that takes its place."""
        fake.completions.say(SAID)
        fake.completions.fail(400, code="invalid.value", message="No.")
        async with world.client(server) as client:
            completion = await client.completions.create(**ASK)
            with pytest.raises(BadRequest) as caught:
                await client.completions.create(**ASK)

        assert completion.text == TEXT
        assert (caught.value.code, caught.value.message) == ("invalid.value", "No.")

    async def test_with_options(self, world, fake, server):
        """A client with other settings shares connections and token, and closing it closes nothing."""
        fake.completions.say(SAID, times=3)
        async with world.client(server) as client:
            other = client.with_options(headers={"X-Team": "blue"}, retry=ONCE, timeouts=Timeouts(total=9))
            await client.completions.create(**ASK)
            await other.completions.create(**ASK)
            await other.aclose()
            await client.completions.create(**ASK)

        assert [entry.headers.get("x-team") for entry in fake.completions.requests] == [None, "blue", None]
        assert (len(fake.issued_tokens), fake.connections) == (1, 2), "one for tokens, one for completions"

    async def test_two_may_not_read_one_stream(self, world, fake, server):
        """The second reader is refused, and the first one is not disturbed."""
        fake.completions.say(SAID, first_after=0.2)
        async with world.client(server) as client:
            stream = client.completions.stream(**ASK)

            async def first():
                return await stream.result()

            async def second():
                await world.until(lambda: stream.status == 200)
                with pytest.raises(StreamStateError, match="may not read one stream"):
                    await anext(stream)

            completion, _ = await world.together(first, second)

        assert completion.text == TEXT


class TestLeaving:
    @pytest.mark.parametrize("held", [True, False], ids=["held", "not held"])
    async def test_leaving_a_loop(self, world, fake, server, held):
        """Whoever leaves a loop has given the connection back, though the variable lives on."""
        fake.completions.stall(60, after_events=3, text=SAID)
        fake.completions.say(SAID)
        async with world.client(server, max_connections=1, timeouts=Timeouts(pool=5)) as client:
            stream = client.completions.stream(**ASK) if held else None
            async for one in stream or client.completions.stream(**ASK):
                if one.text:
                    break
            assert await texts(client.completions.stream(**ASK)) == SAID
            if held:
                with pytest.raises(StreamStateError, match="only once"):
                    await texts(stream)
                assert SAID[0] in stream.completion.text

    async def test_leaving_a_loop_over_texts(self, world, fake, server):
        """The same for the loop over the text alone."""
        fake.completions.stall(60, after_events=3, text=SAID)
        fake.completions.say(SAID)
        async with world.client(server, max_connections=1, timeouts=Timeouts(pool=5)) as client:
            stream = client.completions.stream(**ASK)
            async for _ in stream.text_stream:
                break
            assert await texts(client.completions.stream(**ASK)) == SAID

    async def test_leaving_when_all_was_received(self, world, fake, server):
        """A loop that is left ends the stream, even if more was received than was handed out."""
        fake.completions.say(SAID)
        async with world.client(server) as client:
            stream = client.completions.stream(**ASK)
            async for _ in stream:
                break
            with pytest.raises(StreamStateError, match="only once"):
                await texts(stream)

    async def test_leaving_by_an_exception(self, world, fake, server):
        """An exception in the loop's body comes through unchanged, and gives the connection back."""
        fake.completions.stall(60, after_events=3, text=SAID)
        fake.completions.say(SAID)
        async with world.client(server, max_connections=1, timeouts=Timeouts(pool=5)) as client:
            with pytest.raises(ZeroDivisionError):
                async with client.completions.stream(**ASK) as stream:
                    async for _ in stream:
                        raise ZeroDivisionError
            assert await texts(client.completions.stream(**ASK)) == SAID

    async def test_closing(self, world, fake, server):
        """A closed stream has given its connection back, says nothing more, and may be closed again."""
        fake.completions.stall(60, after_events=3, text=SAID)
        fake.completions.say(SAID)
        async with world.client(server, max_connections=1, timeouts=Timeouts(pool=5)) as client:
            stream = client.completions.stream(**ASK)
            await anext(stream)
            await stream.aclose()
            await stream.aclose()
            with pytest.raises(StreamStateError, match="only once"):
                await texts(stream)
            with pytest.raises(StreamStateError) as caught:
                await stream.result()
            assert caught.value.partial == stream.completion
            assert await texts(client.completions.stream(**ASK)) == SAID

    @pytest.mark.parametrize("status", [429, 503])
    async def test_closing_before_the_answer(self, world, fake, server, status):
        """A stream that is closed by another thread or task before it is answered is not asked for again."""
        waits = Retry(attempts=9, wait_initial=1, wait_max=1, jitter=lambda bound: bound)
        fake.completions.fail(status, times=None)
        async with world.client(server, retry=waits) as client:
            stream = client.completions.stream(**ASK)

            async def read():
                return await texts(stream)

            async def close():
                await world.until(lambda: fake.completions.requests)
                await stream.aclose()

            assert await world.together(read, close) == [[], None]
        assert len(fake.completions.requests) == 1

    async def test_letting_go(self, world, fake, server):
        """A stream that is dropped without a word gives its connection back."""
        fake.completions.stall(60, after_events=3, text=SAID)
        fake.completions.say(SAID)
        async with world.client(server, max_connections=1, timeouts=Timeouts(pool=5)) as client:
            with collected():
                stream = client.completions.stream(**ASK)
                await anext(stream)
                del stream
            assert await texts(client.completions.stream(**ASK)) == SAID

    async def test_letting_go_in_a_circle(self, world, fake, server):
        """The same when it takes the garbage collector to find it."""
        fake.completions.stall(60, after_events=3, text=SAID)
        fake.completions.say(SAID)
        async with world.client(server, max_connections=1, timeouts=Timeouts(pool=5)) as client:
            with collected():
                circle = [client.completions.stream(**ASK)]
                circle.append(circle)
                await anext(circle[0])
                del circle
            assert await texts(client.completions.stream(**ASK)) == SAID

    async def test_streams_in_a_row(self, world, fake, server):
        """Streams that are read to their end use one connection."""
        fake.completions.say(SAID, every=0.001, times=20)
        async with world.client(server) as client:
            for _ in range(20):
                assert (await client.completions.stream(**ASK).result()).text == TEXT

        assert fake.connections == 2, "one for the token, one for completions"

    async def test_a_body_that_does_not_end(self, world, fake, server):
        """After [DONE] nobody waits for a server that keeps the body open."""
        fake.completions.raw([chunk("all", "stop"), b"data: [DONE]\n\n", 60.0])
        async with world.client(server) as client:
            began = time.monotonic()
            assert await texts(client.completions.stream(**ASK)) == ["all"]
            assert time.monotonic() - began < 30

    async def test_pool_exhausted(self, world, fake, server):
        """When every connection is in use, the error says so."""
        fake.completions.stall(60, after_events=3, text=SAID)
        async with world.client(server, max_connections=1, retry=ONCE, timeouts=Timeouts(pool=0.05)) as client:
            async with client.completions.stream(**ASK) as stream:
                await anext(stream)
                with pytest.raises(PoolExhausted, match="max_connections"):
                    await client.completions.stream(**ASK).result()


class TestRetry:
    @pytest.mark.parametrize("inside", [None, "event", "character"])
    @pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
    async def test_before_the_first_delta(self, world, fake, server, reset, inside):
        """What breaks before the first delta is tried again, and nobody notices."""
        fake.completions.drop(reset=reset)
        fake.completions.drop(after_events=1, inside=inside, reset=reset, text=SAID)
        fake.completions.say(SAID)
        async with world.client(server, retry=QUICK) as client:
            assert await texts(client.completions.stream(**ASK)) == SAID

        assert len(fake.completions.requests) == 3

    @pytest.mark.parametrize("inside", [None, "event", "character"])
    @pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
    async def test_after_the_first_delta(self, world, fake, server, reset, inside):
        """What breaks later is not tried again: what was said comes first, then the error with all of it."""
        fake.completions.drop(after_events=3, inside=inside, reset=reset, text=SAID)
        got = []
        async with world.client(server, retry=QUICK) as client:
            stream = client.completions.stream(**ASK)
            with pytest.raises((ConnectionLost, StreamTruncated)) as caught:
                async for one in stream:
                    got.append(one.text)

        assert SAID[:2] == [text for text in got if text]
        assert "".join(SAID[:2]) == caught.value.partial.text == stream.completion.text
        assert len(fake.completions.requests) == 1

    async def test_truncated(self, world, fake, server):
        """A clean end without [DONE] and without a finish reason is not an end."""
        fake.completions.say(SAID, finish_reason=None, done=False)
        async with world.client(server, retry=QUICK) as client:
            with pytest.raises(StreamTruncated) as caught:
                await client.completions.stream(**ASK).result()

        assert caught.value.partial.text == TEXT

    async def test_either_end_will_do(self, world, fake, server):
        """[DONE], or a finish reason for every choice: either makes a stream complete."""
        fake.completions.say(SAID, finish_reason=None)
        fake.completions.say(SAID, done=False)
        async with world.client(server, retry=QUICK) as client:
            assert (await client.completions.stream(**ASK).result()).text == TEXT
            assert (await client.completions.stream(**ASK).result()).text == TEXT

    async def test_statuses(self, world, fake, server):
        """429, 503 and a refused token are tried again; another 4xx is final."""
        fake.completions.rate_limit(None)
        fake.completions.fail(503)
        fake.completions.say(SAID)
        fake.completions.fail(404)
        async with world.client(server, retry=QUICK) as client:
            await client.push.send(["device"], "t", "b")
            fake.revoke_tokens()
            assert (await client.completions.stream(**ASK).result()).text == TEXT
            with pytest.raises(NotFound):
                await client.completions.stream(**ASK).result()

        assert [entry.status for entry in fake.completions.requests] == [401, 429, 503, 200, 404]

    async def test_refused_for_good(self, world, fake, server):
        """A token of one's own cannot be replaced, and credentials that are wrong are said to be."""
        async with world.client(server, access_token="nonsense") as client:
            with pytest.raises(AuthenticationError):
                await client.completions.stream(**ASK).result()
        async with world.client(server, client_secret="wrong") as client:
            with pytest.raises(AuthenticationError):
                await client.completions.stream(**ASK).result()

    async def test_no_connection(self, world, fake, server):
        """A host that is down is tried again, and then named as what it is."""
        async with world.client(server, retry=QUICK) as client:
            with server.refusing():
                with pytest.raises(ConnectFailed):
                    await client.completions.stream(**ASK).result()

    @pytest.mark.parametrize("name", ["", "error"])
    async def test_errors_in_the_stream(self, world, fake, server, name):
        """An error behind a status of 200 has the class of its status; before the first delta it is tried again."""
        limit = {"type": "rate_limit_error", "message": "slow down", "code": "rate_limit_exceeded"}
        fake.completions.error_event(limit, after_events=1, event_name=name, text=SAID)
        fake.completions.error_event(after_events=3, event_name=name, text=SAID)
        async with world.client(server, retry=QUICK) as client:
            stream = client.completions.stream(**ASK)
            with pytest.raises(ServerError) as caught:
                await stream.result()

        assert len(fake.completions.requests) == 2
        assert caught.value.in_stream
        assert "".join(SAID[:2]) == caught.value.partial.text


class TestClocks:
    SHORT = 0.15
    LONG = 1.0  # where a machine that is busy elsewhere must not let it run out

    @pytest.mark.parametrize("heartbeat_every", [None, 0.03], ids=["silent", "heartbeats"])
    async def test_first_token(self, world, fake, server, heartbeat_every):
        """No token within the time for the first one: the wait is over, heartbeats or not, and is not begun again."""
        fake.completions.stall(60, after_events=1, heartbeat_every=heartbeat_every, text=SAID)
        clocks = Timeouts(first_token=self.SHORT)
        async with world.client(server, retry=QUICK, timeouts=clocks) as client:
            with pytest.raises(FirstTokenTimeout) as caught:
                await in_seconds(30, client.completions.stream(**ASK).result())

        assert caught.value.seconds == self.SHORT
        assert len(fake.completions.requests) == 1

    @pytest.mark.parametrize("heartbeat_every", [None, 0.03], ids=["silent", "heartbeats"])
    async def test_token_idle(self, world, fake, server, heartbeat_every):
        """No token for too long after the first one, heartbeats or not."""
        fake.completions.stall(60, after_events=3, heartbeat_every=heartbeat_every, text=SAID)
        async with world.client(server, timeouts=Timeouts(token_idle=self.SHORT)) as client:
            with pytest.raises(TokenIdleTimeout) as caught:
                await in_seconds(30, client.completions.stream(**ASK).result())

        assert "".join(SAID[:2]) == caught.value.partial.text

    async def test_transport_idle(self, world, fake, server):
        """Not a byte for too long; heartbeats keep this clock from running out."""
        fake.completions.stall(60, after_events=3, text=SAID)
        fake.completions.stall(self.LONG * 1.5, after_events=3, heartbeat_every=self.LONG / 20, text=SAID)
        async with world.client(server, timeouts=Timeouts(transport_idle=self.LONG)) as client:
            with pytest.raises(TransportIdleTimeout) as caught:
                await in_seconds(30, client.completions.stream(**ASK).result())
            assert (await client.completions.stream(**ASK).result()).text == TEXT

        assert "".join(SAID[:2]) == caught.value.partial.text

    async def test_silence_after_a_pause_of_the_reader(self, world, fake, server):
        """A reader that takes longer over a token than the service may be silent finds the clock running again."""
        fake.completions.stall(60, after_events=6, text=SAID, every=0.02)
        async with world.client(server, timeouts=Timeouts(transport_idle=self.LONG)) as client:
            stream = client.completions.stream(**ASK)
            for _ in range(4):
                await anext(stream)
            await world.sleep(1.2 * self.LONG)
            with pytest.raises(TransportIdleTimeout):
                await in_seconds(30, stream.result())

    @pytest.mark.parametrize(
        ("clocks", "error"),
        [
            (Timeouts(transport_idle=SHORT), TransportIdleTimeout),
            (Timeouts(first_token=SHORT), FirstTokenTimeout),
            (Timeouts(total=SHORT), DeadlineExceeded),
        ],
    )
    async def test_silence_before_the_headers(self, world, fake, server, clocks, error):
        """A server that does not even answer is subject to the same clocks."""
        fake.completions.say(SAID, headers_after=60, times=None)
        async with world.client(server, retry=QUICK, timeouts=clocks) as client:
            with pytest.raises(error):
                await in_seconds(30, client.completions.stream(**ASK).result())

    @pytest.mark.parametrize("heartbeat_every", [None, 0.03], ids=["silent", "heartbeats"])
    async def test_total(self, world, fake, server, heartbeat_every):
        """The deadline of the whole call ends a stream that is silent, and one that is not."""
        fake.completions.stall(60, after_events=3, heartbeat_every=heartbeat_every, text=SAID)
        fake.completions.say(["more "] * 1000, every=0.01)
        async with world.client(server, timeouts=Timeouts(total=self.SHORT * 2)) as client:
            with pytest.raises(DeadlineExceeded) as caught:
                await in_seconds(30, client.completions.stream(**ASK).result())
            with pytest.raises(DeadlineExceeded) as again:
                await in_seconds(30, client.completions.stream(**ASK).result())

        assert "".join(SAID[:2]) == caught.value.partial.text
        assert again.value.partial.text.startswith("more more ")

    async def test_no_clock_at_all(self, world, fake, server):
        """Every clock can be stopped."""
        fake.completions.stall(0.3, after_events=3, text=SAID)
        clocks = Timeouts(first_token=None, token_idle=None, transport_idle=None, connect=None, write=None, pool=None)
        async with world.client(server, timeouts=clocks) as client:
            assert (await client.completions.stream(**ASK).result()).text == TEXT

    async def test_a_reader_that_is_late(self, world, fake, server):
        """The clocks begin to run when the stream is first asked for something, and not when it is made."""
        fake.completions.say(SAID)
        clocks = Timeouts(first_token=self.LONG, total=self.LONG)
        async with world.client(server, timeouts=clocks) as client:
            stream = client.completions.stream(**ASK)
            await world.sleep(self.LONG * 1.5)

            assert (await stream.result()).text == TEXT
            assert stream.timing.first_token < self.LONG

    async def test_a_reader_that_is_slow(self, world, fake, server):
        """The clocks do not run while the reader is busy with what it has."""
        fake.completions.say(SAID, every=0.01)
        clocks = Timeouts(token_idle=self.LONG, transport_idle=self.LONG, first_token=self.LONG * 2)
        async with world.client(server, timeouts=clocks) as client:
            got = []
            async for one in client.completions.stream(**ASK):
                got.append(one.text)
                if one.text == SAID[0]:
                    await world.sleep(self.LONG * 1.5)

        assert [text for text in got if text] == SAID


def test_a_clock_that_runs_out_just_as_a_part_of_a_piece_comes():
    """A read that goes on because what came is not all it needs is ended all the same."""

    async def parts(first):
        await first
        await asyncio.get_running_loop().create_future()
        yield b"never"

    async def scenario():
        loop = asyncio.get_running_loop()
        alarm, first = ReadTimer(), loop.create_future()
        steps, pending = BodyReader(parts(first)).begin()
        # Both in one turn of the event loop, so that the reader has not gone on yet when the clock runs out.
        loop.call_at(1, first.set_result, None)
        alarm.set(2)
        return await finish(steps, pending, alarm)

    assert asyncio.run(asyncio.wait_for(scenario(), 30)) == b""


async def in_seconds(seconds, awaitable):
    began = time.monotonic()
    try:
        return await awaitable
    finally:
        assert time.monotonic() - began < seconds, "a clock did not stop the wait"


class TestContent:
    async def test_json_in_place_of_a_stream(self, world, fake, server):
        """A gateway that does not stream is read all the same, and its errors are errors."""
        whole = {"choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}]}
        fake.completions.answer(200, json=whole)
        fake.completions.answer(200, json={"error": {"message": "no such model", "code": "not_found"}})
        async with world.client(server, retry=QUICK) as client:
            assert await texts(client.completions.stream(**ASK)) == [TEXT]
            with pytest.raises(StatusError, match="no such model"):
                await client.completions.stream(**ASK).result()

    async def test_html(self, world, fake, server):
        """A page from some proxy is shown for what it is."""
        fake.completions.answer(200, body=b"<html><h1>Login</h1>", headers={"Content-Type": "text/html"}, times=None)
        async with world.client(server, retry=QUICK) as client:
            with pytest.raises(UnexpectedContent, match="Login") as caught:
                await client.completions.stream(**ASK).result()

        assert caught.value.content_type == "text/html"

    async def test_gzip(self, world, fake, server):
        """A proxy that compresses though nobody asked it to is understood, in streams and in errors."""
        coding = {"Content-Encoding": "gzip"}
        body = gzip.compress(b"".join(map(chunk, SAID)) + b"data: [DONE]\n\n")
        cut = [body[at : at + 7] for at in range(0, len(body), 7)]
        fake.completions.raw(cut, headers={"Content-Type": "text/event-stream", **coding})
        fake.completions.answer(400, body=gzip.compress(b'{"message": "squeezed", "code": "x"}'), headers=coding)
        async with world.client(server, retry=QUICK) as client:
            assert (await client.completions.stream(**ASK).result()).text == TEXT
            with pytest.raises(BadRequest, match="squeezed"):
                await client.completions.stream(**ASK).result()

        assert fake.completions.requests[0].headers["accept-encoding"] == "identity"

    async def test_redirects_are_not_followed(self, world, fake, server):
        """A token goes to the address that was configured, and to no other."""
        elsewhere = FakeGenesys()
        with elsewhere.serve() as other:
            for status in (301, 302, 307, 308):
                fake.completions.answer(status, headers={"Location": f"{other.base_url}/steal"})
                fake.push.answer(status, headers={"Location": f"{other.base_url}/steal"})
            async with world.client(server, retry=ONCE) as client:
                for _ in range(4):
                    with pytest.raises(StatusError):
                        await client.completions.stream(**ASK).result()
                    with pytest.raises(StatusError):
                        await client.push.send(["device"], "t", "b")

        assert elsewhere.request_log == []

    async def test_an_error_without_an_end(self, world, fake, server):
        """An error's body that stalls is not waited for longer than the clocks say."""
        fake.completions.raw([b'{"message": "half', 60.0], status=500, headers={"Content-Type": "application/json"})
        async with world.client(server, retry=ONCE, timeouts=Timeouts(transport_idle=0.2)) as client:
            with pytest.raises(GenesysStreamError):
                await in_seconds(30, client.completions.stream(**ASK).result())


class TestClients:
    @pytest.mark.parametrize("name", ["httpx", "httpx2"])
    async def test_an_http_client_of_ones_own(self, world, fake, server, name):
        """It is used as it is, never closed, and its errors come out as ours."""
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
        http = importlib.import_module(name)
        fake.completions.say(SAID, times=2)
        fake.completions.drop(after_events=3, text=SAID)
        fake.completions.stall(60, after_events=3, text=SAID)
        options = {"limits": http.Limits(max_connections=1), "auth": ("me", "secret"), "follow_redirects": True}
        async with world.http_client(http, **options) as own:
            for _ in range(2):
                async with world.client(server, http_client=own, retry=ONCE) as client:
                    assert (await client.completions.stream(**ASK).result()).text == TEXT
            async with world.client(server, http_client=own, timeouts=Timeouts(token_idle=0.1, pool=0.05)) as client:
                with pytest.raises(ConnectionLost):
                    await client.completions.stream(**ASK).result()
                with pytest.raises(TokenIdleTimeout):
                    await client.completions.stream(**ASK).result()
                fake.completions.stall(60, after_events=3, text=SAID)
                async with client.completions.stream(**ASK) as stream:
                    await anext(stream)
                    with pytest.raises(PoolExhausted):
                        await client.with_options(retry=ONCE).push.send(["device"], "t", "b")
                assert (await client.push.send(["device"], "t", "b")).targets_count == 1

        assert {"Bearer"} == {entry.headers["authorization"].split()[0] for entry in fake.completions.requests}

    async def test_a_closed_client(self, world, fake, server):
        """Whoever uses a client after its end is told so."""
        async with world.client(server) as client:
            await client.completions.create(**ASK)
        with pytest.raises(StreamStateError, match="closed"):
            await client.completions.stream(**ASK).result()

    async def test_closing_a_client_with_streams_open(self, world, fake, server):
        """A client that is closed closes its connections, those of open streams included."""
        fake.completions.stall(60, after_events=3, text=SAID, times=2)
        async with world.client(server, retry=ONCE) as client:
            one = client.completions.stream(**ASK)
            two = client.completions.stream(**ASK)
            await anext(one)
            await anext(two)
        await world.until(lambda: fake.open_connections == 0)
        await one.aclose()
        await two.aclose()

    async def test_a_hook_that_fails(self, world, fake, server):
        """A hook that raises costs neither a stream nor a connection."""
        fake.completions.say(SAID, times=None)

        def hook(event):
            raise ZeroDivisionError

        async with world.client(server, max_connections=1, timeouts=Timeouts(pool=0.5), on_event=hook) as client:
            for _ in range(3):
                assert (await client.completions.stream(**ASK).result()).text == TEXT

    async def test_text_of_a_stream_that_somebody_closes(self, world, fake, server):
        """Half a text does not end as a whole one does; leaving the loop stays silent."""
        fake.completions.say(SAID, times=None, every=0.01)

        async def closing(stream, pieces):
            async for piece in pieces:
                yield piece
                await stream.aclose()

        async with world.client(server) as client:
            stream = client.completions.stream(**ASK)
            with pytest.raises(StreamStateError) as caught:
                async for _ in closing(stream, stream.text_stream):
                    pass
            stream = client.completions.stream(**ASK)
            async for _ in stream.text_stream:
                break
            await stream.aclose()

        assert caught.value.partial.text and caught.value.partial.text != TEXT

    async def test_ctrl_c_in_a_hook(self, world, fake, server):
        """It passes through, and costs no connection either."""
        fake.completions.say(SAID, times=None)

        def hook(event):
            if event.url.endswith("completions"):
                raise Stop

        async with world.client(server, max_connections=1, timeouts=Timeouts(pool=0.5), on_event=hook) as client:
            for _ in range(3):
                with pytest.raises(Stop):
                    await client.completions.stream(**ASK).result()


class TestThreads:
    """What only the blocking client can do."""

    @pytest.mark.parametrize("clock", [60.0, None])
    def test_closing_from_another_thread(self, fake, server, clock):
        """A read that waits, with a clock or for ever, ends when another thread closes the stream."""
        world = WORLDS["sync"]

        async def scenario():
            fake.completions.stall(60, after_events=3, text=SAID)
            fake.completions.say(SAID)
            clocks = Timeouts(pool=5, first_token=clock, token_idle=clock, transport_idle=clock)
            async with world.client(server, max_connections=1, timeouts=clocks) as client:
                stream = client.it.completions.stream(**ASK)
                got = []
                reader = threading.Thread(target=lambda: got.extend(chunk.text for chunk in stream))
                reader.start()
                await world.until(lambda: SAID[1] in got)
                stream.close()
                reader.join(30)
                assert not reader.is_alive()
                assert "".join(SAID[:2]) == "".join(got) == stream.completion.text
                assert await texts(client.completions.stream(**ASK)) == SAID

        world.run(scenario)

    def test_closing_while_it_rests(self, fake, server):
        """A stream that is closed while it waits for its next attempt waits no longer."""
        world = WORLDS["sync"]

        async def scenario():
            fake.completions.rate_limit(100)
            async with world.client(server) as client:
                stream = client.it.completions.stream(**ASK)
                reader = threading.Thread(target=lambda: list(stream))
                reader.start()
                await world.until(lambda: fake.completions.requests)
                time.sleep(0.1)
                stream.close()
                reader.join(30)
                assert not reader.is_alive()

        world.run(scenario)

    def test_closing_while_it_flows(self, fake, server):
        """Closing at any moment ends the reader, and never disturbs the streams that follow on the same connection."""
        world = WORLDS["sync"]

        async def scenario():
            fake.completions.say(["more "] * 200, every=0.0005, times=None)
            async with world.client(server, max_connections=1, retry=ONCE, timeouts=Timeouts(pool=5)) as client:
                for number in range(30):
                    stream = client.it.completions.stream(**ASK)
                    failures = []

                    def read(stream=stream, failures=failures):
                        try:
                            for _ in stream:
                                pass
                        except BaseException as error:  # noqa: BLE001 - looked at below
                            failures.append(error)

                    reader = threading.Thread(target=read)
                    reader.start()
                    time.sleep(number * 0.004)
                    stream.close()
                    reader.join(30)
                    assert not reader.is_alive()
                    assert failures == []

        world.run(scenario)

    def test_no_thread_to_watch_with(self, fake, server, monkeypatch):
        """Where no thread can be started a stream fails, and the clocks of those after it run all the same."""
        world = WORLDS["sync"]
        start = threading.Thread.start

        def exhausted(thread):
            if "watchdog" in thread.name:
                monkeypatch.setattr(threading.Thread, "start", start)
                raise RuntimeError("can't start new thread")
            start(thread)

        async def scenario():
            fake.completions.say(SAID)
            fake.completions.stall(60, after_events=3, text=SAID)
            async with world.client(server, retry=ONCE, timeouts=Timeouts(token_idle=0.3)) as client:
                monkeypatch.setattr(threading.Thread, "start", exhausted)
                with pytest.raises(ConnectionLost):
                    await client.completions.stream(**ASK).result()
                with pytest.raises(TokenIdleTimeout):
                    await client.completions.stream(**ASK).result()

        assert settle(lambda: not our_threads())
        world.run(scenario)

    def test_one_client_in_many_threads(self, fake, server):
        """Streams in many threads share one client and one token."""
        world = WORLDS["sync"]

        async def scenario():
            fake.completions.say(SAID, every=0.001, times=None)
            async with world.client(server, max_connections=8) as client:

                async def one():
                    return [(await client.completions.stream(**ASK).result()).text for _ in range(5)]

                assert await world.together(*[one] * 8) == [[TEXT] * 5] * 8

        world.run(scenario)
        assert len(fake.issued_tokens) == 1
        assert fake.connections <= 9, "one for the token"
