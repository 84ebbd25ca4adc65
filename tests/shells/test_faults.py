"""The faults of networks, gateways and services, on real sockets, in every world; docs/faults.md has a row for each.

A fault ends in success or in the exception that the page names, with what was said before in `partial`; and nothing
stays behind: no connection, no thread, no file descriptor.
"""

import gc
import json
import pickle
import ssl
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import trustme
from tests.shells.wire import CHUNKED, END, RESET, STAY, STREAM, Wire, chunked, reply
from tests.shells.worlds import ASK, settle

from genesys_stream import (
    AmbiguousDelivery,
    AuthenticationError,
    BadGateway,
    BadRequest,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    EventTooLarge,
    GatewayTimeout,
    GenesysStreamError,
    MalformedEvent,
    NetworkError,
    NotFound,
    PermissionDenied,
    RateLimited,
    RequestTimeout,
    Retry,
    ServerError,
    ServiceUnavailable,
    StreamAssembler,
    StreamTruncated,
    Timeouts,
    TokenIdleTimeout,
    TransportIdleTimeout,
    UnexpectedContent,
    _http,
)

SAID = ["Hé", "llo, ", "wör", "ld ", "👍🏽", "."]
TEXT = "".join(SAID)
QUICK = Retry(attempts=3, wait_initial=0.01, wait_max=0.02)
ONCE = Retry(attempts=1)
DONE = b"data: [DONE]\n\n"
PUSH = (["device"], "Title", "Body", {"key": "value"})
FDS = next((path for path in (Path("/proc/self/fd"), Path("/dev/fd")) if path.is_dir()), None)


@pytest.fixture(autouse=True)
def descriptors():
    """When a test is over, there are as many file descriptors as before."""
    if FDS is None:
        yield
        return
    gc.collect()
    before = len(list(FDS.iterdir()))
    yield
    gc.collect()
    assert settle(lambda: len(list(FDS.iterdir())) <= before), "file descriptors were left open"


def event(text, finish_reason=None):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}
    return b"data: %b\n\n" % json.dumps({"id": "c", "choices": [choice]}, ensure_ascii=False).encode()


WHOLE = [*map(event, SAID), event("", "stop"), DONE]
RECEIPT = reply(b'{"id": "push-1", "status": "queued", "targets_count": 1}', b"202 Accepted")


def client_of(world, wire, **options):
    options = {"access_token": "token", "retry": ONCE, "timeouts": Timeouts(transport_idle=5), **options}
    return world.make({"base_url": wire.base_url, **options})


async def fault(awaitable):
    """The exception that something ends in, which is ours, says what to do, and survives a pickle."""
    with pytest.raises(GenesysStreamError) as caught:
        await awaitable
    error = caught.value
    revived = pickle.loads(pickle.dumps(error))
    assert type(error) is type(revived)
    assert (str(error), error.retryable, error.retry_after) == (str(revived), revived.retryable, revived.retry_after)
    assert isinstance(error.retryable, bool)
    return error


async def read(client, **options):
    return await client.completions.stream(**ASK, **options).result()


async def said_of(client):
    return (await read(client)).text


class TestConnecting:
    async def test_refused(self, world, fake, server):
        """Nobody listens: nothing was sent, neither a stream nor a push, and a push is not ambiguous."""
        async with world.client(server, access_token="token", retry=QUICK) as client:
            with server.refusing():
                stream = await fault(read(client))
                push = await fault(client.push.send(*PUSH))

        assert (ConnectFailed, ConnectFailed) == (type(stream), type(push))
        assert fake.request_log == []

    async def test_tls_that_is_not_trusted(self, world):
        """A certificate of an authority that nobody knows: no connection, and so no token is shown to anybody."""
        with Wire([RECEIPT], tls=tls_of(trustme.CA())) as wire:
            async with client_of(world, wire) as client:
                error = await fault(read(client))

            assert isinstance(error, ConnectFailed)
            assert "CERTIFICATE_VERIFY_FAILED" in str(error)
            assert wire.requests == []

    async def test_tls_for_another_host(self, world):
        """A certificate that is trusted, but for another name."""
        authority = trustme.CA()
        trust = ssl.create_default_context()
        authority.configure_trust(trust)
        with Wire([RECEIPT], tls=tls_of(authority, "elsewhere.example")) as wire:
            async with world.http_client(verify=trust) as own, client_of(world, wire, http_client=own) as client:
                error = await fault(client.push.send(*PUSH))

            assert isinstance(error, ConnectFailed)
            assert wire.requests == []

    async def test_tls_of_ones_own_authority(self, world):
        """An HTTP client that trusts it gets through: verification is moved, never turned off."""
        authority = trustme.CA()
        trust = ssl.create_default_context()
        authority.configure_trust(trust)
        with Wire([CHUNKED + chunked(*WHOLE) + END, STAY], tls=tls_of(authority)) as wire:
            async with world.http_client(verify=trust) as own, client_of(world, wire, http_client=own) as client:
                assert await said_of(client) == TEXT

    async def test_no_tls_at_all(self, world):
        """A plain server where TLS was expected is no connection."""
        with Wire([RECEIPT]) as wire:
            url = wire.base_url.replace("http:", "https:")
            async with client_of(world, wire, base_url=url) as client:
                error = await fault(read(client))

        assert isinstance(error, ConnectFailed)

    async def test_a_name_that_does_not_resolve(self, world):
        """No such host: nothing was sent."""
        async with world.make({"base_url": "https://api.invalid", "access_token": "t", "retry": ONCE}) as client:
            error = await fault(read(client))
            push = await fault(client.push.send(*PUSH))

        assert (ConnectFailed, ConnectFailed) == (type(error), type(push))
        assert error.retryable
        assert error.partial.text == ""


def tls_of(authority, *names):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*(names or ("127.0.0.1",))).configure_cert(context)
    return context


FRAMING = {
    "a chunk that is cut": [CHUNKED + chunked(*WHOLE[:2]) + b"100\r\ndata: "],
    "a chunk that is cut by a reset": [CHUNKED + chunked(*WHOLE[:2]) + b"100\r\ndata: ", RESET],
    "a size that is no number": [CHUNKED + chunked(*WHOLE[:2]), 0.02, b"ZZ\r\n\r\n"],
    "a chunk longer than it says": [CHUNKED + chunked(*WHOLE[:2]), 0.02, b"2\r\nlong\r\n"],
    "no last chunk": [CHUNKED + chunked(*WHOLE[:2])],
    "shorter than Content-Length": [STREAM + b"Content-Length: 1000\r\n\r\n" + b"".join(WHOLE[:2])],
    "no length, and a close in the middle": [STREAM + b"\r\n" + b"".join(WHOLE[:2]) + b'data: {"choi'],
}


class TestFraming:
    @pytest.mark.parametrize("script", FRAMING.values(), ids=FRAMING)
    async def test_a_body_that_is_broken(self, world, script):
        """A body that is cut, or framed wrongly: what was said before is handed out, then the error has all of it."""
        with Wire(script) as wire:
            async with client_of(world, wire, retry=QUICK) as client:
                stream = client.completions.stream(**ASK)
                got = []

                async def loop():
                    async for one in stream:
                        got.append(one.text)

                error = await fault(loop())

        assert isinstance(error, (ConnectionLost, StreamTruncated))
        assert error.retryable
        assert got == SAID[:2]
        assert "".join(SAID[:2]) == error.partial.text
        assert len(wire.requests) == 1

    @pytest.mark.parametrize("ending", [[], [RESET], [b"ZZ\r\n"], [b"100\r\nda"]], ids=["FIN", "RST", "ZZ", "cut"])
    async def test_a_body_that_is_broken_after_its_end(self, world, ending):
        """What happens to a body after [DONE] is nobody's loss."""
        with Wire([CHUNKED + chunked(*WHOLE), *ending]) as wire:
            async with client_of(world, wire) as client:
                assert await said_of(client) == TEXT

    @pytest.mark.parametrize(
        "answer",
        [b"SSH-2.0-OpenSSH_9.6\r\n", b"\x15\x03\x01\x00\x02\x02\x46", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2**18, b""],
        ids=["SSH", "a TLS alert", "headers without end", "nothing"],
    )
    async def test_an_answer_that_is_not_http(self, world, answer):
        """Whatever answers is not a web server: a completion is asked for again, a push is ambiguous."""
        with Wire([answer]) as wire:
            async with client_of(world, wire, retry=QUICK) as client:
                stream = await fault(read(client))
                push = await fault(client.push.send(*PUSH))

        assert (ConnectionLost, AmbiguousDelivery) == (type(stream), type(push))
        assert len(wire.requests) == QUICK.attempts + 1


class TestContent:
    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            ("text/html; charset=utf-8", b"<html><h1>Login</h1></html>"),
            ("text/plain", b"<!doctype html><p>Login"),
            ("application/xml", b"<Error><Code>AccessDenied</Code></Error>"),
            ("application/pdf", b"%PDF-1.7"),
        ],
    )
    async def test_a_wrong_content_type(self, world, fake, server, content_type, body):
        """A success that is no completion is shown for what it is, and not asked for again."""
        fake.completions.answer(200, body=body, headers={"Content-Type": content_type}, times=None)
        async with world.client(server, retry=QUICK) as client:
            for call in (read(client), client.completions.create(**ASK)):
                error = await fault(call)

                assert isinstance(error, UnexpectedContent)
                assert (error.content_type, error.first_bytes) == (content_type.partition(";")[0], body)
                assert not error.retryable
        assert len(fake.completions.requests) == 2

    @pytest.mark.parametrize("content_type", ["text/plain", "application/octet-stream", "TEXT/EVENT-STREAM;x=y", ""])
    async def test_a_content_type_that_says_nothing(self, world, fake, server, content_type):
        """A stream under another name is looked at, and read."""
        headers = {"Content-Type": content_type} if content_type else {}
        fake.completions.raw(WHOLE, headers=headers)
        async with world.client(server) as client:
            assert await said_of(client) == TEXT

    @pytest.mark.parametrize(("status", "cls"), [(502, BadGateway), (403, PermissionDenied), (500, ServerError)])
    async def test_a_page_for_an_error(self, world, fake, server, status, cls):
        """A gateway's own page is an error of its status, whatever it looks like, and its bytes are kept."""
        page = b"<html><body><h1>CloudFront</h1></body></html>"
        for route in (fake.completions, fake.push):
            route.answer(status, body=page, headers={"Content-Type": "text/html"}, times=None)
        async with world.client(server, retry=ONCE) as client:
            for call in (read(client), client.push.send(*PUSH)):
                error = await fault(call)

                assert type(error) is cls
                assert (error.status, error.body, error.code) == (status, page, "")

    async def test_an_error_in_a_success(self, world, fake, server):
        """An error object behind a 200 is an error, whether a stream was asked for or a whole."""
        body = {"message": "slow down", "code": "too.many.requests", "status": 429, "contextId": "c-1"}
        fake.completions.answer(200, json=body, times=None)
        async with world.client(server, retry=ONCE) as client:
            for call in (read(client), client.completions.create(**ASK)):
                error = await fault(call)

                assert isinstance(error, RateLimited)
                assert (error.status, error.code, error.context_id) == (429, "too.many.requests", "c-1")
                assert error.in_stream and error.retryable

    @pytest.mark.parametrize(
        ("piece", "cls", "status"),
        [
            (b'data: {"message": "gone", "code": "service.unavailable", "status": 503}\n\n', ServiceUnavailable, 503),
            (b'event: error\ndata: {"message": "slow", "type": "rate_limit_error"}\n\n', RateLimited, 429),
            (b"event: error\ndata: it broke\n\n", ServerError, 500),
            (b'event: error\ndata: "overloaded"\n\n', ServerError, 500),
        ],
    )
    async def test_an_error_event_without_an_error_key(self, world, fake, server, piece, cls, status):
        """Genesys Cloud's own error body, and events that only call themselves errors, end the stream as such."""
        fake.completions.raw([*WHOLE[:2], piece, *WHOLE[2:]])
        async with world.client(server, retry=QUICK) as client:
            error = await fault(read(client))

        assert isinstance(error, cls)
        assert (error.status, error.in_stream) == (status, True)
        assert "".join(SAID[:2]) == error.partial.text
        assert len(fake.completions.requests) == 1

    @pytest.mark.parametrize("more", [[event("more")], [b"data: {broken\n\n"], [DONE, event("x")], [b"\xff" * 9999]])
    async def test_data_after_done(self, world, fake, server, more):
        """[DONE] is the end: what follows is not read, and the connection is used again."""
        fake.completions.raw([*WHOLE, *more], times=3)
        async with world.client(server) as client:
            for _ in range(3):
                assert await said_of(client) == TEXT

        assert fake.connections == 2, "one for the token, one for completions"

    async def test_malformed_json(self, world, fake, server):
        """One event that is not JSON ends the stream, with its data and what was said before."""
        fake.completions.raw([*WHOLE[:2], b'data: {"choices": [{"delta": \n\n', *WHOLE[2:]])
        async with world.client(server, retry=QUICK) as client:
            error = await fault(read(client))

        assert isinstance(error, MalformedEvent)
        assert (error.data, error.retryable) == ('{"choices": [{"delta": ', False)
        assert "".join(SAID[:2]) == error.partial.text

    async def test_a_lone_surrogate(self, world, fake, server):
        """Half a character that stays alone becomes U+FFFD, on the screen and on the phone."""
        fake.completions.say(["a\ud83d", "b", "\ude00c"], times=2)
        async with world.client(server) as client:
            stream = client.completions.stream(**ASK)
            assert "".join([text async for text in stream.text_stream]) == "a\ufffdb\ufffdc" == stream.completion.text
            await world.relay(client.completions.stream(**ASK), client.push.to("device"))

        assert "".join(push["data"]["llm_response"] for push in fake.pushes) == "a\ufffdb\ufffdc"


class TestPace:
    async def test_one_byte_at_a_time(self, world, fake, server):
        """A stream that dribbles is read like any other."""
        body = b"".join([event("Hé"), event("👍🏽", "stop"), DONE])
        pieces = [piece for at in range(len(body)) for piece in (body[at : at + 1], 0.0005)]
        fake.completions.raw(pieces)
        async with world.client(server) as client:
            assert await said_of(client) == "Hé👍🏽"

    async def test_one_byte_at_a_time_for_ever(self, world, fake, server):
        """Bytes that never make an event keep the connection alive, and not the answer: the token's clock runs out."""
        fake.completions.raw([*WHOLE[:2], b"data: ", *[b"x", 0.02] * 500])
        clocks = Timeouts(token_idle=0.2, transport_idle=5)
        async with world.client(server, timeouts=clocks) as client:
            error = await fault(read(client))

        assert isinstance(error, TokenIdleTimeout)
        assert (error.seconds, error.partial.text) == (0.2, "".join(SAID[:2]))

    @pytest.mark.parametrize("retry", [ONCE, QUICK], ids=["once", "again"])
    @pytest.mark.parametrize("script", ["silent", "200 OK", "400 Bad Request"])
    async def test_a_whole_answer_one_byte_at_a_time_for_ever(self, world, script, retry):
        """An answer that never becomes whole takes no longer than the call may; unless its status is known to be an
        error, a push may have been taken by then."""
        refused = script == "400 Bad Request"
        head = f"HTTP/1.1 {script}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n".encode()
        began = time.monotonic()
        with Wire([4.0] if script == "silent" else [head, *[b" ", 0.02] * 450]) as wire:
            async with client_of(world, wire, timeouts=Timeouts(total=0.2), retry=retry) as client:
                error = await fault(read(client))
                assert (type(error), error.seconds) == (DeadlineExceeded, 0.2)
                error = await fault(client.completions.create(**ASK))
                assert type(error) is (BadRequest if refused else DeadlineExceeded)
                error = await fault(client.push.send(*PUSH))
                assert type(error) is (BadRequest if refused else AmbiguousDelivery)
            assert time.monotonic() - began < 3.5


class TestSize:
    async def test_an_event_beyond_the_bound(self, world, fake, server):
        """An event that outgrows the bound is not gathered to its end."""
        fake.completions.raw([*WHOLE[:2], b"data: ", *[b"x" * 2**14] * 64, b"\n\n", *WHOLE[2:]])
        async with world.client(server, max_event_bytes=2**16) as client:
            error = await fault(read(client))

        assert isinstance(error, EventTooLarge)
        assert (error.limit, error.partial.text) == (2**16, "".join(SAID[:2]))

    async def test_an_event_of_100_mib(self, world, fake, server):
        """The bound there is by default holds: reading stops after 16 MiB of a hundred."""
        fake.completions.raw([*WHOLE[:2], b"data: ", *[b"x" * 2**20] * 100, b"\n\n", *WHOLE[2:]])
        async with world.client(server) as client:
            error = await fault(read(client))

        assert isinstance(error, EventTooLarge)
        assert (error.limit, error.partial.text) == (16 * 2**20, "".join(SAID[:2]))

    async def test_comments_of_8_mib(self, world, fake, server):
        """Comments without end are skipped, in one block below the bound and in any number of blocks."""
        comment = b": " + b"x" * 2**16 + b"\n"
        fake.completions.raw([*WHOLE[:2], *[comment] * 64, b"\n", *[comment + b"\n"] * 64, *WHOLE[2:]])
        async with world.client(server) as client:
            assert await said_of(client) == TEXT


STATUSES = [
    (400, BadRequest, 1),
    (401, AuthenticationError, 2),
    (403, PermissionDenied, 1),
    (404, NotFound, 1),
    (408, RequestTimeout, 1),
    (429, RateLimited, 3),
    (500, ServerError, 1),
    (502, BadGateway, 3),
    (503, ServiceUnavailable, 3),
    (504, GatewayTimeout, 3),
]


class TestStatuses:
    @pytest.mark.parametrize(("status", "cls", "requests"), STATUSES)
    async def test_for_ever(self, world, fake, server, status, cls, requests):
        """Each status has its class and its fields; four of them, and one refused token, are worth another try."""
        for route in (fake.completions, fake.push):
            route.fail(status, code="some.code", message="No.", times=None)
        async with world.client(server, retry=QUICK) as client:
            calls = (read(client), client.completions.create(**ASK), client.push.send(*PUSH))
            for number, call in enumerate(calls):
                error = await fault(call)

                assert type(error) is cls
                assert (error.status, error.code, error.message, error.in_stream) == (status, "some.code", "No.", False)
                assert error.correlation_id == fake.request_log[-1].correlation_id
                assert error.retryable == (status in {429, 502, 503, 504})
                asked = [*fake.completions.requests, *fake.push.requests]
                assert len(asked) == requests * (number + 1)
        assert fake.pushes == []

    @pytest.mark.parametrize("status", [401, 429, 502, 503, 504])
    async def test_once(self, world, fake, server, status):
        """What fails once and may pass is not seen at all."""
        fake.completions.fail(status)
        fake.push.fail(status)
        fake.completions.say(SAID)
        async with world.client(server, retry=QUICK) as client:
            assert await said_of(client) == TEXT
            assert (await client.push.send(*PUSH)).attempts == 2

        assert len(fake.pushes) == 1

    @pytest.mark.parametrize("cut", [[], [RESET], [1.0]], ids=["FIN", "RST", "silence"])
    @pytest.mark.parametrize(("status", "cls", "requests"), [(400, BadRequest, 1), (503, ServiceUnavailable, 3)])
    async def test_whose_body_breaks_off(self, world, status, cls, requests, cut):
        """The status of an error is known though its body does not come to its end, and so nothing is ambiguous."""
        head = b"HTTP/1.1 %d No\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nslow d" % status
        with Wire([head, 0.05, *cut]) as wire:  # what came just before a reset might be lost with it
            clocks = Timeouts(push=0.3, answer=0.3, transport_idle=0.3)
            async with client_of(world, wire, retry=QUICK, timeouts=clocks) as client:
                calls = (read(client), client.completions.create(**ASK), client.push.send(*PUSH))
                for number, call in enumerate(calls):
                    error = await fault(call)

                    assert (type(error), error.status, error.body) == (cls, status, b"slow d")
                    assert len(wire.requests) == requests * (number + 1)

    @pytest.mark.parametrize(
        ("retry_after", "waited", "raised"),
        [
            ("0", 0.0, None),
            ("0.2", 0.2, None),
            ("-5", 0.0, None),
            ("soon", 0.0, None),
            (None, 0.0, None),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0, None),
            ("181", 0.0, 181.0),
            ("99999999999999999999", 0.0, 1e20),
            (timedelta(days=1), 0.0, 86400.0),
        ],
        ids=str,
    )
    async def test_retry_after(self, world, fake, server, retry_after, waited, raised):
        """Seconds and dates are waited out up to the bound; what is past or makes no sense costs no time."""
        if isinstance(retry_after, timedelta):
            retry_after = datetime.now(UTC) + retry_after
        fake.completions.rate_limit(retry_after)
        fake.push.rate_limit(retry_after)
        fake.completions.say(SAID)
        async with world.client(server, retry=QUICK) as client:
            for call in (read(client), client.push.send(*PUSH)):
                began = time.monotonic()
                if raised is None:
                    await call
                else:
                    error = await fault(call)

                    assert isinstance(error, RateLimited) and error.retryable
                    assert error.retry_after == pytest.approx(raised, abs=2)
                assert time.monotonic() - began >= waited
        assert len(fake.pushes) == (raised is None)

    @pytest.mark.parametrize("clock", ["first_token", "total"])
    async def test_no_time_for_retry_after(self, world, fake, server, clock):
        """What cannot be waited out before a clock ends the call is not waited for."""
        fake.completions.rate_limit("60", times=None)
        fake.push.rate_limit("60", times=None)
        async with world.client(server, retry=QUICK, timeouts=Timeouts(**{clock: 30})) as client:
            calls = [read(client)]
            if clock == "total":
                calls += [client.completions.create(**ASK), client.push.send(*PUSH)]
            for call in calls:
                error = await fault(call)

                assert (type(error), error.retry_after) == (RateLimited, 60)
        assert len(fake.completions.requests) + len(fake.push.requests) == len(calls)


class TestTokens:
    async def test_slow(self, world, fake, server):
        """A token endpoint that is slow is waited for; one that is too slow is asked again."""
        fake.tokens.late(0.1)
        fake.completions.say(SAID)
        async with world.client(server) as client:
            assert await said_of(client) == TEXT
        fake.tokens.late(5.0)
        fake.completions.say(SAID)
        async with world.client(server, timeouts=Timeouts(transport_idle=1), retry=QUICK) as client:
            assert await said_of(client) == TEXT

    async def test_too_slow_for_ever(self, world, fake, server):
        """A token endpoint that never answers ends the call in time, and nothing was sent."""
        fake.tokens.late(5.0, times=None)
        async with world.client(server, timeouts=Timeouts(transport_idle=0.1), retry=QUICK) as client:
            error = await fault(client.push.send(*PUSH))

        assert isinstance(error, NetworkError)
        assert fake.push.requests == []

    async def test_too_slow_for_the_call(self, world, fake, server):
        """A call ends in its time though the token endpoint is slow; who has more time asks again, or waits on."""
        for seconds in (5.0, 0.0, 3.0):
            fake.tokens.late(seconds)
        fake.completions.say(SAID, times=2)

        async def hasty(after):
            await world.sleep(after)
            began = time.monotonic()
            error = await fault(read(client, timeouts=Timeouts(total=0.3)))
            assert time.monotonic() - began < 2.5
            return type(error)

        async def patient(after):
            await world.sleep(after)
            return await said_of(client)

        for leads in (True, False):
            async with world.client(server, retry=QUICK) as client:
                pair = (partial(hasty, 0 if leads else 0.1), partial(patient, 0.1 if leads else 0))
                assert [DeadlineExceeded, TEXT] == await world.together(*pair)

    async def test_throttled(self, world, fake, server):
        """The token endpoint's 400 "rate limit exceeded" passes; for ever, it is a rate limit."""
        fake.tokens.rate_limit()
        fake.completions.say(SAID)
        async with world.client(server, retry=QUICK) as client:
            assert await said_of(client) == TEXT
        fake.tokens.rate_limit(times=None)
        async with world.client(server, retry=QUICK) as client:
            error = await fault(read(client))

        assert isinstance(error, RateLimited)
        assert (error.status, error.retryable) == (400, True) or error.status == 429

    async def test_down_and_back_again(self, world, fake, server):
        """A token endpoint that is down is tried, then named; when it is back, the same client goes on."""
        fake.tokens.fail(503, times=3)
        fake.completions.say(SAID)
        async with world.client(server, retry=QUICK) as client:
            error = await fault(read(client))
            assert isinstance(error, ServiceUnavailable)
            assert await said_of(client) == TEXT

        assert len(fake.completions.requests) == 1

    @pytest.mark.parametrize(
        "body",
        [b"<html>", b"{}", b'{"access_token": 5}', b'{"access_token": "a\\r\\nX-Evil: 1"}', b'{"access_token": ""}'],
    )
    async def test_nonsense(self, world, fake, server, body):
        """A token that cannot be one is never sent anywhere."""
        fake.tokens.answer(200, body=body, headers={"Content-Type": "application/json"}, times=None)
        async with world.client(server, retry=QUICK) as client:
            await fault(read(client))

        assert fake.completions.requests == []


class TestClockJumps:
    @pytest.mark.parametrize("jump", [-86400.0, 86400.0], ids=["a day back", "a day ahead"])
    async def test_of_this_machine(self, world, fake, server, jump, monkeypatch):
        """The wall clock of this machine plays no part: tokens, clocks and dates go by other clocks than this one."""
        fake.completions.rate_limit(datetime.now(UTC) + timedelta(seconds=1))
        fake.completions.say(SAID)
        # As a server does that has a clock.
        fake.completions.answer(
            429,
            headers={
                "Date": "Tue, 01 Jul 2025 00:00:00 GMT",
                "Retry-After": "Tue, 01 Jul 2025 00:00:00 GMT",
            },
        )
        fake.completions.say(SAID)
        async with world.client(server, retry=QUICK) as client:
            assert await said_of(client) == TEXT
            monkeypatch.setattr(_http, "time", SimpleNamespace(time=lambda: time.time() + jump))
            assert await said_of(client) == TEXT
            await client.push.send(*PUSH)

        assert len(fake.issued_tokens) == 1

    async def test_of_the_service(self, world, fake, server):
        """A token that the service's clock has ended is replaced, once, and the call goes on."""
        fake.completions.say(SAID, times=2)
        async with world.client(server) as client:
            await client.push.send(*PUSH)
            fake.advance(7 * 86400)
            assert await said_of(client) == TEXT
            await client.push.send(*PUSH)

        assert len(fake.issued_tokens) == 2


class TestPushes:
    async def test_answered_late(self, world, fake, server):
        """An answer that does not come in time is a lost one: ambiguous, or, where asked for, sent again."""
        fake.push.late(4.0)
        fake.push.late(4.0)
        async with world.client(server, timeouts=Timeouts(push=1), retry=QUICK) as client:
            error = await fault(client.push.send(*PUSH))
            receipt = await client.push.send(*PUSH, resend_lost=True)

        assert isinstance(error, AmbiguousDelivery)
        assert (error.attempts, receipt.attempts, receipt.resent) == (1, 2, 1)
        assert [fake.pushes[0]] * 3 == fake.pushes

    @pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
    @pytest.mark.parametrize("recorded", [False, True], ids=["not recorded", "recorded"])
    async def test_never_answered(self, world, fake, server, recorded, reset):
        """Recorded or not, nobody here can know: the push is ambiguous, and went out once."""
        fake.push.lose_answer(reset=reset) if recorded else fake.push.drop(reset=reset)
        async with world.client(server, retry=QUICK) as client:
            error = await fault(client.push.send(*PUSH))

        assert isinstance(error, AmbiguousDelivery)
        assert (error.attempts, error.retryable) == (1, True)
        assert len(fake.pushes) == recorded
        assert len(fake.push.requests) == 1

    async def test_lost_for_ever(self, world, fake, server):
        """Resending ends with the last attempt, and the error says how often it went out."""
        fake.push.lose_answer(times=None)
        async with world.client(server, retry=QUICK) as client:
            error = await fault(client.push.send(*PUSH, resend_lost=True))

        assert isinstance(error, AmbiguousDelivery)
        assert error.attempts == len(fake.pushes) == QUICK.attempts

    async def test_recorded_twice(self, world, fake, server):
        """A relay whose answers get lost sends the same bytes again, and the phone has the text once."""
        fake.completions.say(SAID)
        fake.push.lose_answer()
        fake.push.lose_answer()
        async with world.client(server) as client:
            report = await world.relay(client.completions.stream(**ASK), client.push.to("device"), retry=QUICK)

        phone = StreamAssembler()
        for push in fake.pushes:
            phone.receive(push["data"])
        assert (phone.text, phone.complete, phone.suspect) == (TEXT, True, False)
        assert report.resent == 2
        assert report.undelivered == ()

    async def test_answered_twice(self, world):
        """A second answer that nobody asked for is not taken for that of the next push."""
        stale = reply(b'{"id": "stale"}', b"202 Accepted")
        answers = [[reply(b'{"id": "push-%d"}' % n, b"202 Accepted"), *extra] for n, extra in enumerate([[stale], []])]
        with Wire([*answers[0], 0.05, STAY], [*answers[1], STAY]) as wire:
            async with client_of(world, wire) as client:
                first = await client.push.send(*PUSH)
                await world.sleep(0.1)
                second = await client.push.send(*PUSH)

        assert (first.id, second.id) == ("push-0", "push-1")

    async def test_a_receipt_of_nonsense(self, world, fake, server):
        """A success is a success, whatever its body looks like, and is not sent again."""
        fake.push.answer(202, body=b"\xff<html>")
        fake.push.answer(204)
        async with world.client(server, retry=QUICK) as client:
            assert (await client.push.send(*PUSH)).id == ""
            assert (await client.push.send(*PUSH)).attempts == 1

    async def test_a_success_that_breaks_off(self, world):
        """A status without its whole body is an answer that was lost."""
        with Wire([b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\n{"]) as wire:
            async with client_of(world, wire, retry=QUICK) as client:
                error = await fault(client.push.send(*PUSH))

        assert isinstance(error, AmbiguousDelivery)

    async def test_silent_in_the_middle(self, world, fake, server):
        """A completion as a whole that stops half way is not waited for longer than the clocks say."""
        fake.completions.raw([b'{"choices": [', 5.0], headers={"Content-Type": "application/json"}, times=None)
        async with world.client(server, retry=ONCE, timeouts=Timeouts(answer=0.2)) as client:
            error = await fault(client.completions.create(**ASK))

        assert isinstance(error, TransportIdleTimeout)
