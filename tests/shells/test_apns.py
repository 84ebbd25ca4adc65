"""APNs in three worlds: relays to a fake that refuses, limits, loses and delays, and what the phone puts together."""

from __future__ import annotations

import logging
import sys
import time
import traceback

import pytest
from tests.shells.test_http2 import close, service
from tests.shells.worlds import WORLDS

pytest.importorskip("pyqwest", reason="the extra [apns] is not installed")
pytest.importorskip("h2", reason="h2 is not installed")

from genesys_stream import (
    AmbiguousDelivery,
    AuthenticationError,
    Batch,
    ConfigurationError,
    InvalidArgument,
    InvalidToken,
    PassThrough,
    PayloadTooLarge,
    Rate,
    RateLimited,
    Retry,
    StreamAssembler,
    Timeouts,
)
from genesys_stream.apns import APP_CLOSED, Apns, AsyncApns
from genesys_stream.testing import ApnsAnswer, Drop, FakeApns, NeverAnswer

DEVICE = "c0ffee00"
WORDS = ["One ", "two ", "👩‍👩‍👧 ", "three."]
FAST = Retry(attempts=6, jitter=lambda bound: min(bound, 0.01), retry_after_max=2000.0)


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


def relayed(world, sink, texts=WORDS, **options):
    return world.relay(world.source(texts), sink, **{"coalescer": PassThrough(), "retry": FAST, **options})


def pieces(texts):
    """Texts with a pause between, so that each is a push of its own."""
    return [item for text in texts for item in (text, 0.03)]


def received(fake, device=DEVICE):
    """What the phone shows."""
    phone = StreamAssembler()
    for entry in fake.request_log:
        if entry.accepted and device in entry.path:
            payload = entry.json
            phone.receive(payload["aps"].get("content-state") or payload)
    return phone


class TestDelivery:
    async def test_a_device(self, world, fake, server):
        """Silent pushes, then an alert; the phone has all of the text."""
        apns = service(world, fake, server)
        report = await relayed(world, apns.to(DEVICE, profile=None), pieces(WORDS), stream_id="s1")
        await close(apns)

        assert received(fake).text == "".join(WORDS) and received(fake).complete
        kinds = [entry.headers["apns-push-type"] for entry in fake.request_log]
        assert kinds[-1] == "alert" and set(kinds[:-1]) == {"background"} and len(kinds) >= 3
        ids = [entry.headers["apns-id"] for entry in fake.request_log]
        assert [push.receipt.id for push in report.pushes] == ids and len(set(ids)) == len(ids)

    async def test_a_closed_app_gets_the_alert_alone(self, world, fake, server):
        """Which holds the whole text."""
        apns = service(world, fake, server)
        await world.relay(world.source(WORDS), apns.to(DEVICE, profile=APP_CLOSED))
        await close(apns)

        assert [entry.headers["apns-push-type"] for entry in fake.request_log] == ["alert"]
        assert received(fake).text == "".join(WORDS)

    async def test_a_live_activity(self, world, fake, server):
        """Its content state is replaced, so each update has all of the text."""
        apns = service(world, fake, server)
        await relayed(world, apns.live_activity(DEVICE, profile=None), pieces(WORDS))
        await close(apns)

        states = [entry.json["aps"] for entry in fake.request_log]
        assert [state["event"] for state in states][-1] == "end"
        assert (
            states[-2]["content-state"]["llm_response"]
            == "".join(WORDS)[: len(states[-2]["content-state"]["llm_response"])]
        )
        assert received(fake).complete

    async def test_a_broadcast(self, world, fake, server):
        """To the app's channel; the id is that of the request."""
        apns = service(world, fake, server)
        report = await relayed(world, apns.broadcast("dHN0LXNyY2gtY2hubA==", profile=None))
        await close(apns)

        entry = fake.request_log[-1]
        assert entry.path == "/4/broadcasts/apps/com.example.app"
        assert entry.headers["apns-channel-id"] == "dHN0LXNyY2gtY2hubA=="
        assert report.pushes[-1].receipt.id == entry.headers["apns-request-id"]
        assert received(fake, "broadcasts").text == "".join(WORDS)


class TestFaultTable:
    async def test_a_dead_token(self, world, fake, server):
        """It is pushed to once, everything is listed, and the hook is called once."""
        fake.unregister(DEVICE, since=1_790_000_000.5)
        told = []
        apns = service(world, fake, server, on_invalid_token=lambda token, error: told.append((token, error)))
        report = await relayed(world, apns.to(DEVICE, profile=None), pieces(WORDS))
        await close(apns)

        assert len(fake.request_log) == 1
        assert report.undelivered_text == "".join(WORDS)
        ((token, error),) = told
        assert (token, error.gone, error.since) == (DEVICE, True, 1_790_000_000.5)

    async def test_a_token_of_the_other_environment(self, world, fake, server):
        """It is not gone."""
        fake.push.fail(400, "BadDeviceToken", times=None)
        told = []
        apns = service(world, fake, server, on_invalid_token=lambda token, error: told.append(error))
        report = await relayed(world, apns.to(DEVICE, profile=None))
        await close(apns)

        assert [error.gone for error in told] == [False] and len(fake.request_log) == 1
        assert isinstance(report.undelivered[0].error, InvalidToken)

    async def test_a_rate_limit_of_a_device(self, world, fake, server):
        """The text waits and arrives; another device is not held up."""
        fake.push.fail(429, "TooManyRequests", headers={"Retry-After": "1"})
        apns = service(world, fake, server)
        profile = APP_CLOSED
        started = time.monotonic()
        await relayed(world, apns.to(DEVICE, profile=profile))
        held = time.monotonic() - started
        started = time.monotonic()
        await relayed(world, apns.to("bb", profile=profile))
        other = time.monotonic() - started
        await close(apns)

        assert held >= 1.0 and other < 0.9
        assert received(fake).complete and received(fake, "/bb").complete

    async def test_a_rate_limit_of_the_credential(self, world, fake, server):
        """It holds all of the client's devices for twenty minutes, which no relay here waits for."""
        fake.push.fail(429, "TooManyProviderTokenUpdates")
        apns = service(world, fake, server)
        report = await relayed(world, apns.to(DEVICE), retry=Retry(attempts=2))
        await close(apns)

        assert isinstance(report.undelivered[0].error, RateLimited)
        assert report.undelivered[0].error.scope == "credential"
        turn = apns.to("bb").limiter.turn()
        assert 1100 < turn.request(time.monotonic(), final=True) - time.monotonic() <= 1200 or world.name != "sync"

    async def test_too_large(self, world, fake, server):
        """The text goes out again in smaller pushes."""
        fake.push.fail(413, "PayloadTooLarge")
        apns = service(world, fake, server)
        report = await relayed(world, apns.to(DEVICE, profile=None))
        await close(apns)

        assert received(fake).complete and not report.undelivered

    async def test_too_large_for_good(self, world, fake, server):
        """It is listed."""
        fake.push.fail(413, "PayloadTooLarge", times=None)
        apns = service(world, fake, server)
        report = await relayed(world, apns.to(DEVICE, profile=None), ["x"])
        await close(apns)

        assert isinstance(report.undelivered[0].error, PayloadTooLarge)

    @pytest.mark.parametrize("reset", [False, True])
    async def test_a_lost_answer(self, world, fake, server, reset):
        """The same bytes go out again under the same id, and the phone has the text once."""
        fake.push.queue(Drop(reset))
        apns = service(world, fake, server)
        report = await relayed(world, apns.to(DEVICE, profile=None))
        await close(apns)

        first, second = fake.request_log[:2]
        assert (first.headers["apns-id"], first.body) == (second.headers["apns-id"], second.body)
        assert report.resent == 1 and received(fake).text == "".join(WORDS)

    async def test_slow(self, world, fake, server):
        """What comes meanwhile goes out together."""
        fake.push.accept(after=0.2, times=None)
        apns = service(world, fake, server)
        report = await relayed(world, apns.to(DEVICE, profile=None), pieces(WORDS))
        await close(apns)

        assert received(fake).complete and len(report.pushes) < len(WORDS)

    async def test_never_answered(self, world, fake, server):
        """After the timeout the same push goes out again."""
        fake.push.queue(NeverAnswer())
        apns = service(world, fake, server, timeouts=Timeouts(push=0.2))
        report = await relayed(world, apns.to(DEVICE, profile=None))
        await close(apns)

        assert report.resent == 1 and received(fake).text == "".join(WORDS)
        assert len({entry.headers["apns-id"] for entry in fake.request_log[:2]}) == 1

    async def test_wrong_credentials(self, world, fake, server):
        """It is said at once, and nothing is tried for ever."""
        apns = service(world, fake, server, team_id="WRONG")
        report = await relayed(world, apns.to(DEVICE, profile=None))
        await close(apns)

        assert isinstance(report.undelivered[0].error, AuthenticationError)
        assert report.undelivered[0].error.code == "InvalidProviderToken"
        assert len(fake.request_log) <= 2

    async def test_a_token_that_expired(self, world, fake, server):
        """It is replaced, and the push goes out again."""
        apns = service(world, fake, server)
        await relayed(world, apns.to(DEVICE, profile=None), stream_id="a")
        fake.expire_tokens()
        fake.advance(1.0)
        time.sleep(1.0 - time.time() % 1.0)  # a token is dated in whole seconds
        report = await relayed(world, apns.to(DEVICE, profile=None), stream_id="b")
        await close(apns)

        assert not report.undelivered
        assert [entry.reason for entry in fake.request_log if entry.reason] == ["ExpiredProviderToken"]

    async def test_a_key_that_was_rotated(self, world, fake, server):
        """The new one is used from the next push on, by the sinks that are there."""
        apns = service(world, fake, server)
        sink = apns.to(DEVICE, profile=None)
        await relayed(world, sink, stream_id="a")
        fake.rotate_key("NEWKEY1234")
        refused = await relayed(world, sink, stream_id="b")
        apns.replace_key(fake.key, key_id="NEWKEY1234")
        report = await relayed(world, sink, stream_id="c")
        await close(apns)

        assert isinstance(refused.undelivered[0].error, AuthenticationError)
        assert not report.undelivered

    async def test_a_server_error(self, world, fake, server):
        """It is tried again."""
        fake.push.fail(500, "InternalServerError")
        fake.push.fail(503, "Shutdown")
        apns = service(world, fake, server)
        report = await relayed(world, apns.to(DEVICE, profile=None))
        await close(apns)

        assert received(fake).complete and not report.undelivered


class TestTokens:
    def test_clients_of_one_key_share_one_token(self, fake, server):
        """Of either shell; APNs refuses a key whose tokens are renewed too often."""
        one, two = (cls.from_p8(**fake.client_options(server)) for cls in (Apns, AsyncApns))

        assert one._key.token() == two._key.token()

    def test_one_token_for_many_pushes(self, fake, server):
        """It is signed once."""
        with Apns.from_p8(**fake.client_options(server)) as apns:
            sink = apns.to(DEVICE)
            for number in range(1, 20):
                batch = Batch("x", stream_id="s", seq=number)
                sink.send(sink.encode(batch), batch)

        assert len({entry.headers["authorization"] for entry in fake.request_log}) == 1


class TestTls:
    def test_over_tls(self, fake):
        """With certificates as PEM; without them the server is not trusted."""
        import ssl

        import trustme

        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        with fake.serve(tls=context) as server:
            options = {**fake.client_options(server), "base_url": f"https://localhost:{server.port}"}
            batch = Batch("x", stream_id="s", seq=1)
            with Apns.from_p8(**options, certificates=authority.cert_pem.bytes()) as apns:
                sink = apns.to(DEVICE)
                assert sink.send(sink.encode(batch), batch).status == "accepted"


class TestSecrets:
    async def test_neither_token_nor_text_nor_key_is_shown(self, world, fake, server, caplog):
        """Not in reprs, logs, events, errors, nor in the local variables of a traceback's frames."""
        caplog.set_level(logging.WARNING, "hpack")  # of the fake
        caplog.set_level(logging.DEBUG)  # last, because it holds for the handler as well
        fake.push.queue(Drop())
        events = []
        apns = service(world, fake, server, on_event=events.append)
        sink = apns.to(DEVICE, profile=None)
        batch = Batch("a secret answer", stream_id="s", seq=1)
        shown = [repr(sink), repr(apns), repr(apns._key)]
        try:
            sent = sink.send(sink.encode(batch), batch)
            if hasattr(sent, "__await__"):
                await sent
        except AmbiguousDelivery as error:
            shown += [str(error), repr(error.__cause__), "".join(traceback.format_exception(error))]
            frames = [frame for one in (error, error.__cause__) for frame, _ in traceback.walk_tb(one.__traceback__)]
            shown += [repr(frame.f_locals) for frame in frames if "genesys_stream" in frame.f_code.co_filename]
        else:
            raise AssertionError
        for _ in range(2):  # pyqwest logs what was answered, too
            sent = sink.send(sink.encode(batch), batch)
            if hasattr(sent, "__await__"):
                await sent
        await close(apns)
        assert {"pyqwest", "pyqwest.access"} <= {record.name for record in caplog.records}
        shown += [caplog.text, repr(events)]
        token = fake.request_log[0].headers["authorization"].partition(" ")[2]

        assert len(events) == 6
        for secret in (DEVICE, "a secret answer", token, "PRIVATE KEY"):
            assert [text for text in shown if secret in text] == [], secret


class TestArguments:
    @pytest.mark.parametrize(
        ("changed", "kind", "problem"),
        [
            ({"key": "AuthKey.p8"}, InvalidArgument, "Path"),
            ({"key": 1}, InvalidArgument, "key"),
            ({"key": "-----BEGIN nonsense"}, ConfigurationError, "P-256"),
            ({"key_id": ""}, InvalidArgument, "key_id"),
            ({"topic": "two words"}, InvalidArgument, "topic"),
            ({"sandbox": "yes"}, InvalidArgument, "sandbox"),
            ({"rate": 5}, InvalidArgument, "rate"),
            ({"max_connections": 2**80}, InvalidArgument, "max_connections"),
            ({"certificates": b"nonsense"}, InvalidArgument, "certificates"),
            ({"base_url": "http://push.example.com"}, ConfigurationError, "allow_insecure_http"),
            ({"timeout": 1}, InvalidArgument, "timeouts"),
        ],
    )
    def test_bad_arguments(self, fake, server, changed, kind, problem):
        """The error names the argument, and the way out."""
        with pytest.raises(kind, match=problem):
            Apns.from_p8(**{**fake.client_options(server), **changed})

    def test_payloads_that_apple_would_refuse(self, fake, server):
        """A limit above Apple's own is an error, before anything is sent."""
        with Apns.from_p8(**fake.client_options(server)) as apns:
            for channel, most in ((apns.to, 4096), (apns.live_activity, 4096), (apns.broadcast, 5120)):
                channel("c0ffee", max_payload_bytes=most)
                with pytest.raises(InvalidArgument, match=f"max_payload_bytes must be at most {most}"):
                    channel("c0ffee", max_payload_bytes=most + 1)

    def test_a_file(self, fake, server, tmp_path):
        """A key may be a path; one that is not there is named."""
        path = tmp_path / "AuthKey.p8"
        with pytest.raises(ConfigurationError, match="p8 file of the key cannot be read"):
            Apns.from_p8(**{**fake.client_options(server), "key": path})
        path.write_text(fake.key)

        Apns.from_p8(**{**fake.client_options(server), "key": path, "rate": Rate(5, 1.0)}).close()

    def test_the_addresses(self, fake, server):
        """Apple's two environments."""
        options = {name: value for name, value in fake.client_options(server).items() if name != "base_url"}

        assert Apns.from_p8(**options)._base_url == "https://api.push.apple.com"
        assert Apns.from_p8(**options, sandbox=True)._base_url == "https://api.sandbox.push.apple.com"

    def test_the_constructor_leads_to_from_p8(self):
        """Which is how clients are made."""
        with pytest.raises(ConfigurationError, match="from_p8"):
            Apns()

    @pytest.mark.parametrize("missing", ["pyqwest", "jwt"])
    def test_a_missing_extra_is_named(self, fake, server, monkeypatch, missing):
        """With the line that installs it."""
        monkeypatch.setitem(sys.modules, missing, None)
        with pytest.raises(ConfigurationError, match=r'pip install "genesys-stream\[apns\]"'):
            Apns.from_p8(**fake.client_options(server))


def test_the_fake_answers_as_apple_does(fake, server):
    """It names what is wrong with a push, as Apple does."""
    import pyqwest

    client = pyqwest.SyncClient(pyqwest.SyncHTTPTransport(http_version=pyqwest.HTTPVersion.HTTP2))
    apns = Apns.from_p8(**fake.client_options(server))
    good = {"authorization": f"bearer {apns._key.token()}", "apns-topic": fake.topic, "apns-push-type": "alert"}

    def reason(path=f"/3/device/{DEVICE}", body=b"{}", **changed):
        headers = {**good, **{name.replace("_", "-"): value for name, value in changed.items()}}
        return client.post(server.base_url + path, headers, body).content.decode()

    assert reason() == ""
    assert "BadDeviceToken" in reason("/3/device/xyz")
    assert "BadPath" in reason("/elsewhere")
    assert "MissingChannelId" in reason("/4/broadcasts/apps/com.example.app")
    assert "PayloadTooLarge" in reason(body=b"x" * 4097)
    assert "PayloadEmpty" in reason(body=b"")
    assert "DeviceTokenNotForTopic" in reason(apns_topic="com.other")
    assert "BadPriority" in reason(apns_push_type="background", apns_priority="10")
    assert "InvalidPushType" in reason(apns_push_type="loud")
    assert "BadExpirationDate" in reason(apns_expiration="soon")
    assert "BadCollapseId" in reason(apns_collapse_id="x" * 65)
    assert "BadMessageId" in reason(apns_id="1")
    assert "MissingProviderToken" in reason(authorization="basic x")
    assert "InvalidProviderToken" in reason(authorization="bearer x.y.z")
    fake.push.queue(ApnsAnswer(503, "Shutdown"))
    assert "Shutdown" in reason()
    apns.close()
