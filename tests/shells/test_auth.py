"""One token for any number of tasks and threads: with anybody's httpx client, with ours, and on paper."""

import asyncio
import base64
import copy
import gzip
import inspect
import json
import pickle
import subprocess
import sys
import threading
import time
import traceback
from contextlib import asynccontextmanager
from importlib import metadata

import anyio
import httpx
import pytest
from tests.shells.worlds import WORLDS

from genesys_stream import (
    AuthenticationError,
    Client,
    ClientCredentials,
    ConfigurationError,
    GenesysStreamError,
    _errors,
)
from genesys_stream._auth import TokenRefresh, credentials_of
from genesys_stream._core.http.exchange import Reply
from genesys_stream._core.http.retry import Attempt, Retry
from genesys_stream._core.http.settings import COMPLETIONS_PATH, PUSH_PATH, settings
from genesys_stream._http import advance

HOST = "https://any.example"
PAYLOAD = {"targets": ["device"], "title": "t", "body": "b", "data": {}}
PROMPT = Retry(jitter=lambda _: 0.0)
GRANTED = Reply(200, {}, b'{"access_token":"sesame","expires_in":300}')
SECRET = "client-secret"
SECRETS = (SECRET, base64.b64encode(f"client-id:{SECRET}".encode()).decode())


def session(fake=None, **options):
    """A session of the fake's, which is told the fake's time."""
    options = {"client_id": "client-id", "client_secret": SECRET, "login_url": HOST, "retry": PROMPT, **options}
    made = ClientCredentials(**options)
    if fake is not None:
        made._clock = fake.now
    return made


class Plain:
    """Anybody's httpx client, with our session as its `auth`."""

    @staticmethod
    @asynccontextmanager
    async def reach(world, fake, credentials):
        async with world.http_client(transport=fake.transport, base_url=HOST, auth=credentials, timeout=30) as http:

            async def push():
                answer = http.post(PUSH_PATH, json=PAYLOAD)
                return (await answer if inspect.isawaitable(answer) else answer).status_code

            yield push


class Ours:
    """Our client, with a session that others may share."""

    @staticmethod
    @asynccontextmanager
    async def reach(world, fake, credentials):
        async with world.http_client(transport=fake.transport) as http:
            options = {"base_url": HOST, "credentials": credentials, "http_client": http, "retry": PROMPT}
            async with world.make(options) as client:

                async def push():
                    try:
                        await client.push.send(**PAYLOAD)
                    except AuthenticationError as error:
                        return error.status
                    return 202

                yield push


@pytest.fixture(params=[Plain, Ours], ids=["httpx", "ours"])
def reach(request):
    """A way to push once with a session; returns the status."""
    return request.param.reach


def statuses(script):
    return [entry.status for entry in script.requests]


class TestOneToken:
    async def test_kept(self, world, fake, reach):
        """A token is asked for when it is first needed, and kept."""
        async with reach(world, fake, session(fake)) as push:
            assert [await push() for _ in range(3)] == [202, 202, 202]

        (asked,) = fake.tokens.requests
        assert asked.body == b"grant_type=client_credentials"
        assert asked.headers["authorization"] == f"Basic {SECRETS[1]}"
        assert asked.headers["user-agent"].startswith("genesys-stream/")
        assert asked.headers["accept-encoding"] == "identity"
        assert {entry.headers["authorization"] for entry in fake.push.requests} == {"Bearer fake-token-1"}

    async def test_ahead_of_expiry(self, world, fake, reach):
        """It is replaced ahead of its expiry, so that the service never sees an old one."""
        fake.expires_in = 300
        async with reach(world, fake, session(fake)) as push:
            for seconds, tokens in [(0, 1), (269, 1), (2, 2), (269, 2), (400, 3)]:
                fake.advance(seconds)
                assert await push() == 202
                assert tokens == len(fake.tokens.requests)

        assert statuses(fake.push) == [202] * 5

    async def test_refused_once(self, world, fake, reach):
        """A token that died before its time is replaced, and the request made again."""
        async with reach(world, fake, session(fake)) as push:
            await push()
            fake.revoke_tokens()
            assert await push() == 202

        assert statuses(fake.push) == [202, 401, 202]
        assert len(fake.tokens.requests) == 2

    async def test_refused_for_ever(self, world, fake, reach):
        """A service that refuses every token is asked twice, and no more."""
        fake.push.fail(401, times=None)
        async with reach(world, fake, session(fake)) as push:
            assert await push() == 401
            assert (len(fake.push.requests), len(fake.tokens.requests)) == (2, 2)
            assert await push() == 401
            assert (len(fake.push.requests), len(fake.tokens.requests)) == (4, 3)

    async def test_shared_by_clients(self, world, fake):
        """Clients that share a session share its token."""
        credentials = session(fake)
        for way in (Plain, Ours, Plain):
            async with way.reach(world, fake, credentials) as push:
                assert await push() == 202

        assert len(fake.tokens.requests) == 1

    async def test_other_refusals(self, world, fake):
        """What is no matter of tokens is the caller's."""
        fake.push.fail(403)
        async with Plain.reach(world, fake, session(fake)) as push:
            assert await push() == 403

        assert (len(fake.push.requests), len(fake.tokens.requests)) == (1, 1)

    async def test_compressed(self, world, fake, reach):
        """A proxy may compress the answer."""
        token = fake.issue_token()
        body = gzip.compress(json.dumps({"access_token": token, "expires_in": 300}).encode())
        fake.tokens.answer(200, body=body, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})
        async with reach(world, fake, session(fake)) as push:
            assert await push() == 202


class TestNoToken:
    @pytest.mark.parametrize(
        ("options", "status"), [({"client_id": "nobody"}, 400), ({"client_secret": "wrong-secret"}, 401)]
    )
    async def test_wrong_credentials(self, world, fake, options, status):
        """Wrong credentials are final, and nothing is sent in vain."""
        async with Plain.reach(world, fake, session(fake, **options)) as push:
            with pytest.raises(AuthenticationError) as caught:
                await push()

        assert (status, "invalid_client") == (caught.value.status, caught.value.code)
        assert (len(fake.tokens.requests), fake.push.requests) == (1, [])

    async def test_wrong_credentials_of_ours(self, world, fake):
        """With our client it is the same."""
        async with Ours.reach(world, fake, session(fake, client_secret="wrong-secret")) as push:
            assert await push() == 401

        assert (len(fake.tokens.requests), fake.push.requests) == (1, [])

    async def test_throttled(self, world, fake, reach):
        """A token endpoint that says "rate limit exceeded" is asked again, after the wait that it asks for."""
        fake.tokens.rate_limit(0.05, times=2)
        async with reach(world, fake, session(fake)) as push:
            began = time.monotonic()
            assert await push() == 202

        assert time.monotonic() - began >= 0.1
        assert statuses(fake.tokens) == [400, 400, 200]

    async def test_throttled_for_ever(self, world, fake):
        """But not for ever."""
        fake.tokens.rate_limit(times=None)
        async with Plain.reach(world, fake, session(fake)) as push:
            with pytest.raises(_errors.RateLimited):
                await push()

        assert statuses(fake.tokens) == [400] * 4

    async def test_unreachable(self, world, fake):
        """With our client a connection that is refused is tried again."""
        fake.tokens.refuse(times=2)
        async with Ours.reach(world, fake, session(fake)) as push:
            assert await push() == 202

        assert len(fake.tokens.requests) == 3

    async def test_unreachable_for_others(self, world, fake):
        """With anybody's client it is that client's error, and the next request asks anew."""
        fake.tokens.refuse()
        async with Plain.reach(world, fake, session(fake)) as push:
            with pytest.raises(httpx.ConnectError):
                await push()
            assert await push() == 202

    async def test_timeouts(self, world, fake):
        """The token request has the timeouts of the request that it is made for."""
        fake.tokens.late(30.0)
        async with world.http_client(transport=fake.transport, auth=session(fake), timeout=0.05) as http:
            with pytest.raises(httpx.ReadTimeout):
                answer = http.post(HOST + PUSH_PATH, json=PAYLOAD)
                await answer if inspect.isawaitable(answer) else answer


class TestOneRefreshForAll:
    async def test_many(self, world, fake, reach):
        """However many need a token at once, one is asked for: 200 tasks, or 50 threads."""
        fake.tokens.late(0.3)
        many = 50 if world.name == "sync" else 200
        async with reach(world, fake, session(fake)) as push:
            assert [202] * many == await world.together(*[push] * many)

        assert len(fake.tokens.requests) == 1

    async def test_refused_at_once(self, world, fake, reach):
        """However many have a token refused at once, one other is asked for."""
        many = 50
        async with reach(world, fake, session(fake)) as push:
            await push()
            fake.revoke_tokens()
            fake.tokens.late(0.3)
            assert [202] * many == await world.together(*[push] * many)

        assert len(fake.tokens.requests) == 2

    @pytest.mark.parametrize("first", ["sync", "asyncio", "trio"])
    def test_all_worlds_at_once(self, fake, first):
        """50 threads and 200 tasks on each of two event loops share one token request, whichever leads."""
        fake.tokens.late(0.5)
        credentials = session(fake)
        many = {"sync": 50, "asyncio": 200, "trio": 200}
        results = {}

        def run(name):
            async def scenario():
                async with Plain.reach(WORLDS[name], fake, credentials) as push:
                    results[name] = await WORLDS[name].together(*[push] * many[name])

            WORLDS[name].run(scenario)

        threads = {name: threading.Thread(target=run, args=[name]) for name in many}
        threads[first].start()
        while not fake.tokens.requests:
            time.sleep(0.001)
        for name in many.keys() - {first}:
            threads[name].start()
        for thread in threads.values():
            thread.join()

        assert {name: [202] * count for name, count in many.items()} == results
        assert len(fake.tokens.requests) == 1

    async def test_failure(self, world, fake):
        """A request that fails wakes everybody with its error, each with one of their own, and the next try works."""
        many = 50
        fake.tokens.answer(500, json={"error": "server_error", "error_description": "no luck"}, after=0.5)
        errors = []
        async with Plain.reach(world, fake, session(fake)) as push:

            async def fail():
                with pytest.raises(_errors.ServerError) as caught:
                    await push()
                errors.append(caught.value)

            await world.together(*[fail] * many)
            assert len(fake.tokens.requests) == 1
            assert await push() == 202

        assert {(500, "server_error", "no luck")} == {(error.status, error.code, error.message) for error in errors}
        assert many == len({id(error) for error in errors})
        assert len(fake.tokens.requests) == 2

    @pytest.mark.parametrize("reach", [Plain.reach, Ours.reach])
    async def test_cancelled_leader(self, loop_world, fake, reach):
        """When the task that asks is cancelled, another that waits asks in its place."""
        fake.tokens.late(2.0)
        statuses_ = []
        async with reach(loop_world, fake, session(fake)) as push, anyio.create_task_group() as group:
            scope = anyio.CancelScope()

            async def lead():
                with scope:
                    await push()

            async def follow():
                statuses_.append(await push())

            group.start_soon(lead)
            await loop_world.until(lambda: fake.tokens.requests)
            for _ in range(20):
                group.start_soon(follow)
            await anyio.sleep(0.05)
            scope.cancel()

        assert statuses_ == [202] * 20
        assert len(fake.tokens.requests) == 2

    async def test_cancelled_follower(self, loop_world, fake, reach):
        """When a task that waits is cancelled, nobody else notices."""
        fake.tokens.late(1.5)
        async with reach(loop_world, fake, session(fake)) as push, anyio.create_task_group() as group:
            group.start_soon(push)
            await loop_world.until(lambda: fake.tokens.requests)
            with anyio.move_on_after(0.05) as scope:
                await push()
            assert scope.cancelled_caught

        assert statuses(fake.push) == [202]
        assert len(fake.tokens.requests) == 1

    def test_native_cancellation(self, fake):
        """A leader that asyncio itself cancels hands over, too."""
        fake.tokens.late(30.0)

        async def scenario():
            async with Plain.reach(WORLDS["asyncio"], fake, session(fake)) as push:
                leader = asyncio.ensure_future(push())
                while not fake.tokens.requests:
                    await asyncio.sleep(0.001)
                follower = asyncio.ensure_future(push())
                await asyncio.sleep(0.05)
                leader.cancel()
                assert await follower == 202
                with pytest.raises(asyncio.CancelledError):
                    await leader

        asyncio.run(scenario())


def begin(credentials, **options):
    """Begin a flow; returns it, and what it wants first."""
    flow = credentials.token_flow(**options)
    return flow, *advance(flow)


class TestTokenFlow:
    def test_lead_and_follow(self):
        """The first who needs a token asks; the others wait, and have it when it has landed."""
        credentials = session()
        leader, attempt, _ = begin(credentials)
        follower, refresh, _ = begin(credentials)

        assert isinstance(attempt, Attempt)
        assert isinstance(refresh, TokenRefresh)
        assert advance(leader, GRANTED) == (None, "sesame")
        refresh.wait()
        assert advance(follower) == (None, "sesame")
        assert begin(credentials)[1:] == (None, "sesame")

    def test_leader_gone(self):
        """When the leader goes away, one of those who waited leads, and the others wait for that one."""
        credentials = session()
        leader, _, _ = begin(credentials)
        first, refresh, _ = begin(credentials)
        second, _, _ = begin(credentials)
        leader.close()
        refresh.wait()

        attempt, _ = advance(first)
        other, _ = advance(second)

        assert isinstance(attempt, Attempt)
        assert isinstance(other, TokenRefresh)
        assert other is not refresh
        assert advance(first, GRANTED) == (None, "sesame")
        assert advance(second) == (None, "sesame")

    def test_leader_failed_for_its_own_reasons(self):
        """What a hook or a signal raised is the leader's alone."""
        credentials = session()
        leader, _, _ = begin(credentials)
        follower, _, _ = begin(credentials)
        with pytest.raises(KeyboardInterrupt):
            leader.throw(KeyboardInterrupt)

        assert isinstance(advance(follower)[0], Attempt)

    def test_errors_are_copies(self):
        """Everybody raises an error of their own, whose cause is the leader's."""
        credentials = session()
        leader, _, _ = begin(credentials)
        follower, _, _ = begin(credentials)
        with pytest.raises(_errors.ServerError) as led:
            leader.send(Reply(500, {}, b"oops"))
        with pytest.raises(_errors.ServerError) as followed:
            follower.send(None)

        assert followed.value is not led.value
        assert followed.value.__cause__ is led.value
        assert followed.value.__dict__ == led.value.__dict__

    def test_old_refusals(self):
        """Who comes late with a token that was replaced long ago gets the new one."""
        credentials = session()
        leader, _, _ = begin(credentials)
        leader.send(Reply(503))
        advance(leader, GRANTED)

        assert begin(credentials, refused="an older one")[1:] == (None, "sesame")
        assert isinstance(begin(credentials, refused="sesame")[1], Attempt)

    def test_life_counts_from_the_last_request(self):
        """A token's life begins when it was asked for, not when the first of several requests failed."""
        credentials = session()
        now = [0.0]
        credentials._clock = lambda: now[0]
        leader, _, _ = begin(credentials)
        now[0] = 100.0
        attempt, _ = advance(leader, Reply(503, {"retry-after": "100"}))
        now[0] = 205.0
        advance(leader, GRANTED)

        assert attempt.after == 100.0
        for at, good in [(469.9, True), (470.0, False)]:
            now[0] = at
            assert good is (begin(credentials)[2] == "sesame")

    def test_margin(self):
        """A stream may want a token that lives for a while yet."""
        credentials = session()
        now = [0.0]
        credentials._clock = lambda: now[0]
        leader, _, _ = begin(credentials)
        advance(leader, GRANTED)
        now[0] = 200.0

        assert begin(credentials, margin=99.0)[2] == "sesame"
        assert isinstance(begin(credentials, margin=101.0)[1], Attempt)

    def test_waiting_for_oneself(self):
        """A thread that blocks on its own request is told so, instead of waiting for ever."""
        credentials = session()
        leader, _, _ = begin(credentials)
        _, refresh, _ = begin(credentials)

        with pytest.raises(_errors.UsageError, match="would wait for itself"):
            refresh.wait()
        leader.close()
        refresh.wait()

    def test_landed_already(self, loop_world):
        """A caller that comes after the refresh has finished does not wait."""
        refresh = TokenRefresh()
        refresh.finish("sesame", None)
        loop_world.run(refresh.wait_async)

        assert "sesame" not in repr(refresh)

    def test_loop_gone(self, loop_world):
        """The end of a refresh wakes the callers whose event loop still runs, and ignores the others."""
        refresh = TokenRefresh()

        async def give_up():
            with anyio.move_on_after(0.01):
                await refresh.wait_async()

        loop_world.run(give_up)
        refresh.finish("sesame", None)


def test_blocking_call_on_the_loop(fake, loop_world):
    """A blocking call on an event loop whose task asks for the token is refused, where it would hang for ever."""
    fake.tokens.late(0.1)
    credentials = session(fake)

    async def scenario():
        async with Plain.reach(loop_world, fake, credentials) as push, anyio.create_task_group() as group:
            group.start_soon(push)
            await loop_world.until(lambda: fake.tokens.requests)
            with httpx.Client(transport=fake.transport, auth=credentials) as http, pytest.raises(_errors.UsageError):
                http.post(HOST + PUSH_PATH, json=PAYLOAD)

    loop_world.run(scenario)

    assert statuses(fake.push) == [202]


@pytest.mark.skipif(
    any(requirement.startswith("sniffio") for requirement in metadata.requires("anyio") or ()),
    reason="an older anyio does not do without sniffio",
)
def test_without_trio_and_sniffio():
    """asyncio needs neither of them to be there."""
    script = (
        "import sys; sys.modules['sniffio'] = sys.modules['trio'] = None\n"
        "import asyncio\n"
        "from genesys_stream._auth import TokenRefresh\n"
        "async def main():\n"
        "    refresh = TokenRefresh()\n"
        "    asyncio.get_running_loop().call_later(0.01, refresh.finish, 'token', None)\n"
        "    await asyncio.wait_for(refresh.wait_async(), 10)\n"
        "asyncio.run(main())\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


class TestSecrets:
    def test_repr(self, fake):
        """Neither the secret nor a token is in any repr."""
        credentials = session(fake)
        with httpx.Client(transport=fake.transport, auth=credentials) as http:
            http.post(HOST + PUSH_PATH, json=PAYLOAD)

        shown = f"{credentials!r} {credentials} {vars(credentials)!r} {vars(credentials._cache)!r}"

        assert repr(credentials) == "ClientCredentials('client-id')"
        assert not any(secret in shown for secret in (*SECRETS, *fake.issued_tokens))

    @pytest.mark.parametrize("do", [pickle.dumps, copy.copy, copy.deepcopy])
    def test_pickle(self, do):
        """A session is not copied, by pickle or otherwise."""
        with pytest.raises(TypeError, match="not to be pickled") as caught:
            do(session())

        assert not any(secret in str(caught.value) for secret in SECRETS)

    @pytest.mark.parametrize(
        "script",
        [
            lambda tokens: tokens.answer(
                400, json={"error": "invalid_client", "error_description": "client not found"}
            ),
            lambda tokens: tokens.answer(200, json={"access_token": "sesame sesame"}),
            lambda tokens: tokens.answer(200, body=b'{"access_token":"sesame'),
            lambda tokens: tokens.fail(503, times=4),
            lambda tokens: tokens.rate_limit(times=4),
            lambda tokens: tokens.refuse(times=4),
            lambda tokens: tokens.drop(times=4),
        ],
    )
    def test_tracebacks(self, fake, script, caplog):
        """Whatever goes wrong, no traceback, pickle or log shows a secret or a token."""
        script(fake.tokens)
        caplog.set_level(0)
        with pytest.raises(GenesysStreamError) as caught, httpx.Client(transport=fake.transport) as http:
            with Client(base_url=HOST, credentials=session(fake), http_client=http, retry=PROMPT) as client:
                client.push.send(**PAYLOAD)

        shown = "".join(traceback.format_exception(caught.value)) + caplog.text
        shown += repr(pickle.loads(pickle.dumps(caught.value)).__dict__)
        assert not any(secret in shown for secret in (*SECRETS, "sesame"))


class TestArguments:
    @pytest.mark.parametrize("name", ["client_id", "client_secret"])
    @pytest.mark.parametrize("value", [None, "", " ", 1, b"x", "a\r\nb", "a\n", "\0", "\ud83d"])
    def test_credentials(self, name, value):
        """An id and a secret are printable strings, and the error does not repeat them."""
        with pytest.raises(ConfigurationError, match=f"{name} must be") as caught:
            session(**{name: value})

        assert SECRET not in str(caught.value)

    def test_colon(self):
        """An id with a colon would take away from the secret (RFC 7617, section 2)."""
        with pytest.raises(ConfigurationError, match="colon"):
            session(client_id="a:b")

    @pytest.mark.parametrize("scopes", ["openid", None, 1, [1], [""], ["a\r\nb"], ["\ud83d"], {"a"}])
    def test_scopes(self, scopes):
        """Scopes are a list of printable strings."""
        with pytest.raises(ConfigurationError, match="scopes"):
            session(scopes=scopes)

    async def test_scopes_are_sent(self, world, fake):
        """They are asked for if there are any."""
        async with Plain.reach(world, fake, session(fake, scopes=["ai:llm:write", "openid"])) as push:
            await push()

        assert fake.tokens.requests[0].body == b"grant_type=client_credentials&scope=ai%3Allm%3Awrite%20openid"

    @pytest.mark.parametrize("options", [{"login_url": "http://x.example"}, {"login_url": None, "region": "mars"}])
    def test_addresses(self, options):
        """Secrets go nowhere unsafe."""
        with pytest.raises(ConfigurationError):
            session(**options)

    @pytest.mark.parametrize(("region", "host"), [(None, "mypurecloud.com"), ("eu_west_1", "mypurecloud.ie")])
    def test_region(self, region, host):
        """Tokens come from the region's login host."""
        _, attempt, _ = begin(ClientCredentials("i", "s", region=region))

        assert attempt.request.url == f"https://login.{host}/oauth/token"


SETTINGS = settings(
    region="eu-west-1",
    base_url=None,
    login_url=None,
    completions_path=COMPLETIONS_PATH,
    push_path=PUSH_PATH,
    allow_insecure_http=False,
)
SESSION = session()


def choose(client_id=None, client_secret=None, access_token=None, credentials=None, scopes=()):
    return credentials_of(client_id, client_secret, access_token, credentials, SETTINGS, scopes, False)


class TestChoice:
    def test_session(self):
        """A session is taken as it is."""
        assert choose(credentials=SESSION) is SESSION

    def test_token(self):
        """A token needs no session."""
        assert choose(access_token="sesame") is None

    def test_id_and_secret(self):
        """An id and its secret make a session, where the client's settings say."""
        _, attempt, _ = begin(choose("i", "s", scopes=["x"]))

        assert attempt.request.url == "https://login.mypurecloud.ie/oauth/token"
        assert attempt.request.content == b"grant_type=client_credentials&scope=x"

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            ({}, "no credentials"),
            ({"client_id": "i"}, "no credentials"),
            ({"client_secret": "s"}, "no credentials"),
            ({"client_id": "i", "access_token": "t"}, "give one of"),
            ({"client_secret": "s", "credentials": SESSION}, "give one of"),
            ({"access_token": "t", "credentials": SESSION}, "give one of"),
            ({"client_id": "i", "client_secret": "s", "access_token": "t", "credentials": SESSION}, "give one of"),
            ({"credentials": ("i", "s")}, "credentials must be ClientCredentials"),
            ({"credentials": httpx.BasicAuth("i", "s")}, "credentials must be ClientCredentials"),
            *[
                ({"access_token": token}, "access_token must be")
                for token in ["", " ", "a b", " a", "a\n", "a\r\nX: y", "\0", "ä", b"a", 1, True]
            ],
        ],
    )
    def test_refused(self, arguments, problem):
        """There must be one thing to authorise with, of the right kind."""
        with pytest.raises(ConfigurationError, match=problem):
            choose(**arguments)
