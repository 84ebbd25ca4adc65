"""Nothing but the library's own exceptions leaves it, whatever the transport raises and whatever bytes come."""

import pickle

import httpx
import pytest
from hypothesis import given, settings, strategies as st
from tests.shells.worlds import ASK, WORLDS
from tests.strategies import chunk_json, json_values

from genesys_stream import GenesysStreamError, NetworkError, Retry, Timeouts
from genesys_stream._wire import dumps

ONCE = Retry(attempts=2, wait_initial=0.0, wait_max=0.0)
FAILURES = [
    cls
    for cls in vars(httpx).values()
    if isinstance(cls, type) and issubclass(cls, (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL))
]
FAILURES = [cls for cls in FAILURES if cls not in {httpx.HTTPError, httpx.StreamError}]
OTHERS = [OSError, ConnectionResetError, ValueError, RuntimeError, UnicodeDecodeError, EOFError, MemoryError]


def broken(cls):
    """An exception of any class."""
    if issubclass(cls, httpx.HTTPStatusError):
        return cls("broken", request=httpx.Request("GET", "http://x"), response=httpx.Response(500))
    if cls is UnicodeDecodeError:
        return cls("utf-8", b"\xff", 0, 1, "broken")
    try:
        return cls("broken")
    except TypeError:
        return cls()


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """Says some bytes, and may break at any point."""

    def __init__(self, pieces, error, at):
        self.pieces, self.error, self.at = pieces, error, at

    def __iter__(self):
        if self.at == "read" and not self.pieces:
            raise self.error
        yield from self.pieces
        if self.at == "read":
            raise self.error

    async def __aiter__(self):
        for piece in self:
            yield piece

    def close(self):
        if self.at == "close":
            raise self.error

    async def aclose(self):
        self.close()


class Transport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Answers whatever it was given."""

    def __init__(self, status, headers, pieces, error=None, at=None):
        self.answer = status, headers, pieces, error, at

    def handle_request(self, request):
        status, headers, pieces, error, at = self.answer
        if at == "open":
            raise error
        return httpx.Response(status, headers=headers, stream=Body(pieces, error, at))

    async def handle_async_request(self, request):
        return self.handle_request(request)


async def all_calls(world, transport):
    """Make every kind of call; returns what came of each, which is nothing but a value or an exception of ours."""
    outcomes = []
    async with world.http_client(transport=transport) as http:
        options = {"access_token": "token", "base_url": "http://localhost", "http_client": http, "retry": ONCE}
        async with world.make({**options, "timeouts": Timeouts(total=5)}) as client:
            for call in (
                lambda: client.completions.stream(**ASK).result(),
                lambda: client.completions.create(**ASK),
                lambda: client.push.send(["device"], "t", "b"),
                lambda: world.relay(client.completions.stream(**ASK), client.push.to("d"), give_up_after=0.0),
            ):
                try:
                    outcomes.append(await call())
                except GenesysStreamError as error:
                    outcomes.append(error)
    for outcome in outcomes:
        if isinstance(outcome, GenesysStreamError):
            revived = pickle.loads(pickle.dumps(outcome))
            assert (type(outcome), str(outcome), outcome.args) == (type(revived), str(revived), revived.args)
            assert vars(outcome).keys() == vars(revived).keys()
            assert isinstance(outcome.retryable, bool)
            assert outcome.retry_after is None or outcome.retry_after >= 0
    return outcomes


@pytest.mark.parametrize("at", ["open", "read", "close"])
@pytest.mark.parametrize("cls", [*FAILURES, *OTHERS], ids=lambda cls: cls.__name__)
async def test_nothing_else_comes_out(world, cls, at):
    """Every exception that the HTTP library, or anything below it, raises at any point, becomes one of ours."""
    headers = {"Content-Type": "text/event-stream"}
    said = b'data: {"choices": [{"index": 0, "delta": {"content": "said"}}]}\n\n'

    outcomes = await all_calls(world, Transport(200, headers, [said], broken(cls), at))

    if at != "close":
        assert all(isinstance(outcome, (GenesysStreamError)) for outcome in outcomes)
    if cls is httpx.StreamClosed:
        return  # a stream that is closed under its reader is what a closed client looks like
    if at == "read":
        assert outcomes[0].partial.text == "said"
    if at == "open" and cls in FAILURES:
        assert isinstance(outcomes[0], NetworkError)


_lines = st.one_of(
    st.binary(max_size=30),
    (chunk_json | json_values).map(lambda value: b"data: " + _dumped(value) + b"\n\n"),
    st.sampled_from(
        [b"data: [DONE]\n\n", b": beat\n\n", b"event: error\n", b"data:", b"\r", b"\n", b"\xef\xbb\xbf", b"{"]
    ),
)
_types = st.sampled_from(["text/event-stream", "application/json", "text/html", "text/plain", "", "x/y+json", "\xff;"])
_headers = st.fixed_dictionaries(
    {"Content-Type": _types},
    optional={
        "Retry-After": st.sampled_from(["0", "-1", "1e9", "999999", "soon", "Thu, 01 Jan 1970 00:00:00 GMT"]),
        "Content-Encoding": st.sampled_from(["gzip", "deflate", "br", "identity", "gzip, gzip", "nonsense"]),
        "Date": st.sampled_from(["", "Thu, 99 Foo 1970", "Thu, 01 Jan 1970 00:00:00 GMT"]),
        "ININ-Correlation-Id": st.sampled_from(["", "abc", "\xff"]),
    },
)


def _dumped(value):
    try:
        return dumps(value)
    except ValueError:
        return b"{}"


@pytest.mark.parametrize("name", ["sync", "asyncio"])
@given(
    status=st.sampled_from([200, 201, 204, 206, 301, 304, 400, 401, 403, 404, 418, 429, 500, 503, 599]),
    headers=_headers,
    pieces=st.lists(_lines, max_size=8),
    error=st.none() | st.sampled_from([httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError, OSError]),
    at=st.sampled_from(["read", "close"]),
)
@settings(max_examples=60, deadline=None)
def test_any_bytes(name, status, headers, pieces, error, at):
    """Any status, any headers, any bytes, cut anywhere and broken anywhere."""
    transport = Transport(status, headers, pieces, error and broken(error), error and at)
    world = WORLDS[name]

    world.run(all_calls, world, transport)
