"""The extra [aiohttp]: the same client over another transport; asyncio only."""

import asyncio
import base64
import gc
import random
import ssl
import sys

import anyio
import httpx
import pytest
import trio
from tests.shells.wire import Wire, reply
from tests.shells.worlds import ASK, WORLDS, settle

from genesys_stream import (
    AmbiguousDelivery,
    AsyncClient,
    Client,
    ConfigurationError,
    ConnectFailed,
    ConnectionLost,
    InvalidArgument,
    PoolExhausted,
    Retry,
    StreamTruncated,
    Timeouts,
    TimeSize,
    TokenIdleTimeout,
    TransportIdleTimeout,
    UsageError,
    relay,
)
from genesys_stream._http import shared_tls

pytest.importorskip("aiohttp")

ONCE = Retry(attempts=1)


@pytest.fixture
def loop_world():
    return WORLDS["asyncio"]


@pytest.fixture
def client_of(loop_world, server):
    """Make a client over aiohttp."""

    def make(**options):
        return loop_world.client(server, transport="aiohttp", **options)

    return make


class TestTheChoice:
    @pytest.mark.parametrize("name", ["", "HTTPX", "requests", None, 1])
    def test_others_are_refused(self, name):
        for cls in (AsyncClient, Client):
            with pytest.raises(InvalidArgument, match="transport"):
                cls(access_token="t", transport=name)

    def test_blocking(self):
        with pytest.raises(InvalidArgument, match="transport"):
            Client(access_token="t", transport="aiohttp")

    def test_not_for_a_client_that_was_handed_in(self, loop_world):
        http = loop_world.http_client()
        with pytest.raises(InvalidArgument, match="http_client"):
            AsyncClient(access_token="t", transport="aiohttp", http_client=http)

    def test_without_the_extra(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "genesys_stream._aio.over_aiohttp", None)
        with pytest.raises(ConfigurationError, match=r"genesys-stream\[aiohttp\]"):
            AsyncClient(access_token="t", transport="aiohttp")

    def test_one_tls_context(self):
        client = AsyncClient(access_token="t", transport="aiohttp")
        assert client._session._pools[True]._verify is shared_tls(httpx)
        assert isinstance(shared_tls(httpx), ssl.SSLContext)

    def test_not_on_trio(self, server):
        async def scenario():
            async with WORLDS["trio"].client(server, access_token="t", transport="aiohttp") as client:
                with pytest.raises(UsageError, match="asyncio"):
                    await client.completions.create(**ASK)

        trio.run(scenario)

    async def test_a_proxy_of_the_environment(self, loop_world, monkeypatch):
        """Requests go to it, with its password."""
        asked = []

        async def proxy(reader, writer):
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(proxy, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            monkeypatch.setenv("HTTP_PROXY", f"http://user:secret@127.0.0.1:{port}")
            options = {"base_url": "http://api.example", "allow_insecure_http": True, "transport": "aiohttp"}
            async with AsyncClient(access_token="t", **options) as client:
                await client.push.send(["device"], "t", "b")

        (request,) = asked
        assert request.startswith(b"POST http://api.example/api/v2/notifications/push HTTP/1.1\r\n")
        assert b"Proxy-Authorization: Basic " + base64.b64encode(b"user:secret") in request

    async def test_a_host_without_the_proxy(self, loop_world, client_of, fake, monkeypatch):
        """NO_PROXY is obeyed."""
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
        async with client_of() as client:
            await client.push.send(["device"], "t", "b")
        assert len(fake.pushes) == 1


class TestStreams:
    async def test_to_the_end(self, loop_world, client_of, fake):
        fake.completions.say(["Hello", ", ", "world."], every=0.005)
        async with client_of() as client:
            stream = client.completions.stream(**ASK)
            assert "".join([chunk.text async for chunk in stream]) == "Hello, world."
            assert stream.completion.finish_reason == "stop"

    async def test_one_connection_for_many(self, loop_world, client_of, fake):
        fake.completions.say(["word "] * 3, times=None)
        async with client_of(access_token=fake.issue_token()) as client:
            for _ in range(30):
                await client.completions.stream(**ASK).result()
                await client.push.send(["device"], "t", "b")
        assert fake.connections == 2, "one for completions, one for pushes"

    async def test_left_early(self, loop_world, client_of, fake):
        fake.completions.say(["word "] * 50, every=0.01, times=None)
        async with client_of(max_connections=2) as client:
            for _ in range(10):
                async for chunk in client.completions.stream(**ASK):
                    if chunk.text:
                        break
                gc.collect()
            await loop_world.until(lambda: fake.open_answers == 0)

    async def test_cut_off(self, loop_world, client_of, fake):
        fake.completions.drop(after_events=3)
        async with client_of(retry=ONCE) as client:
            with pytest.raises((StreamTruncated, ConnectionLost)) as caught:
                await client.completions.stream(**ASK).result()
        assert caught.value.partial.text

    async def test_a_silent_service(self, loop_world, client_of, fake):
        fake.completions.stall(after_events=3, seconds=5)
        async with client_of(timeouts=Timeouts(transport_idle=0.2), retry=ONCE) as client:
            with pytest.raises(TransportIdleTimeout):
                await client.completions.stream(**ASK).result()

    async def test_a_pause_longer_than_the_first_token_may_take(self, loop_world, client_of, fake):
        """What is left for the first token bounds the wait for the headers, and no read after the first token."""
        fake.completions.say(["one ", "two"], every=2.5)
        async with client_of(access_token=fake.issue_token(), timeouts=Timeouts(first_token=2), retry=ONCE) as client:
            assert (await client.completions.stream(**ASK).result()).text == "one two"

    async def test_heartbeats_and_no_token(self, loop_world, client_of, fake):
        fake.completions.stall(after_events=3, seconds=5, heartbeat_every=0.02)
        async with client_of(timeouts=Timeouts(token_idle=0.2), retry=ONCE) as client:
            with pytest.raises(TokenIdleTimeout):
                await client.completions.stream(**ASK).result()


class TestTheNetwork:
    @pytest.mark.parametrize("status", [b"407 Proxy Authentication Required", b"403 Forbidden"])
    async def test_a_proxy_that_refuses(self, loop_world, status, monkeypatch):
        """A refused CONNECT is a connection that was not made, so that the push was certainly not sent."""
        with Wire([reply(b"{}", status)]) as wire:
            monkeypatch.setenv("HTTPS_PROXY", wire.base_url)
            options = {"base_url": "https://api.example.com", "access_token": "t", "transport": "aiohttp"}
            async with AsyncClient(**options, retry=ONCE) as client:
                with pytest.raises(ConnectFailed):
                    await client.push.send(["device"], "t", "b")

    async def test_no_connection(self, loop_world, client_of, fake, server):
        async with client_of(access_token=fake.issue_token(), retry=ONCE) as client:
            with server.refusing(), pytest.raises(ConnectFailed):
                await client.push.send(["device"], "t", "b")

    async def test_a_lost_answer_is_not_a_connection_that_was_never_made(self, loop_world, client_of, fake):
        """Else the push would be sent twice."""
        fake.push.lose_answer()
        async with client_of() as client:
            with pytest.raises(AmbiguousDelivery):
                await client.push.send(["device"], "t", "b")
        assert len(fake.pushes) == 1

    async def test_all_connections_in_use(self, loop_world, client_of, fake):
        fake.completions.say(["word "] * 100, every=0.02, times=None)
        timeouts = Timeouts(pool=0.1)
        async with client_of(
            access_token=fake.issue_token(), max_connections=2, timeouts=timeouts, retry=ONCE
        ) as client:
            async with client.completions.stream(**ASK), client.completions.stream(**ASK):
                with pytest.raises(PoolExhausted, match="max_connections"):
                    await client.completions.stream(**ASK).result()


class TestRelays:
    async def test_exactly_once(self, loop_world, client_of, fake):
        fake.completions.say(["word "] * 40, every=0.005)
        async with client_of() as client:
            report = await relay(
                client.completions.stream(**ASK), client.push.to("device"), coalescer=TimeSize(0.02, 500)
            )
        assert "".join(push["data"]["llm_response"] for push in fake.pushes) == "word " * 40
        assert report.undelivered == ()


@pytest.mark.parametrize("way", ["natively", "by_scope"])
async def test_cancelled_at_any_point(loop_world, client_of, fake, way):
    """However often it is cancelled, the pool has its slots again, and nothing stays open."""
    fake.completions.say(["word "] * 8, every=0.002, first_after=0.003, headers_after=0.002, times=None)
    fake.push.late(0.002, times=None)
    rng = random.Random(way)

    async def work(client, kind):
        if kind == 0:
            await client.completions.stream(**ASK).result()
        elif kind == 1:
            await relay(
                client.completions.stream(**ASK), client.push.to("d"), coalescer=TimeSize(0.005, 20), grace=0.02
            )
        else:
            await client.push.send(["device"], "t", "b")

    async def cancelled(client, kind, delay):
        if way == "by_scope":
            with anyio.move_on_after(delay):
                await work(client, kind)
            return
        task = asyncio.ensure_future(work(client, kind))
        await asyncio.sleep(delay)
        task.cancel()
        await asyncio.wait([task])

    async with client_of(access_token=fake.issue_token(), max_connections=4, timeouts=Timeouts(pool=5)) as client:
        for number in range(20):
            await asyncio.gather(*(cancelled(client, (number + k) % 3, rng.uniform(0, 0.03)) for k in range(6)))
        with anyio.fail_after(5):
            await asyncio.gather(*(work(client, 0) for _ in range(4)))
    assert settle(lambda: fake.open_connections == 0)


class TestManyStreams:
    @pytest.mark.parametrize("transport", ["httpx", "aiohttp"])
    async def test_150_at_once(self, loop_world, server, fake, transport):
        """The HTTP library's own bound is 100, of which the 101st stream would die."""
        fake.completions.say(["word "] * 20, every=0.1, times=None)
        options = {"transport": transport, "timeouts": Timeouts(pool=0.5)}
        most = 0

        async def one(client):
            nonlocal most
            async for _ in client.completions.stream(**ASK):
                most = max(most, fake.open_answers)

        async with loop_world.client(server, access_token=fake.issue_token(), **options) as client:
            await asyncio.gather(*(one(client) for _ in range(150)))
        assert most == 150
