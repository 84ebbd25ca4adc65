"""Web Push, blocking, on asyncio and on trio: what browsers get, and each fault of a push service."""

import contextlib
import json
import logging
import os
import pickle
import re
import shutil
import socket
import subprocess
import sys
import traceback
from pathlib import Path

import httpx
import pytest
from tests.shells.worlds import WORLDS, settle

from genesys_stream import (
    AmbiguousDelivery,
    Batch,
    ConfigurationError,
    ConnectFailed,
    Exchange,
    InvalidArgument,
    InvalidToken,
    PassThrough,
    PermissionDenied,
    Rate,
    RateLimited,
    Retry,
    StreamAssembler,
    Timeouts,
    relay,
)

pytest.importorskip("cryptography", reason="the extra [webpush] is not installed")

from genesys_stream._core.services import webcrypto
from genesys_stream._core.services.webpush import encode64
from genesys_stream.testing import FakeWebPush
from genesys_stream.webpush import MAX_PLAINTEXT_BYTES, AsyncWebPush, WebPush

SUBJECT = "mailto:me@example.com"
PROMPT = {"retry": Retry(attempts=3, jitter=lambda _: 0.0), "coalescer": PassThrough(), "give_up_after": 5.0}
WORDS = ["Ten ", "lines ", "are ", "enough. ", "👩‍👩‍👧 ", "\N{GRINNING FACE}", "naïve"]
TEXT = "".join(WORDS)


def new_key():
    number = webcrypto.new_private_key().private_numbers().private_value
    return encode64(number.to_bytes(32, "big"))


KEY = new_key()


@pytest.fixture(params=WORLDS)
def world(request):
    return WORLDS[request.param]


@pytest.fixture
def fake():
    return FakeWebPush()


@contextlib.asynccontextmanager
async def pushing(world, key=KEY, **options):
    """An application server of this world."""
    cls = WebPush if world.name == "sync" else AsyncWebPush
    push = cls(key, subject=SUBJECT, **{"allow_insecure_http": True, **options})
    try:
        yield push
    finally:
        if world.name == "sync":
            push.close()
        else:
            await push.aclose()


def source(world, words=WORDS):
    """Words with enough time between them for a push each."""
    return world.source([item for word in words for item in (word, 0.02)])


def received(messages):
    """What the browser has put together of its messages, the latest first."""
    assembler = StreamAssembler()
    for message in reversed(messages):
        assembler.receive(message.payload.get("notification", message.payload))
    return assembler


class TestBrowsers:
    async def test_what_a_browser_gets(self, world, fake, server):
        """All of the text, on the way silently and for now or never, and at the end a notification that is kept."""
        async with pushing(world) as push:
            sink = push.to(fake.subscribe(push.public_key, base_url=server.base_url), title="Answer", body=TEXT)
            report = await world.relay(source(world), sink, **PROMPT)

        *before, last = fake.messages
        assert before and not report.undelivered
        assert received(fake.messages).complete and received(fake.messages).text == TEXT
        assert all(list(one.payload) == ["data"] and (one.ttl, one.topic) == (0, "") for one in before)
        assert (last.payload["title"], last.payload["body"]) == ("Answer", TEXT)
        assert (last.ttl, last.urgency, len(last.topic)) == (3600, "high", 32)
        assert report.pushes[-1].receipt.status == "accepted"
        assert fake.connections == 1

    async def test_declarative(self, world, fake, server):
        """Safari shows the last one by itself; the text is in the notification's data."""
        async with pushing(world) as push:
            sink = push.to(fake.subscribe(base_url=server.base_url), declarative="https://app.example/chat", ttl=60)
            await world.relay(source(world), sink, **PROMPT)

        assert fake.messages[-1].payload["notification"]["navigate"] == "https://app.example/chat"
        assert fake.messages[-1].ttl == 60
        assert received(fake.messages).complete and received(fake.messages).text == TEXT

    async def test_several_browsers(self, world, fake, server):
        """Each gets all of the text, one key and one token serve them all, and one limit holds for them all."""
        async with pushing(world, rate=Rate(50, 50.0)) as push:
            sinks = [push.to(fake.subscribe(push.public_key, base_url=server.base_url)) for _ in range(3)]
            reports = await world.relay_each(source(world), sinks, **PROMPT)

        assert [report.delivered_text for report in reports] == [TEXT] * 3
        assert len({entry.headers["authorization"] for entry in fake.request_log}) == 1

    @pytest.mark.parametrize("mode", ["tail", "snapshot"])
    async def test_modes(self, world, fake, server, mode):
        """What was lost is made up for by the last one, where it repeats the text before."""
        async with pushing(world) as push:
            sink = push.to(fake.subscribe(base_url=server.base_url), mode=mode)
            await world.relay(source(world), sink, **PROMPT)

        assert received(fake.messages[-1:]).text == TEXT


class TestFaults:
    @pytest.mark.parametrize("status", [404, 410])
    async def test_a_subscription_that_has_ended(self, world, fake, server, status):
        """It is pushed to once, all of the text is listed, and the hook is called once."""
        ended = []
        async with pushing(world, on_invalid_token=lambda endpoint, error: ended.append((endpoint, error))) as push:
            subscription = fake.subscribe(push.public_key, base_url=server.base_url)
            if status == 410:
                fake.unsubscribe(subscription)
            else:
                fake.push.fail(404, times=None)
            report = await world.relay(source(world), push.to(subscription), **PROMPT)

        assert len(fake.request_log) == 1
        assert report.undelivered_text == TEXT and not report.pushes
        assert [(endpoint, type(error), error.gone) for endpoint, error in ended] == [
            (subscription["endpoint"], InvalidToken, True)
        ]

    async def test_a_hook_that_is_awaited(self, loop_world, fake, server):
        """An app deletes a subscription from its database."""
        ended = []

        async def delete(endpoint, error):
            await loop_world.sleep(0)
            ended.append(endpoint)

        async with pushing(loop_world, on_invalid_token=delete) as push:
            subscription = fake.subscribe(base_url=server.base_url)
            fake.unsubscribe(subscription)
            await loop_world.relay(source(loop_world), push.to(subscription), **PROMPT)

        assert ended == [subscription["endpoint"]]

    def test_a_hook_that_nobody_awaits(self):
        """A blocking client refuses an async one, which would do nothing."""

        async def forget(endpoint, error):
            raise AssertionError

        with pytest.raises(InvalidArgument, match="on_invalid_token must not be an async function"):
            WebPush(KEY, subject=SUBJECT, on_invalid_token=forget)

    async def test_rate_limit(self, world, fake, server):
        """A 429 holds back one browser, with all that comes meanwhile, and no other."""
        async with pushing(world) as push:
            first, second = (push.to(fake.subscribe(base_url=server.base_url)) for _ in range(2))
            fake.push.rate_limit(0.3)
            report = await world.relay(source(world), first, **PROMPT)
            limited_at = fake.request_log[0].at
            await world.relay(source(world), second, **PROMPT)

        assert report.delivered_text == TEXT and report.held_seconds > 0.1
        assert fake.request_log[1].at - limited_at >= 0.29
        assert fake.request_log[0].status == 429

    async def test_whose_rate_limit(self, world, fake, server):
        """It is the subscription's (RFC 8030, section 8.4)."""
        async with pushing(world) as push:
            fake.push.rate_limit(600)
            sink = push.to(fake.subscribe(base_url=server.base_url))
            report = await world.relay(source(world), sink, **PROMPT)

        error = report.undelivered[0].error
        assert isinstance(error, RateLimited) and (error.scope, error.retry_after) == ("device", 600)

    async def test_too_large(self, world, fake, server):
        """A service that takes less gets less, and all of the text."""
        fake.push.fail(413)
        async with pushing(world) as push:
            sink = push.to(fake.subscribe(base_url=server.base_url))
            report = await world.relay(world.source(["word " * 200]), sink, **PROMPT)

        assert report.delivered_text == "word " * 200 and len(report.pushes) > 1
        assert received(fake.messages).complete

    @pytest.mark.parametrize("reset", [False, True])
    async def test_a_lost_answer(self, world, fake, server, reset):
        """The same payload goes out again, under the same number, and the browser ignores it."""
        fake.push.lose_answer(reset=reset)
        async with pushing(world) as push:
            report = await world.relay(source(world), push.to(fake.subscribe(base_url=server.base_url)), **PROMPT)

        assert fake.messages[0].payload == fake.messages[1].payload
        assert fake.request_log[0].body != fake.request_log[1].body
        assert report.resent == 1 and report.delivered_text == TEXT
        assert received(fake.messages).complete and received(fake.messages).text == TEXT

    async def test_the_last_answer_is_lost(self, world, fake, server):
        """The last payload replaces itself: it has the same topic."""
        fake.push.lose_answer()
        async with pushing(world) as push:
            await world.relay(world.source([]), push.to(fake.subscribe(base_url=server.base_url)), **PROMPT)

        first, again = fake.messages
        assert first.topic == again.topic != ""

    async def test_slow(self, world, fake, server):
        """While an answer is waited for, text gathers."""
        fake.push.late(0.1, times=None)
        async with pushing(world) as push:
            report = await world.relay(source(world), push.to(fake.subscribe(base_url=server.base_url)), **PROMPT)

        assert report.delivered_text == TEXT and len(report.pushes) < len(WORDS)

    async def test_never_answered(self, world, fake, server):
        """The push may have been delivered: that is what the report says."""
        fake.push.late(30, times=None)
        async with pushing(world, timeouts=Timeouts(push=0.05)) as push:
            report = await world.relay(source(world), push.to(fake.subscribe(base_url=server.base_url)), **PROMPT)

        assert report.undelivered_text == TEXT and report.undelivered[0].ambiguous
        assert isinstance(report.undelivered[0].error, AmbiguousDelivery)

    async def test_nobody_listens(self, world, fake):
        """Nothing was sent, so nothing is ambiguous."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            base_url = f"http://127.0.0.1:{free.getsockname()[1]}"
            async with pushing(world) as push:
                report = await world.relay(source(world), push.to(fake.subscribe(base_url=base_url)), **PROMPT)

        assert report.undelivered_text == TEXT and not report.undelivered[0].ambiguous
        assert isinstance(report.undelivered[0].error, ConnectFailed)

    async def test_another_key(self, world, fake, server):
        """A subscription that was made with another key is pushed to once, and is not to be deleted."""
        told = []
        async with pushing(world, on_invalid_token=lambda _, error: told.append(error.gone)) as push:
            subscription = fake.subscribe(webcrypto.Vapid(new_key(), SUBJECT).public_key, base_url=server.base_url)
            report = await world.relay(source(world), push.to(subscription), **PROMPT)

        assert [entry.status for entry in fake.request_log] == [403] and told == [False]
        assert report.undelivered_text == TEXT

    async def test_a_key_that_was_rotated(self, world, fake, server):
        """Old subscriptions go on with the old key, and new ones with the new one, side by side."""
        async with pushing(world) as old, pushing(world, new_key()) as new:
            sinks = [push.to(fake.subscribe(push.public_key, base_url=server.base_url)) for push in (old, new)]
            reports = await world.relay_each(source(world), sinks, **PROMPT)

        assert [report.delivered_text for report in reports] == [TEXT] * 2

    async def test_a_token_that_is_refused(self, world, fake, server):
        """A clock that is a day off is an error of one's own, and is told as such."""
        fake.advance(24 * 3600)
        async with pushing(world) as push:
            report = await world.relay(source(world), push.to(fake.subscribe(base_url=server.base_url)), **PROMPT)

        assert report.undelivered_text == TEXT
        assert isinstance(report.undelivered[0].error, PermissionDenied)
        assert report.undelivered[0].error.code == "BadJwtToken"

    async def test_redirects_are_not_followed(self, world, fake, server):
        """Nobody can have us post elsewhere."""
        fake.push.answer(307, headers={"Location": f"{server.base_url}/elsewhere"}, times=None)
        async with pushing(world) as push:
            await world.relay(source(world), push.to(fake.subscribe(base_url=server.base_url)), **PROMPT)

        assert {entry.status for entry in fake.request_log} == {307}


TEXTS = {"English": "The quick brown fox jumps. ", "emoji": "\N{GRINNING FACE}", "JSON": '{"a":"b\\n"}'}


class TestSizes:
    @pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
    async def test_the_largest_text(self, world, fake, server, text):
        """What fits is sent in bodies of at most 4,096 bytes, and the first is filled to the last character."""
        whole = text * 2000
        async with pushing(world) as push:
            sink = push.to(fake.subscribe(base_url=server.base_url))
            report = await world.relay(world.source([whole]), sink, **PROMPT)

        sizes = [len(entry.body) for entry in fake.request_log]
        first = report.pushes[0].batch
        one_more = Batch(whole[: len(first.text) + 1], stream_id=first.stream_id, seq=1)
        assert max(sizes) <= 4096 and sizes[0] > 4096 - 8
        assert len(sink.encode(one_more)) > MAX_PLAINTEXT_BYTES
        assert report.delivered_text == whole and received(fake.messages).complete

    @pytest.mark.parametrize("size", [MAX_PLAINTEXT_BYTES, MAX_PLAINTEXT_BYTES + 1])
    async def test_one_byte_more(self, world, fake, server, size):
        """A payload of 3,993 bytes is sent in one message, and one byte more in two."""
        async with pushing(world) as push:
            sink = push.to(fake.subscribe(base_url=server.base_url), title="", body="")
            around = len(sink.encode(Batch("", stream_id="s" * 26, seq=1, state="complete", total=3000)))
            text = "x" * (size - around)
            report = await world.relay(world.source([text]), sink, stream_id="s" * 26, **PROMPT)

        assert len(fake.messages) == (1 if size == MAX_PLAINTEXT_BYTES else 2)
        assert report.delivered_text == text

    @pytest.mark.parametrize("size", [MAX_PLAINTEXT_BYTES + 1, 0, "4096"])
    async def test_a_limit_that_is_none(self, world, fake, size):
        """No push service must take more."""
        async with pushing(world) as push:
            with pytest.raises(InvalidArgument, match="max_payload_bytes"):
                push.to(fake.subscribe(), max_payload_bytes=size)


def shown(error):
    """An exception as a tool shows it that prints the locals of every frame, but for those of this file."""
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [frame for frame in report.stack if frame.filename != __file__]
    return "".join(report.format_exception_only()) + "".join(f"{frame.locals}" for frame in frames) + repr(error)


FAULTS = {
    "none": lambda push: None,
    "gone": lambda push: push.fail(410, times=None),
    "refused": lambda push: push.fail(400, times=None),
    "limited": lambda push: push.rate_limit(600, times=None),
    "moved": lambda push: push.answer(301, headers={"Location": "https://other.example/sesame"}, times=None),
    "lost": lambda push: push.lose_answer(times=None),
    "silent": lambda push: push.late(30, times=None),
}


class TestSecrets:
    @pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
    async def test_an_endpoint_is_shown_nowhere(self, world, fake, server, fault, caplog):
        """Neither logs nor events, errors, reprs or tracebacks have the endpoint, a key or the text."""
        caplog.set_level(logging.INFO)
        caplog.set_level(logging.DEBUG, "genesys_stream")  # last, because it holds for the handler as well
        events = []

        def hook(endpoint, error):
            raise ZeroDivisionError(endpoint)

        options = {"on_event": events.append, "on_invalid_token": hook, "timeouts": Timeouts(push=0.05)}
        fault(fake.push)
        async with pushing(world, **options) as push:
            subscription = fake.subscribe(base_url=server.base_url)
            sink = push.to(subscription, data={"own": "sesame-data"}, ref="sesame-ref")
            report = await world.relay(source(world, ["sesame-text"]), sink, **PROMPT)
            values = [repr(one) for one in (push, sink, sink.limiter, report, *events)]
        errors = [lost.error for lost in report.undelivered]
        errors += [error.__cause__ for error in errors if error.__cause__ is not None]

        path = httpx.URL(subscription["endpoint"]).path.rpartition("/")[2]
        told = "\n".join([caplog.text, *values, *map(shown, errors)])
        for secret in (path, KEY, subscription["keys"]["auth"], subscription["keys"]["p256dh"], "sesame"):
            assert secret not in told
        assert {event.url for event in events} == {f"{server.base_url}/..."}
        assert any(isinstance(event, Exchange) for event in events)
        assert f"POST {server.base_url}/..." in caplog.text
        for error in errors:
            assert path.encode() not in pickle.dumps(error)
        assert ("ZeroDivisionError" in caplog.text) == (fault is FAULTS["gone"])

    @pytest.mark.parametrize(
        "arguments",
        [
            {"private_key": "sesame-key"},
            {"private_key": b"sesame"},
            {"private_key": "-----BEGIN PRIVATE KEY-----\nsesame\n-----END PRIVATE KEY-----"},
            {"subject": "mailto: me@example.com"},
            {"subject": "me@example.com"},
            {"subject": None},
        ],
    )
    def test_credentials_that_are_wrong(self, world, arguments):
        """The error says what a key and a subject must be, and not what the key was."""
        cls = WebPush if world.name == "sync" else AsyncWebPush
        with pytest.raises(ConfigurationError, match="must be") as caught:
            cls(**{"private_key": KEY, "subject": SUBJECT, **arguments})
        assert "sesame" not in str(caught.value)


class TestSubscriptions:
    @pytest.mark.parametrize("made", [dict, json.dumps])
    async def test_what_the_browser_gives(self, world, fake, server, made):
        """A mapping, or its JSON."""
        async with pushing(world) as push:
            sink = push.to(made(fake.subscribe(base_url=server.base_url)))
            await world.relay(world.source(["text"]), sink, **PROMPT)

        assert received(fake.messages).text == "text"

    async def test_strangers_are_not_followed_anywhere(self, world, fake):
        """An endpoint must be public and https, unless a test says otherwise."""
        async with pushing(world, allow_insecure_http=False) as push:
            push.to(fake.subscribe())
            for base_url in ("http://push.example.com", "https://127.0.0.1", "https://metadata.google.internal"):
                with pytest.raises(InvalidArgument, match="endpoint"):
                    push.to(fake.subscribe(base_url=base_url))

    @pytest.mark.parametrize(
        ("options", "argument"),
        [
            ({"profile": "fast"}, "profile"),
            ({"declarative": True}, "declarative"),
            ({"ttl": -1}, "ttl"),
            ({"urgency": "urgent"}, "urgency"),
            ({"data": {"seq": "1"}}, "data"),
            ({"tite": "Title"}, "tite"),
        ],
    )
    async def test_bad_arguments(self, world, fake, options, argument):
        """Each is named before anything is sent."""
        async with pushing(world) as push:
            with pytest.raises(InvalidArgument) as caught:
                push.to(fake.subscribe(), **options)
        assert caught.value.argument.startswith(argument)

    async def test_a_key_that_is_no_point(self, world, fake):
        """It has the right size, and cannot be encrypted for."""
        subscription = fake.subscribe()
        subscription["keys"]["p256dh"] = encode64(b"\x04" + bytes(64))
        async with pushing(world) as push:
            with pytest.raises(InvalidArgument, match="P-256"):
                push.to(subscription)

    async def test_safari(self, world, fake):
        """Safari ends a subscription whose messages show nothing, so that each of them has a title."""
        async with pushing(world, allow_insecure_http=False) as push:
            safari = push.to(fake.subscribe(base_url="https://web.push.apple.com"))
            other = push.to(fake.subscribe(base_url="https://fcm.googleapis.com"))

        batch = Batch("text", seq=1)
        assert "title" in json.loads(safari.encode(batch)) and "title" not in json.loads(other.encode(batch))
        assert safari.window == 15.0


class TestConstructors:
    def test_pem_file(self, world, tmp_path, monkeypatch):
        """A key as OpenSSL writes it, from a file or from the environment."""
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        cls = WebPush if world.name == "sync" else AsyncWebPush
        key = webcrypto.private_key_of(KEY)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
        file = tmp_path / "vapid.pem"
        file.write_text(pem, encoding="ascii")
        monkeypatch.setenv("VAPID_SUBJECT", SUBJECT)
        public_key = cls(KEY, subject=SUBJECT).public_key

        assert cls.from_pem_file(file, subject=SUBJECT).public_key == public_key
        for value in (pem, pem.replace("\n", "\\n"), KEY):
            monkeypatch.setenv("VAPID_PRIVATE_KEY", value)
            assert cls.from_env().public_key == public_key
        assert cls.from_env(private_key=new_key()).public_key != public_key

    def test_what_is_missing(self, world, tmp_path, monkeypatch):
        """It is named."""
        cls = WebPush if world.name == "sync" else AsyncWebPush
        monkeypatch.delenv("VAPID_PRIVATE_KEY", raising=False)
        monkeypatch.delenv("VAPID_SUBJECT", raising=False)
        with pytest.raises(ConfigurationError, match="VAPID_PRIVATE_KEY"):
            cls.from_env()
        with pytest.raises(ConfigurationError, match="VAPID_SUBJECT"):
            cls.from_env(private_key=KEY)
        with pytest.raises(ConfigurationError, match="cannot be read: FileNotFoundError"):
            cls.from_pem_file(tmp_path / "none.pem", subject=SUBJECT)
        with pytest.raises(InvalidArgument, match="path must be the path of a file, not int"):
            cls.from_pem_file(3, subject=SUBJECT)

    def test_without_the_extra(self):
        """The module is imported without it, and the error says how to install it."""
        code = (
            "import sys; sys.modules['cryptography'] = None\n"
            "from genesys_stream.webpush import WebPush\n"
            "from genesys_stream.testing import FakeWebPush\n"
            "subject = 'mailto:me@example.com'\n"
            "from_file = lambda: WebPush.from_pem_file('none.pem', subject=subject)\n"
            "for make in (lambda: WebPush('key', subject=subject), from_file, WebPush.from_env, FakeWebPush):\n"
            "    try: make()\n"
            "    except Exception as error: print(type(error).__name__, error)\n"
        )
        said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

        assert said.count("ConfigurationError") == said.count('pip install "genesys-stream[webpush]"') == 4

    def test_the_extra_is_imported_late(self):
        """Neither the package nor the module loads it."""
        code = "import genesys_stream.webpush, sys; assert 'cryptography' not in sys.modules"
        subprocess.run([sys.executable, "-c", code], check=True)


class TestTransports:
    @pytest.mark.parametrize("transport", ["httpx2", "aiohttp"])
    async def test_other_http_libraries(self, loop_world, fake, server, transport, caplog):
        """Messages go over each of them, and the endpoint is in the log of none."""
        pytest.importorskip(transport)
        if transport == "aiohttp" and loop_world.name == "trio":
            pytest.skip("aiohttp needs asyncio")
        caplog.set_level(logging.INFO)
        async with pushing(loop_world, transport=transport) as push:
            subscription = fake.subscribe(base_url=server.base_url)
            report = await loop_world.relay(source(loop_world), push.to(subscription), **PROMPT)

        assert report.delivered_text == TEXT
        assert subscription["endpoint"] not in caplog.text

    async def test_an_http_client_of_ones_own(self, world, fake):
        """It stays open, and in memory there is no network."""
        async with world.http_client(transport=fake.transport) as http:
            async with pushing(world, http_client=http, allow_insecure_http=False) as push:
                report = await world.relay(source(world), push.to(fake.subscribe(push.public_key)), **PROMPT)
            assert not http.is_closed

        assert report.delivered_text == TEXT


class TestThePushServiceOfOthers:
    def test_web_push_testing_reads_what_we_send(self):
        """A push service that is not ours finds the token right, and decrypts the text; and it tells of a dead one."""
        script = _web_push_testing()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = subprocess.Popen(["node", script, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        base_url = f"http://127.0.0.1:{port}"
        try:
            assert settle(lambda: _listens(port), 20.0)
            with (
                WebPush(KEY, subject=SUBJECT, allow_insecure_http=True) as push,
                httpx.Client(base_url=base_url) as http,
            ):
                options = {"userVisibleOnly": "true", "applicationServerKey": push.public_key}
                data = http.post("/subscribe", json=options).raise_for_status().json()["data"]
                subscription = {"endpoint": f"{base_url}/notify/{data['clientHash']}", "keys": data["keys"]}
                report = relay(WORDS, push.to(subscription), coalescer=PassThrough())
                read = http.post("/get-notifications", json={"clientHash": data["clientHash"]}).json()["data"][
                    "messages"
                ]
                http.post(f"/expire-subscription/{data['clientHash']}", json={}).raise_for_status()
                expired = relay(WORDS, push.to(subscription), coalescer=PassThrough())
        finally:
            server.kill()
            server.wait()

        assembler = StreamAssembler()
        for message in read:
            assembler.receive(json.loads(message))
        assert report.delivered_text == TEXT and assembler.complete and assembler.text == TEXT
        assert isinstance(expired.undelivered[0].error, InvalidToken) and not expired.pushes


def _listens(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _web_push_testing():
    """Return the script of npm's web-push-testing, or skip."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    root = (
        os.environ.get("NODE_PATH")
        or subprocess.run(["npm", "root", "-g"], capture_output=True, text=True, check=False).stdout.strip()
    )
    script = Path(root, "web-push-testing", "src", "bin", "server.js")
    if not script.exists():
        pytest.skip("web-push-testing is not installed: npm install -g web-push-testing")
    return script


class TestThePage:
    def test_the_lines_of_the_page_put_text_together(self):
        """The JavaScript of the page on Web Push agrees with the test vectors of receivers."""
        if shutil.which("node") is None:
            pytest.skip("node is not installed")
        docs = Path(__file__).parents[2] / "docs"
        page = (docs / "how-to" / "web-push.md").read_text(encoding="utf-8")
        (receive,) = re.findall(r"```js\n(// receive\.js\n.*?)```", page, re.DOTALL)
        program = (
            "const document = null;\n" + receive + "const fs = require('fs');\n"
            "for (const vector of JSON.parse(fs.readFileSync(0))) {\n"
            "  streams.clear();\n"
            "  let known;\n"
            "  for (const arrival of vector.arrivals) known = receive(arrival.data) ?? known;\n"
            "  console.log(JSON.stringify([vector.name, known.text, known.complete]));\n"
            "}\n"
        )
        vectors = json.loads((docs / "payload-vectors.json").read_text(encoding="utf-8"))
        vectors = [vector for vector in vectors if not vector["arrivals"][-1]["suspect"]]
        said = subprocess.run(
            ["node", "-e", program], input=json.dumps(vectors), capture_output=True, text=True, check=True
        ).stdout

        assert vectors
        assert [json.loads(line) for line in said.splitlines()] == [
            [vector["name"], vector["arrivals"][-1]["text"], vector["arrivals"][-1]["complete"]] for vector in vectors
        ]
