"""Pushes over FCM, against the fake: the faults, the tokens, and a client that is not ours."""

import contextlib
import json
import logging
import subprocess
import sys
import threading
import time

import anyio
import pytest
from tests.shells.test_secrets import shown
from tests.shells.worlds import WORLDS, Dressed

from genesys_stream import (
    AmbiguousDelivery,
    AuthenticationError,
    Batch,
    ConfigurationError,
    ConnectFailed,
    InvalidArgument,
    InvalidToken,
    MalformedEvent,
    PayloadTooLarge,
    PermissionDenied,
    RateLimited,
    Retry,
    ServiceUnavailable,
    StreamAssembler,
    Timeouts,
)
from genesys_stream._core.http.retry import Attempt
from genesys_stream.testing import FakeFcm

pytest.importorskip("google.auth", reason="google-auth, of the extra [fcm], is not installed")

from google.auth.exceptions import TransportError

from genesys_stream.fcm import AsyncFcm, Fcm

DEVICE = "sesame-device"
WORDS = ["The quick ", "brown fox ", "jumps 👍🏽 over ", "the lazy dog."]
TEXT = "".join(WORDS)
BATCH = Batch("Hello", stream_id="s", seq=1)
SOON = Retry(attempts=8, wait_initial=0.01, wait_max=0.02)


@pytest.fixture(params=WORLDS)
def world(request):
    """Each of the three worlds."""
    return WORLDS[request.param]


@pytest.fixture(scope="module")
def keys():
    """Two keys of service accounts, which take a moment to make."""
    made = []
    for _ in range(2):
        fake = FakeFcm()
        fake.rotate_key()
        made.append(fake._key)
    return made


@pytest.fixture
def fake(keys):
    fake = FakeFcm()
    fake._key = keys[0]
    return fake


@pytest.fixture
def key_file(fake, server, tmp_path):
    path = tmp_path / "key.json"
    path.write_text(json.dumps(fake.service_account(server.base_url)))
    return path


def client(world, server, key_file, **options):
    """A client of the served fake, in this world's colour."""
    cls = Fcm if world.name == "sync" else AsyncFcm
    made = cls.from_service_account_file(key_file, base_url=server.base_url, **options)
    return DressedFcm(made) if world.name == "sync" else made


class DressedFcm(Dressed):
    def to(self, *args, **kwargs):
        return self.it.to(*args, **kwargs)


async def send(world, sink, batch=BATCH):
    """Send one batch, once."""
    receipt = sink.send(sink.encode(batch), batch)
    return receipt if world.name == "sync" else await receipt


def read(fake):
    """What the phone has read of the messages that FCM took."""
    assembler = StreamAssembler()
    for message in fake.messages:
        assembler.receive(message["data"])
    return assembler


class TestRelay:
    async def test_a_relay_arrives_whole(self, world, fake, server, key_file):
        """Silent on the way, visible at the end, and complete for the receiver."""
        async with client(world, server, key_file) as fcm:
            report = await world.relay(world.source(WORDS), fcm.to(DEVICE, title="Your answer"))

        assert report.state == "complete"
        assert report.undelivered == ()
        assert read(fake).text == TEXT
        assert read(fake).complete
        assert [("notification" in message) for message in fake.messages] == [False] * (len(fake.messages) - 1) + [True]
        assert {message["token"] for message in fake.messages} == {DEVICE}
        assert len(fake.issued_tokens) == 1
        assert report.pushes[0].receipt.id.startswith("projects/fake-project/messages/")

    async def test_a_dead_token_is_pushed_to_once(self, world, fake, server, key_file):
        """The rest is listed as undelivered, and the hook is called once."""
        told = []
        fake.dead.add(DEVICE)
        async with client(world, server, key_file, on_invalid_token=lambda *what: told.append(what)) as fcm:
            report = await world.relay(world.source([*WORDS, 0.1, "more"]), fcm.to(DEVICE))

        assert len(fake.send.requests) == 1
        assert "".join(lost.text for lost in report.undelivered) == TEXT + "more"
        assert [(device, type(error), error.gone) for device, error in told] == [(DEVICE, InvalidToken, True)]

    async def test_a_lost_answer_is_sent_again_as_it_was(self, world, fake, server, key_file):
        """The same message under the same number, which the receiver reads once."""
        fake.send.lose_answer()
        async with client(world, server, key_file) as fcm:
            report = await world.relay(world.source(WORDS), fcm.to(DEVICE), retry=SOON)

        assert fake.messages[0] == fake.messages[1]
        assert report.resent == 1
        assert read(fake).text == TEXT
        assert read(fake).complete

    async def test_what_fcm_finds_too_large_goes_in_smaller_pieces(self, world, fake, server, key_file):
        """With 413, and with the words that FCM itself uses."""
        fake.send.fail(413)
        fake.send.fail(400, "INVALID_ARGUMENT", message="Android message is too big")
        async with client(world, server, key_file) as fcm:
            report = await world.relay(world.source(["word " * 100]), fcm.to(DEVICE, profile=None), retry=SOON)

        assert report.undelivered == ()
        assert read(fake).text == "word " * 100

    async def test_other_phones_go_on(self, world, fake, server, key_file):
        """A phone whose quota is used up stops no other one."""
        fake.send.quota_exceeded("device", retry_after=0.3)
        async with client(world, server, key_file) as fcm:
            sinks = [fcm.to(device) for device in ("a", "b")]
            reports = await world.relay_each(world.source(WORDS), sinks, retry=SOON)

        held = sorted(report.held_seconds for report in reports)
        assert held[0] == 0.0
        assert held[1] >= 0.3
        for device in ("a", "b"):
            assembler = StreamAssembler()
            for message in fake.messages:
                if message["token"] == device:
                    assembler.receive(message["data"])
            assert assembler.text == TEXT

    async def test_a_silent_fcm_is_left(self, world, fake, server, key_file):
        """A push that is never answered is ambiguous, and one that is answered late is taken."""
        fake.send.late(30.0)
        fake.send.late(0.05)
        async with client(world, server, key_file, timeouts=Timeouts(push=0.3)) as fcm:
            with pytest.raises(AmbiguousDelivery):
                await send(world, fcm.to(DEVICE))
            receipt = await send(world, fcm.to(DEVICE))

        assert receipt.status == "accepted"


FAULTS = [
    (lambda fake: fake.send.unregistered(), InvalidToken, {"gone": True}),
    (lambda fake: fake.send.fail(403, "SENDER_ID_MISMATCH"), InvalidToken, {"gone": False}),
    (lambda fake: fake.send.quota_exceeded("project"), RateLimited, {"scope": "credential", "retry_after": 60.0}),
    (lambda fake: fake.send.quota_exceeded("topic"), RateLimited, {"scope": "device"}),
    (lambda fake: fake.send.fail(413), PayloadTooLarge, {}),
    (lambda fake: fake.send.fail(503), ServiceUnavailable, {"retryable": True}),
    (lambda fake: fake.send.fail(401, "THIRD_PARTY_AUTH_ERROR"), PermissionDenied, {"retryable": False}),
    (lambda fake: fake.send.drop(), AmbiguousDelivery, {"retryable": True}),
    (
        lambda fake: fake.tokens.fail(401, code="unauthorized_client"),
        AuthenticationError,
        {"code": "unauthorized_client"},
    ),
    (lambda fake: fake.tokens.fail(400, code="invalid_grant"), AuthenticationError, {"retryable": False}),
    (lambda fake: fake.tokens.answer(200, json={"expires_in": 1}), MalformedEvent, {}),
    (lambda fake: fake.tokens.answer(200, json={"access_token": "sesame token"}), MalformedEvent, {}),
]


class TestFaults:
    @pytest.mark.parametrize(("fault", "cls", "facts"), FAULTS)
    async def test_a_fault_has_its_error(self, world, fake, server, key_file, fault, cls, facts, caplog):
        """It is raised at once, and neither it nor the log names the device, the text or the token."""
        caplog.set_level(logging.DEBUG)
        fault(fake)
        told = []

        async def hook(device, error):
            raise ValueError(device)

        def blocking_hook(device, error):
            raise ValueError(device)

        options = {"on_event": told.append, "on_invalid_token": blocking_hook if world.name == "sync" else hook}
        async with client(world, server, key_file, **options) as fcm:
            sink = fcm.to(DEVICE)
            with pytest.raises(cls) as caught:
                await send(world, sink, Batch("sesame text", stream_id="s", seq=1))

        error = caught.value
        assert {name: getattr(error, name) for name in facts} == facts
        for text in (shown(error), caplog.text, repr(told), repr(fcm), repr(sink)):
            for secret in ("sesame", "PRIVATE", *fake.issued_tokens):
                assert secret not in text
        assert ("on_invalid_token hook raised ValueError" in caplog.text) == (cls is InvalidToken)

    def test_too_many_token_requests_are_a_limit_of_the_project(self, fake, server, key_file):
        """After the attempts that google-auth makes itself."""
        fake.tokens.fail(429, times=None)
        with Fcm.from_service_account_file(key_file, base_url=server.base_url) as fcm:
            sink = fcm.to(DEVICE)
            with pytest.raises(RateLimited) as caught:
                sink.send(sink.encode(BATCH), BATCH)

        assert caught.value.scope == "credential"

    async def test_wrong_credentials_are_said_to_be(self, world, fake, server, key_file, keys):
        """Once, however many pushes wait for the token."""
        fake._key = keys[1]
        async with client(world, server, key_file) as fcm:
            report = await world.relay(world.source(WORDS), fcm.to(DEVICE))

        assert {type(lost.error) for lost in report.undelivered} == {AuthenticationError}
        assert "Invalid JWT Signature" in str(report.undelivered[0].error)
        assert fake.messages == []

    async def test_a_key_may_be_replaced_while_running(self, world, fake, server, key_file, keys):
        """The next token is requested with the key that the file has then."""
        async with client(world, server, key_file) as fcm:
            await send(world, fcm.to(DEVICE))
            fake._key = keys[1]
            key_file.write_text(json.dumps(fake.service_account(server.base_url)))
            fake.revoke_tokens()
            await send(world, fcm.to(DEVICE))

        assert len(fake.issued_tokens) == 2
        assert [entry.status for entry in fake.send.requests] == [200, 401, 200]

    async def test_a_key_file_may_break_while_running(self, world, fake, server, key_file):
        """The error says so, and names no key."""
        async with client(world, server, key_file) as fcm:
            key_file.write_text("{}")
            with pytest.raises(ConfigurationError, match="is not the key of a service account"):
                await send(world, fcm.to(DEVICE))

    async def test_a_token_endpoint_that_is_down_is_a_failure_of_the_network(self, world, fake, server, key_file):
        """It may be tried again."""
        async with client(world, server, key_file) as fcm:
            with server.refusing(), pytest.raises(ConnectFailed):
                await send(world, fcm.to(DEVICE))
            await send(world, fcm.to(DEVICE))

        assert len(fake.messages) == 1


class TestTokens:
    async def test_one_request_serves_all_who_wait(self, world, fake, server, key_file):
        """Fifty pushes at once need one token."""
        fake.tokens.late(0.1)
        async with client(world, server, key_file) as fcm:
            sinks = [fcm.to(f"device-{i}") for i in range(50)]
            await world.together(*[lambda sink=sink: send(world, sink) for sink in sinks])

        assert len(fake.messages) == 50
        assert len(fake.issued_tokens) == 1

    async def test_the_event_loop_goes_on_meanwhile(self, loop_world, fake, server, key_file):
        """Neither the signature nor the wait for the token stops it."""
        fake.tokens.late(0.3)
        longest = 0.0
        done = False

        async def beat():
            nonlocal longest
            while not done:
                at = time.monotonic()
                await loop_world.sleep(0.005)
                longest = max(longest, time.monotonic() - at)

        async def push():
            nonlocal done
            await send(loop_world, fcm.to(DEVICE))
            done = True

        async with client(loop_world, server, key_file) as fcm:
            await loop_world.together(beat, push)

        assert longest < 0.25

    async def test_a_token_that_comes_too_late_leaves_no_thread(self, world, fake, server, key_file):
        """The call ends in time, and the next one gets a token."""
        fake.tokens.late(1.0)
        async with client(world, server, key_file, timeouts=Timeouts(total=0.2)) as fcm:
            with pytest.raises(Exception, match="in time"):
                await send(world, fcm.to(DEVICE))

        await world.until(lambda: "genesys-stream token" not in {thread.name for thread in threading.enumerate()})

    async def test_credentials_that_try_again_leave_no_thread(self, world):
        """Those of machines in Google Cloud make several attempts, which end where nobody waits any more."""

        class Credentials:
            project_id = "fake-project"

            def refresh(self, request):
                for _ in range(3):
                    with contextlib.suppress(TransportError):
                        request("http://metadata.google.internal/token")
                raise TransportError

        fcm = AsyncFcm(credentials=Credentials()) if world.name != "sync" else Fcm(credentials=Credentials())
        flow = fcm._session._credentials.token_flow()
        while not isinstance(wanted := next(flow), Attempt):
            wanted.wait()
        flow.close()

        await world.until(lambda: "genesys-stream token" not in {thread.name for thread in threading.enumerate()})

    async def test_a_push_that_is_cancelled_leaves_the_token_to_others(self, loop_world, fake, server, key_file):
        """Whoever waits for it requests it then."""
        fake.tokens.late(0.5)
        async with client(loop_world, server, key_file) as fcm:

            async def impatient():
                with anyio.move_on_after(0.1):
                    await send(loop_world, fcm.to(DEVICE))

            async def patient():
                await loop_world.sleep(0.02)
                await send(loop_world, fcm.to("another-device"))

            await loop_world.together(impatient, patient)

        assert [message["token"] for message in fake.messages] == ["another-device"]

    def test_aiohttp_may_carry_it(self, fake, server, key_file):
        """With the same fault's same error."""
        pytest.importorskip("aiohttp", reason="the extra [aiohttp] is not installed")
        world = WORLDS["asyncio"]

        async def scenario():
            async with client(world, server, key_file, transport="aiohttp") as fcm:
                fake.send.lose_answer()
                return await world.relay(world.source(WORDS), fcm.to(DEVICE), retry=SOON)

        report = world.run(scenario)

        assert report.resent == 1
        assert read(fake).text == TEXT

    def test_application_default_credentials(self, fake, server, key_file, monkeypatch):
        """The file that the environment names; without one the error says what to set."""
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key_file))
        with Fcm.from_env(base_url=server.base_url) as fcm:
            sink = fcm.to(fid="installation")
            sink.send(sink.encode(BATCH), BATCH)

        assert fake.messages[0]["fid"] == "installation"
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key_file.with_name("none.json")))
        with pytest.raises(ConfigurationError, match="that GOOGLE_APPLICATION_CREDENTIALS names is missing"):
            Fcm.from_env()

    def test_a_workload_identity(self, fake, server, tmp_path, monkeypatch):
        """A token of another provider's is exchanged for one of Google's, by google-auth over our client."""
        subject = tmp_path / "subject"
        subject.write_text("sesame-subject")
        config = tmp_path / "workload.json"
        config.write_text(
            json.dumps(
                {
                    "type": "external_account",
                    "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
                    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                    "token_url": f"{server.base_url}/token",
                    "credential_source": {"file": str(subject)},
                }
            )
        )
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(config))
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "fake-project")
        with fake._app.lock:
            granted = fake._app.issued.issue(time.time() + 3600)
        fake.tokens.answer(
            json={"access_token": granted, "expires_in": 3600, "token_type": "Bearer", "issued_token_type": "t"}
        )
        with Fcm.from_env(base_url=server.base_url) as fcm:
            sink = fcm.to(DEVICE)
            sink.send(sink.encode(BATCH), BATCH)

        assert b"sesame-subject" in fake.tokens.requests[0].body
        assert len(fake.messages) == 1


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "argument"),
        [
            ({}, "token"),
            ({"token": "a", "fid": "b"}, "token"),
            ({"token": " "}, "token"),
            ({"token": ["a"]}, "token"),
            ({"fid": 7}, "fid"),
            ({"token": "two words"}, "token"),
            ({"token": "token\n"}, "token"),
            ({"fid": "\ud800"}, "fid"),
            ({"token": "a", "platform": "ios"}, "platform"),
            ({"token": "a", "profile": "android"}, "profile"),
            ({"token": "a", "data": {"from": "x"}}, "data['from']"),
            ({"token": "a", "colour": 1}, "colour"),
            ({"token": "a", "max_payload_bytes": 200}, "max_payload_bytes"),
            ({"token": "a", "max_payload_bytes": 4097}, "max_payload_bytes"),
        ],
    )
    def test_what_is_wrong_with_a_device_is_refused_by_name(self, key_file, arguments, argument):
        """Before anything is sent."""
        with pytest.raises(InvalidArgument) as caught, Fcm.from_service_account_file(key_file) as fcm:
            fcm.to(**arguments)

        assert caught.value.argument == argument

    @pytest.mark.parametrize(
        ("arguments", "cls", "words"),
        [
            ({"credentials": "key.json"}, InvalidArgument, "see from_service_account_file"),
            ({"rate": 5}, InvalidArgument, "rate must be Rate or None"),
            ({"on_invalid_token": 5}, InvalidArgument, "on_invalid_token must be a callable"),
            ({"on_event": anyio.sleep}, InvalidArgument, "on_event must not be an async function"),
            ({"project_id": "a/b"}, InvalidArgument, "project_id must be the id"),
            ({"base_url": "http://fcm.example"}, ConfigurationError, "in the clear"),
            ({"timeouts": 5}, InvalidArgument, "timeouts"),
            ({"transport": "curl"}, InvalidArgument, "transport"),
            ({"colour": 1}, InvalidArgument, "colour"),
        ],
    )
    @pytest.mark.parametrize("cls_", [Fcm, AsyncFcm])
    def test_what_is_wrong_with_a_client_is_refused_by_name(self, fake, arguments, cls, words, cls_):
        """With the way out."""
        from google.oauth2.service_account import Credentials

        credentials = Credentials.from_service_account_info(fake.service_account())
        with pytest.raises(cls, match=words):
            cls_(**{"credentials": credentials, **arguments})

    def test_a_project_must_be_known(self, monkeypatch):
        """From the credentials, the argument or the environment."""
        monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)

        class Credentials:
            def refresh(self, request): ...

        with pytest.raises(ConfigurationError, match="write project_id="):
            Fcm(credentials=Credentials())
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "from-env")
        with Fcm(credentials=Credentials()) as fcm:
            assert repr(fcm) == "Fcm(project_id='from-env')"

    def test_a_file_that_is_no_key_is_refused(self, tmp_path):
        """Before anything is sent, without its content."""
        path = tmp_path / "key.json"
        path.write_text('{"private_key": "sesame"}')
        with pytest.raises(ConfigurationError) as caught:
            Fcm.from_service_account_file(path)
        with pytest.raises(InvalidArgument, match="path must be the path of a file"):
            Fcm.from_service_account_file(7)

        assert "sesame" not in shown(caught.value)


class TestExtra:
    def test_a_missing_extra_is_named(self, monkeypatch):
        """With the line that installs it, before anything else is looked at."""
        monkeypatch.setitem(sys.modules, "google.auth", None)
        for make in (lambda: Fcm(credentials=None), lambda: Fcm.from_service_account_file("none"), AsyncFcm.from_env):
            with pytest.raises(ConfigurationError, match=r'pip install "genesys-stream\[fcm\]"'):
                make()
        monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)
        with pytest.raises(ConfigurationError, match=r'pip install "genesys-stream\[fcm\]"'):
            FakeFcm().service_account()

    def test_it_is_not_imported_before_it_is_used(self):
        """Neither by the package nor by the module of the service."""
        code = "import sys, genesys_stream.fcm, genesys_stream.testing; sys.exit('google.auth' in sys.modules)"

        assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


class TestOthers:
    def test_googles_own_client_works_with_the_fake(self, fake, server, monkeypatch):
        """firebase-admin gets a token, sends, and reads the error of a dead token."""
        firebase_admin = pytest.importorskip("firebase_admin", reason="firebase-admin is not installed")
        import warnings

        from firebase_admin import credentials, messaging

        url = f"{server.base_url}/v1/projects/{{0}}/messages:send"
        monkeypatch.setattr(messaging._MessagingService, "FCM_URL", url)
        fake.dead.add("dead")
        account = credentials.Certificate(fake.service_account(server.base_url))
        app = firebase_admin.initialize_app(account, name="test")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                name = messaging.send(messaging.Message(token="alive", data={"a": "b"}), app=app)
                with pytest.raises(messaging.UnregisteredError):
                    messaging.send(messaging.Message(token="dead"), app=app)
        finally:
            firebase_admin.delete_app(app)

        assert fake.messages == [{"token": "alive", "data": {"a": "b"}}]
        assert name.startswith("projects/fake-project/messages/")

    def test_messages_follow_googles_schema(self, fake, server, key_file):
        """The discovery document of FCM, which Google publishes, knows every field and its kind."""
        documents = pytest.importorskip(
            "googleapiclient.discovery_cache.documents", reason="google-api-python-client is not installed"
        )
        from pathlib import Path

        document = json.loads(Path(documents.__path__[0], "fcm.v1.json").read_text())
        with Fcm.from_service_account_file(key_file, base_url=server.base_url) as fcm:
            for batch in (BATCH, Batch("", stream_id="s", seq=2, state="complete", total=5, finish_reason="stop")):
                for sink in (fcm.to(DEVICE, ref="r"), fcm.to(fid="f"), fcm.to(DEVICE, platform="android")):
                    sink.send(sink.encode(batch), batch)

        assert len(fake.send.requests) == 6
        for entry in fake.send.requests:
            check(entry.json, "SendMessageRequest", document["schemas"])


def check(value, name, schemas):
    """Check a value against a schema of a discovery document: no unknown field, no value of another kind."""
    schema = schemas[name] if isinstance(name, str) else name
    if "$ref" in schema:
        return check(value, schema["$ref"], schemas)
    kind = schema["type"]
    if kind == "any":
        return None
    assert isinstance(value, {"object": dict, "string": str, "boolean": bool, "integer": int, "array": list}[kind])
    assert value in schema.get("enum", [value])
    if schema.get("format") == "google-duration":
        assert value.endswith("s")
        float(value[:-1])
    if kind == "object":
        for key, inner in value.items():
            assert key in schema.get("properties", {}) or "additionalProperties" in schema, f"{key} is unknown"
            check(inner, schema.get("properties", {}).get(key) or schema["additionalProperties"], schemas)
    return None
