"""The pools of connections, and what they are made with: sizes, keep-alive, transports, the environment."""

import asyncio
import sys

import httpx
import pytest
from tests.shells.worlds import ASK, WORLDS

from genesys_stream import (
    AmbiguousDelivery,
    AsyncClient,
    Client,
    ConfigurationError,
    PoolExhausted,
    Retry,
    StreamStateError,
    Timeouts,
    TransportIdleTimeout,
    UsageError,
)
from genesys_stream._http import KEEPALIVE_SECONDS

ONCE = Retry(attempts=1)
TRANSPORTS = [("sync", "httpx"), ("sync", "httpx2"), ("asyncio", "httpx"), ("asyncio", "httpx2")]
TRANSPORTS += [("asyncio", "aiohttp"), ("trio", "httpx"), ("trio", "httpx2")]


@pytest.fixture
def world(request):
    return WORLDS[request.param]


every_transport = pytest.mark.parametrize(("world", "transport"), TRANSPORTS, indirect=["world"])


@every_transport
async def test_streams_do_not_hold_up_pushes(world, transport, fake, server):
    """With as many open streams as there may be, a push still goes out, and another stream says what is exhausted."""
    fake.completions.say(["word "] * 200, every=0.02, times=None)
    options = {"max_connections": 2, "timeouts": Timeouts(pool=0.1), "retry": ONCE, "transport": transport}
    async with world.client(server, access_token=fake.issue_token(), **options) as client:
        async with client.completions.stream(**ASK) as one, client.completions.stream(**ASK) as other:
            await anext(one), await anext(other)
            await client.push.send(["device"], "t", "b")
            with pytest.raises(PoolExhausted, match="for completions are all in use; raise max_connections"):
                await client.completions.stream(**ASK).result()

    assert len(fake.pushes) == 1


@every_transport
async def test_a_whole_stream(world, transport, fake, server):
    """A stream, a push and a token go over each HTTP library, and the connections are used again."""
    fake.completions.say(["Hello", ", ", "world."], times=None)
    async with world.client(server, transport=transport) as client:
        for _ in range(3):
            assert (await client.completions.stream(**ASK).result()).text == "Hello, world."
            assert (await client.push.send(["device"], "t", "b")).attempts == 1

    assert fake.connections == 2


@pytest.mark.parametrize("transport", ["httpx", "httpx2"])
@pytest.mark.parametrize("cls", [Client, AsyncClient])
def test_idle_connections_outlive_a_pause_between_pushes(cls, transport):
    """They are kept for longer than six seconds, and closed before a load balancer would do it after sixty."""
    client = cls(access_token="t", transport=transport)
    pools = [http._transport._pool for http in client._session._pools.values()]

    assert [pool._keepalive_expiry for pool in pools] == [KEEPALIVE_SECONDS] * 2
    assert 6 < KEEPALIVE_SECONDS < 60


@pytest.mark.parametrize("cls", [Client, AsyncClient])
def test_httpx2(cls, monkeypatch):
    """It is used if it is asked for, and its extra is named if it is not there."""
    httpx2 = pytest.importorskip("httpx2")
    kind = httpx2.Client if cls is Client else httpx2.AsyncClient
    assert all(isinstance(http, kind) for http in cls(access_token="t", transport="httpx2")._session._pools.values())

    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(ConfigurationError, match=r'pip install "genesys-stream\[httpx2\]"'):
        cls(access_token="t", transport="httpx2")


@pytest.mark.parametrize("world", ["sync", "asyncio", "trio"], indirect=True)
async def test_an_httpx2_client_of_the_callers(world, fake, server):
    """It sends everything."""
    fake.completions.say(["Hello"])
    httpx2 = pytest.importorskip("httpx2")
    async with world.http_client(httpx2) as http, world.client(server, http_client=http) as client:
        assert (await client.completions.stream(**ASK).result()).text == "Hello"
        await client.push.send(["device"], "t", "b")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("NO_PROXY", "[::1"),
        ("HTTPS_PROXY", "socks4://127.0.0.1:1"),
        ("HTTPS_PROXY", "socks5://127.0.0.1:1"),
        ("HTTPS_PROXY", "http://127.0.0.1:70000"),
        ("SSL_CERT_FILE", "/nowhere/certificates.pem"),
        ("SSL_CERT_FILE", __file__),
    ],
)
@pytest.mark.parametrize("cls", [Client, AsyncClient])
def test_an_invalid_environment(cls, variable, value, monkeypatch):
    """What the HTTP library cannot use is a ConfigurationError that names the variable."""
    from genesys_stream import _http

    monkeypatch.setattr(_http, "shared_tls", _http.shared_tls.__wrapped__)
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=variable):
        cls(access_token="t")


def test_a_socks_proxy_and_aiohttp(monkeypatch):
    """aiohttp knows none, and the error says so."""
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1")
    with pytest.raises(ConfigurationError, match="not socks5"):
        AsyncClient(access_token="t", transport="aiohttp")


# The sockets of the first loop are left to the garbage collector, because their loop has ended.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_a_second_event_loop(fake, server):
    """A client that was used on another event loop says so, instead of failing on that loop's connections."""
    client = WORLDS["asyncio"].client(server)

    async def push():
        await client.push.send(["device"], "t", "b")

    asyncio.run(push())
    with pytest.raises(UsageError, match="another event loop"):
        asyncio.run(push())
    asyncio.run(client.aclose())


@pytest.mark.parametrize("world", ["sync", "asyncio", "trio"], indirect=True)
async def test_a_second_iteration(world, fake, server):
    """A stream that was read to its end says so when it is iterated again; its completion can still be asked for."""
    fake.completions.say(["Hello"])
    async with world.client(server) as client:
        stream = client.completions.stream(**ASK)
        assert "".join([chunk.text async for chunk in stream]) == "Hello"
        with pytest.raises(StreamStateError, match="only once"):
            [chunk async for chunk in stream]
        assert (await stream.result()).text == "Hello"


@pytest.mark.parametrize("world", ["asyncio", "trio"], indirect=True)
@pytest.mark.parametrize("says", [0, 1])
async def test_timeouts_before_the_headers_on_a_transport_that_ignores_them(world, says):
    """The clocks of a push, of a whole completion, of a stream's beginning and of the token hold there, too."""

    async def silent(scope, receive, send):
        await world.sleep(1)

    class Slow(httpx.AsyncBaseTransport):
        """Sends the headers of every answer, and nothing of its body."""

        async def handle_async_request(self, request):
            return httpx.Response(200, headers={"Content-Type": "application/json"}, stream=Silent())

    class Silent(httpx.AsyncByteStream):
        async def __aiter__(self):
            await world.sleep(1)
            yield b""

    async with httpx.AsyncClient(transport=[httpx.ASGITransport(silent), Slow()][says]) as http:
        timeouts = Timeouts(push=0.1, answer=0.1, transport_idle=0.1)
        options = {"base_url": "http://127.0.0.1", "http_client": http, "timeouts": timeouts, "retry": ONCE}
        client = AsyncClient(access_token="t", **options)
        with pytest.raises(AmbiguousDelivery) as caught:
            await client.push.send(["device"], "t", "b")
        assert isinstance(caught.value.__cause__, TransportIdleTimeout)
        with pytest.raises(TransportIdleTimeout):
            await client.completions.create(**ASK)
        with pytest.raises(TransportIdleTimeout):
            await client.completions.stream(**ASK).result()
        with pytest.raises(TransportIdleTimeout):
            await AsyncClient("id", "secret", login_url="http://127.0.0.1", **options).push.send(["device"], "t", "b")


@pytest.mark.parametrize("world", ["asyncio", "trio"], indirect=True)
async def test_a_transport_that_ignores_timeouts(world):
    """The deadline of a call holds before the headers, too, such as with an ASGI app."""

    async def app(scope, receive, send):
        await world.sleep(1)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as http:
        client = AsyncClient(access_token="t", base_url="http://127.0.0.1", http_client=http)
        quick = client.with_options(timeouts=Timeouts(first_token=0.1, total=0.1), retry=ONCE)
        with pytest.raises(TimeoutError):
            await quick.completions.stream(**ASK).result()
        with pytest.raises(TimeoutError):
            await quick.completions.create(**ASK)
