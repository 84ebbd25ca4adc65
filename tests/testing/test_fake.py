"""The test tool, tested: plain httpx against the fake, in memory and on the loopback, blocking, asyncio and trio."""

import json
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import anyio
import httpx
import pytest

from genesys_stream.testing import Answer, Cut, Drop, ErrorEvent, FakeGenesys, Handle, Stall

COMPLETIONS = "/api/v2/ai/llm/completions"
PUSH = "/api/v2/notifications/push"
ASK = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
PAYLOAD = {"targets": ["device"], "title": "t", "body": "b", "data": {"llm_response": "Hi", "chunk_id": "chunk_001"}}


def until(condition, seconds=10.0):
    """Wait for what another thread is about to make true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


@pytest.fixture
def fake():
    return FakeGenesys()


@pytest.fixture(params=["in memory", "served"])
def client(request, fake):
    """A blocking client with a good token, over either adapter."""
    with reach(fake, request.param) as client:
        yield client


@contextmanager
def reach(fake, how, **options):
    headers = {"Authorization": f"Bearer {fake.issue_token()}"}
    if how == "in memory":
        with httpx.Client(transport=fake.transport, base_url="https://any.example", headers=headers, **options) as one:
            yield one
    else:
        with fake.serve() as server, httpx.Client(base_url=server.base_url, headers=headers, **options) as one:
            yield one


def basic(client_id="client-id", secret="client-secret"):
    return {"auth": (client_id, secret), "data": {"grant_type": "client_credentials"}}


def read(client, ask=ASK):
    """Return the raw stream."""
    with client.stream("POST", COMPLETIONS, json=ask) as response:
        return response.read()


def data_of(stream):
    return [line.removeprefix("data: ") for line in stream.decode().split("\n") if line.startswith("data: ")]


def text_of(stream):
    chunks = [json.loads(data) for data in data_of(stream) if data != "[DONE]"]
    return "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])


def read_until_broken(client, error):
    """Return what came before the stream broke with `error`."""
    got = b""
    with pytest.raises(error), client.stream("POST", COMPLETIONS, json=ASK) as response:
        for part in response.iter_raw():
            got += part
    return got


class TestTokens:
    def test_issued_for_the_right_credentials(self, fake, client):
        """Credentials buy a token that opens the API."""
        answer = client.post("/oauth/token", **basic())

        assert answer.status_code == 200
        assert {"access_token", "token_type", "expires_in"} == set(answer.json())
        assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("bearer", 86399)
        token = answer.json()["access_token"]
        assert client.post(PUSH, json=PAYLOAD, headers={"Authorization": f"Bearer {token}"}).status_code == 202

    @pytest.mark.parametrize(
        ("credentials", "status", "description"),
        [
            (("nobody", "client-secret"), 400, "client not found"),
            (("client-id", "wrong"), 401, "authentication failed"),
        ],
    )
    def test_refused_as_genesys_refuses(self, client, credentials, status, description):
        """An unknown client is a 400, a wrong secret a 401, with the platform's own words."""
        answer = client.post("/oauth/token", **basic(*credentials))

        assert status == answer.status_code
        assert {
            "error": "invalid_client",
            "description": description,
            "error_description": description,
        } == answer.json()

    def test_other_grants_are_refused(self, client):
        """Only client credentials are known here."""
        answer = client.post("/oauth/token", auth=("client-id", "client-secret"), data={"grant_type": "password"})

        assert answer.status_code == 400

    @pytest.mark.parametrize("authorization", ["", "Bearer x", "Basic %%%", "Basic /w=="])
    def test_headers_that_are_not_basic_are_refused(self, client, authorization):
        """What cannot be read as an id and a secret authenticates nobody."""
        answer = client.post(
            "/oauth/token", data={"grant_type": "client_credentials"}, headers={"Authorization": authorization}
        )

        assert answer.status_code == 401

    def test_rate_limit_is_a_400(self, fake, client):
        """The token endpoint says "rate limit exceeded" with a 400."""
        fake.tokens.rate_limit()

        answer = client.post("/oauth/token", **basic())
        again = client.post("/oauth/token", **basic())

        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
        assert answer.json()["error_description"].startswith("rate limit exceeded;")
        assert again.status_code == 200

    def test_bad_tokens_get_the_platforms_codes(self, fake, client):
        """Nothing, nonsense, an expired token and a revoked one are told apart."""

        def code(**headers):
            answer = client.post(PUSH, json=PAYLOAD, headers=headers)
            assert (answer.status_code, answer.json()["status"]) == (401, 401)
            assert answer.headers["ININ-Correlation-Id"] == answer.json()["contextId"]
            return answer.json()["code"]

        assert code(Authorization="") == "authentication.required"
        assert code(Authorization="Bearer nonsense") == "bad.credentials"
        old = fake.issue_token(expires_in=60)
        fake.advance(61)
        assert code(Authorization=f"Bearer {old}") == "credentials.expired"
        good = fake.issue_token()
        fake.revoke_tokens()
        assert code(Authorization=f"Bearer {good}") == "bad.credentials"
        assert good == fake.issued_tokens[-1]
        assert fake.pushes == []

    def test_lifetime_can_be_set(self, fake, client):
        """The next token lives as long as the fake was told."""
        fake.expires_in = 300

        assert client.post("/oauth/token", **basic()).json()["expires_in"] == 300
        assert fake.expires_in == 300


class TestCompletions:
    def test_streams_the_tutorials_format(self, fake, client):
        """The role, a delta per token, the finish reason, `[DONE]`."""
        fake.completions.say(["Go", " is"])

        with client.stream("POST", COMPLETIONS, json=ASK) as response:
            stream = response.read()

        assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream")
        *chunks, done = data_of(stream)
        chunks = [json.loads(chunk) for chunk in chunks]
        assert done == "[DONE]"
        assert [chunk["choices"] for chunk in chunks] == [
            [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}],
            [{"index": 0, "delta": {"content": "Go"}, "finish_reason": None}],
            [{"index": 0, "delta": {"content": " is"}, "finish_reason": None}],
            [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        ]
        assert {("chat.completion.chunk", "gpt-4o")} == {(chunk["object"], chunk["model"]) for chunk in chunks}
        assert {"id", "object", "created", "model", "choices"} == set(chunks[0])

    def test_usage_comes_when_asked_for(self, fake, client):
        """With `include_usage` the last chunk has no choices and the counts."""
        fake.completions.say("one two")

        *_, usage, done = data_of(read(client, {**ASK, "stream_options": {"include_usage": True}}))

        assert done == "[DONE]"
        assert json.loads(usage)["choices"] == []
        assert json.loads(usage)["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}

    def test_whole_when_not_streamed(self, fake, client):
        """Without `stream` the answer is one JSON document."""
        fake.completions.say("Hello, world.", finish_reason="length")

        answer = client.post(COMPLETIONS, json={**ASK, "stream": False}).json()

        assert answer["object"] == "chat.completion"
        assert answer["choices"] == [
            {"index": 0, "message": {"role": "assistant", "content": "Hello, world."}, "finish_reason": "length"}
        ]

    def test_several_choices(self, fake, client):
        """With n = 2 each choice says it."""
        fake.completions.say("Hi")

        assert text_of(read(client, {**ASK, "n": 2})) == "HiHi"
        assert len(client.post(COMPLETIONS, json={**ASK, "n": 2, "stream": False}).json()["choices"]) == 2

    @pytest.mark.parametrize(
        ("prompt", "beginning"),
        [
            ("Explain how Go handles HTTP streaming.", "Go streams HTTP"),
            ([{"type": "text", "text": "Why?"}], "A streamed completion"),
            (None, "A streamed completion"),
        ],
    )
    def test_says_something_sensible_by_default(self, client, prompt, beginning):
        """Nobody needs to write a text to see one."""
        ask = {**ASK, "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": prompt}]}

        text = text_of(read(client, ask))

        assert text.startswith(beginning)
        assert text.count(". ") >= 3

    def test_tool_calls(self, fake, client):
        """Tool calls are streamed with their arguments in pieces, or come whole, as the request asks."""
        calls = [("get_weather", {"city": "Rome"}), ("get_time", "{}")]
        fake.completions.say(tool_calls=calls, times=2)
        fake.completions.say("Let me see.", tool_calls=calls[:1])

        chunks = [json.loads(data) for data in data_of(read(client)) if data != "[DONE]"]
        whole = client.post(COMPLETIONS, json={**ASK, "stream": False}).json()
        with_text = read(client)

        deltas = [delta for chunk in chunks for delta in chunk["choices"][0]["delta"].get("tool_calls", ())]
        assert [(delta["index"], delta["id"], delta["function"]["name"]) for delta in deltas if "id" in delta] == [
            (0, "call_0001_1", "get_weather"),
            (1, "call_0001_2", "get_time"),
        ]
        assert "".join(delta["function"]["arguments"] for delta in deltas if delta["index"] == 0) == '{"city":"Rome"}'
        assert len([delta for delta in deltas if delta["index"] == 0]) > 3
        assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
        assert whole["choices"][0]["message"]["content"] is None
        assert whole["choices"][0]["message"]["tool_calls"][1] == {
            "id": "call_0002_2",
            "type": "function",
            "function": {"name": "get_time", "arguments": "{}"},
        }
        assert text_of(with_text) == "Let me see."

    def test_every_character_survives(self, fake, client):
        """Emoji, line separators and halves of surrogate pairs arrive as they were said."""
        tokens = ["naïve ", "👩‍👩‍👧", "\u2028\n\r", "\ud83d", "\ude00"]
        fake.completions.say(tokens)

        chunks = [json.loads(data) for data in data_of(read(client)) if data != "[DONE]"][1:-1]

        assert tokens == [chunk["choices"][0]["delta"]["content"] for chunk in chunks]

    def test_an_end_can_be_left_out(self, fake, client):
        """A stream may end without its finish reason, without `[DONE]`, or without both."""
        fake.completions.say("Hi", finish_reason=None)
        fake.completions.say("Hi", done=False)

        assert '"stop"' not in read(client).decode()
        assert b"[DONE]" not in read(client)

    def test_odd_events(self, fake, client):
        """Any event can be put on the wire."""
        fake.completions.events([{"choices": []}, "two\nlines", {"x": "é"}], every=0.001, done=False)

        assert read(client).decode() == 'data: {"choices":[]}\n\ndata: two\ndata: lines\n\ndata: {"x":"é"}\n\n'

    def test_requests_that_make_no_sense(self, client):
        """No messages, no JSON, and no JSON content type are refused as the platform refuses them."""
        none = client.post(COMPLETIONS, json={"messages": []})
        broken = client.post(COMPLETIONS, content=b"{", headers={"Content-Type": "application/json"})
        form = client.post(COMPLETIONS, data={"a": "b"})

        assert (none.status_code, none.json()["details"][0]["fieldName"]) == (400, "messages")
        assert (broken.status_code, broken.json()["code"]) == (400, "bad.request")
        assert (form.status_code, form.json()["code"]) == (415, "unsupported.media.type")

    def test_pacing(self, fake, client):
        """Deltas come one by one, and pauses add up to at least what was asked for."""
        fake.completions.say("a b c d", first_after=0.05, every=0.02)

        began = time.monotonic()
        with client.stream("POST", COMPLETIONS, json=ASK) as response:
            parts = [part for part in response.iter_raw() if b"content" in part]

        assert time.monotonic() - began >= 0.05 + 3 * 0.02 - 0.001
        assert len(parts) > 1

    def test_openai_clients_are_welcome(self, fake, client):
        """The alias takes an API key or an issued token, and its errors have OpenAI's shape."""
        url = "/v1/chat/completions"
        ask = {**ASK, "stream": False}

        assert client.post(url, json=ask, headers={"Authorization": "Bearer sk-test"}).status_code == 200
        assert client.post(url, json=ask).status_code == 200
        refused = client.post(url, json=ask, headers={"Authorization": "Bearer sk-wrong"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "bad.credentials")
        assert client.post(COMPLETIONS, json=ask, headers={"Authorization": "Bearer sk-test"}).status_code == 401
        assert len(fake.completions.requests) == 4


class TestPush:
    def test_recorded_and_queued(self, fake, client):
        """A good push is answered as in the tutorial, and its payload is kept."""
        answer = client.post(PUSH, json=PAYLOAD)

        assert answer.status_code == 202
        assert answer.json()["id"].startswith("push_")
        assert (answer.json()["status"], answer.json()["targets_count"]) == ("queued", 1)
        assert fake.pushes == [PAYLOAD]

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"targets": []}, "targets"),
            ({"targets": "device"}, "targets"),
            ({"targets": [1]}, "targets"),
            ({"title": 1}, "title"),
            ({"data": []}, "data"),
            ({"data": {"llm_response": {"nested": 1}}}, "data.llm_response"),
        ],
    )
    def test_bad_fields_are_named(self, fake, client, change, field):
        """A payload that will not do is a 400 that names the field."""
        answer = client.post(PUSH, json={**PAYLOAD, **change})

        assert answer.status_code == 400
        assert [field] == [detail["fieldName"] for detail in answer.json()["details"]]
        assert fake.pushes == []

    def test_too_large(self, client):
        """A request over 512000 bytes is a 413."""
        answer = client.post(PUSH, json={**PAYLOAD, "targets": ["x" * 512_000]})

        assert answer.status_code == 413

    def test_too_large_for_a_phone(self, fake, client):
        """FCM and APNs take 4096 bytes, so a larger push is a 413 with the platform's body; targets do not count."""
        frame = {**PAYLOAD, "body": ""}
        room = 4096 - len(json.dumps({**frame, "targets": 0}, separators=(",", ":"))) + len(',"targets":0') - 1
        fits = client.post(PUSH, json={**frame, "body": "x" * room, "targets": ["x" * 5000]})
        over = client.post(PUSH, json={**frame, "body": "x" * (room + 2)})
        fake.max_push_bytes = None
        unlimited = client.post(PUSH, json={**frame, "body": "x" * 5000})

        assert (fits.status_code, over.status_code, unlimited.status_code) == (202, 413, 202)
        assert {
            "message": "The request is over the size limit. Content-Length: 4097, Maximum bytes: 4096",
            "code": "request.entity.too.large",
            "status": 413,
            "contextId": over.headers["ININ-Correlation-Id"],
            "details": [],
            "errors": [],
        } == over.json()
        assert len(fake.pushes) == 2

    @pytest.mark.parametrize("reset", [False, True])
    def test_lost_answer_was_recorded(self, fake, client, reset):
        """The push is accepted, and only its answer is lost."""
        fake.push.lose_answer(after=0.001, reset=reset)

        with pytest.raises(httpx.ReadError if reset else httpx.RemoteProtocolError):
            client.post(PUSH, json=PAYLOAD)

        assert fake.pushes == [PAYLOAD]
        assert [entry.status for entry in fake.push.requests] == [None]

    def test_dropped_push_was_not_recorded(self, fake, client):
        """A connection that breaks before the push is handled leaves nothing behind."""
        fake.push.drop()

        with pytest.raises(httpx.RemoteProtocolError):
            client.post(PUSH, json=PAYLOAD)

        assert fake.pushes == []

    def test_late_answers_meet_the_read_timeout(self, fake, client):
        """A late answer is a read timeout for whoever does not wait; the push was recorded all the same."""
        fake.push.late(30)

        with pytest.raises(httpx.ReadTimeout):
            client.post(PUSH, json=PAYLOAD, timeout=httpx.Timeout(30, read=0.05))

        assert fake.pushes == [PAYLOAD]

    def test_late_answers_come(self, fake, client):
        """Whoever waits gets the answer."""
        fake.push.late(0.02)

        assert client.post(PUSH, json=PAYLOAD).status_code == 202


class TestScripts:
    def test_queued_then_always_then_default(self, fake, client):
        """What is queued comes first, then what is always answered; after `clear` all is as before."""
        fake.push.answer(418, json={"tea": True}, headers={"X-Pot": "1"}, times=None)
        fake.push.fail(503)
        fake.push.rate_limit(2, times=2)
        assert fake.push.pending == 3

        statuses = [client.post(PUSH, json=PAYLOAD).status_code for _ in range(5)]
        teapot = client.post(PUSH, json=PAYLOAD)
        fake.push.clear()

        assert statuses == [503, 429, 429, 418, 418]
        assert (teapot.json(), teapot.headers["X-Pot"]) == ({"tea": True}, "1")
        assert client.post(PUSH, json=PAYLOAD).status_code == 202

    def test_times_below_one(self, fake):
        """Nothing can be queued for no request."""
        with pytest.raises(ValueError, match="times"):
            fake.push.fail(times=0)

    def test_vocabulary_can_be_queued(self, fake, client):
        """The values behind the methods can be queued as they are."""
        fake.push.queue(Answer(201, pieces=(b"{}",)), Handle((0.001,)))

        assert [client.post(PUSH, json=PAYLOAD).status_code for _ in range(2)] == [201, 202]

    def test_bodies_of_any_kind(self, fake, client):
        """HTML, nothing at all, and 204 are answers too."""
        fake.push.answer(502, body=b"<html>", headers={"Content-Type": "text/html"})
        fake.push.answer(200)
        fake.push.answer(204)

        html, empty, none = (client.post(PUSH, json=PAYLOAD) for _ in range(3))

        assert (html.status_code, html.text) == (502, "<html>")
        assert (empty.status_code, empty.content) == (200, b"")
        assert (none.status_code, none.content) == (204, b"")

    def test_failures_have_the_error_body(self, fake, client):
        """A scripted failure has the platform's fields, its own words if it was given some, and an id of its own."""
        fake.push.fail(403, code="not.authorized", message="No.", details=[{"errorCode": "x", "fieldName": "y"}])
        fake.push.fail(599)

        answer = client.post(PUSH, json=PAYLOAD)
        odd = client.post(PUSH, json=PAYLOAD)

        body = answer.json()
        assert (body["code"], body["message"], body["status"]) == ("not.authorized", "No.", 403)
        assert body["details"] == [{"errorCode": "x", "fieldName": "y"}]
        assert answer.headers["ININ-Correlation-Id"] == body["contextId"] == fake.request_log[0].correlation_id
        assert odd.status_code == 599

    def test_retry_after_in_every_form(self, fake, client):
        """Retry-After is seconds, a date, any text, or missing."""
        moment = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=1)
        for form in (42, 0.5, moment, "soon", None):
            fake.push.rate_limit(form)

        answers = [client.post(PUSH, json=PAYLOAD) for _ in range(5)]

        seconds, fraction, date, text, none = (answer.headers.get("Retry-After") for answer in answers)
        assert (seconds, fraction, text, none) == ("42", "0.5", "soon", None)
        assert moment == parsedate_to_datetime(date)
        left = answers[2].json()["message"].partition("[")[2].partition("] seconds")[0]
        assert 0 <= int(left) <= 60
        assert {
            "message": "Rate limit exceeded the maximum. Retry the request in [42] seconds",
            "code": "too.many.requests.retry.after",
            "status": 429,
            "contextId": answers[0].headers["ININ-Correlation-Id"],
            "details": [],
            "errors": [],
        } == answers[0].json()

    def test_raw_pieces(self, fake, client):
        """Any bytes can be sent, with pauses between them."""
        fake.completions.raw([b"data: a", 0.01, b"\n\nda"], headers={"Content-Type": "text/plain"})

        assert read(client) == b"data: a\n\nda"

    def test_raw_shorter_than_it_says(self, fake, client):
        """A body that ends before its Content-Length is a protocol error."""
        fake.completions.raw([b"abc"], headers={"Content-Length": "10"})

        assert read_until_broken(client, httpx.RemoteProtocolError) == b"abc"


class TestBrokenStreams:
    @pytest.mark.parametrize("reset", [False, True])
    def test_before_the_status_line(self, fake, client, reset):
        """No answer at all."""
        fake.completions.drop(reset=reset)

        with pytest.raises(httpx.ReadError if reset else httpx.RemoteProtocolError):
            read(client)

    @pytest.mark.parametrize("reset", [False, True])
    @pytest.mark.parametrize(("events", "text"), [(0, ""), (1, ""), (3, "ab"), (99, "abc")])
    def test_after_events(self, fake, client, reset, events, text):
        """Whole events arrive, then the connection breaks."""
        fake.completions.drop(after_events=events, text=["a", "b", "c"], reset=reset)

        got = read_until_broken(client, httpx.ReadError if reset else httpx.RemoteProtocolError)

        assert text == text_of(got)
        assert min(events, 6) == got.count(b"\n\n")

    def test_inside_an_event(self, fake, client):
        """Half an event is no event."""
        fake.completions.drop(after_events=2, inside="event", text=["a", "b"])

        got = read_until_broken(client, httpx.RemoteProtocolError)

        whole, _, half = got.rpartition(b"\n\n")
        assert text_of(whole) == "a"
        assert half.startswith(b"data: {") and not half.endswith(b"}")

    @pytest.mark.parametrize("text", ["a é b", "plain"])
    def test_inside_a_character(self, fake, client, text):
        """The cut goes through a UTF-8 character, and one is added where there is none."""
        fake.completions.drop(after_events=1, inside="character", text=text)

        got = read_until_broken(client, httpx.RemoteProtocolError)

        with pytest.raises(UnicodeDecodeError, match="unexpected end of data"):
            got.decode()

    def test_raw_drop(self, fake, client):
        """A `Drop` breaks a raw body where it stands."""
        fake.completions.raw([b"abc", Drop(), b"never"])

        assert read_until_broken(client, httpx.RemoteProtocolError) == b"abc"

    def test_error_in_the_stream(self, fake, client):
        """The error is the last event of a stream that began with 200."""
        fake.completions.error_event({"code": "too.many.requests"}, after_events=2, event_name="error", text="a b")
        fake.completions.error_event(after_events=99, text="a b")

        first, second = read(client), read(client)

        assert text_of(first.rpartition(b"event: error\n")[0]) == "a"
        assert first.endswith(b'event: error\ndata: {"error":{"code":"too.many.requests"}}\n\n')
        assert "error" in json.loads(data_of(second)[-1])

    def test_stall_with_heartbeats(self, fake, client):
        """Comments keep a silent stream alive, and then it goes on."""
        fake.completions.stall(0.1, after_events=2, heartbeat_every=0.02, text="a b")
        fake.completions.say("a b", Stall(99, 0.01))

        stream = read(client)

        assert stream.count(b": heartbeat\n\n") >= 3
        assert "a b" == text_of(stream) == text_of(read(client))

    def test_stall_meets_the_read_timeout(self, fake, client):
        """A stream that stays silent is a read timeout."""
        fake.completions.stall(30, after_events=2, text="a b")

        hasty = httpx.Timeout(30, read=0.05)
        with pytest.raises(httpx.ReadTimeout), client.stream("POST", COMPLETIONS, json=ASK, timeout=hasty) as response:
            response.read()

        until(lambda: fake.open_answers == 0)

    def test_faults_without_a_stream(self, fake, client):
        """What would befall a stream befalls the whole answer."""
        ask = {**ASK, "stream": False}
        fake.completions.say("a", Stall(1, 0.01))
        fake.completions.say("a", ErrorEvent(1, {"message": "no"}))
        fake.completions.say("a", Cut(1), headers_after=0.01)

        assert client.post(COMPLETIONS, json=ask).status_code == 200
        assert (
            (answer := client.post(COMPLETIONS, json=ask)).status_code,
            answer.json(),
        ) == (500, {"error": {"message": "no"}})
        with pytest.raises(httpx.RemoteProtocolError):
            client.post(COMPLETIONS, json=ask)


class TestLimitsAndRoutes:
    def test_rate_limit_counts_per_token(self, fake, client):
        """Over the limit there are real 429s, until the window has passed."""
        fake.rate_limit = (2, 60)

        answers = [client.post(PUSH, json=PAYLOAD) for _ in range(3)]
        other = client.post(PUSH, json=PAYLOAD, headers={"Authorization": f"Bearer {fake.issue_token()}"})
        fake.advance(60)
        later = client.post(PUSH, json=PAYLOAD)

        assert [answer.status_code for answer in answers] == [202, 202, 429]
        assert 1 <= int(answers[2].headers["Retry-After"]) <= 60
        assert answers[2].json()["limit"]["value"] == 2
        assert [answer.headers["inin-ratelimit-count"] for answer in answers] == ["1", "2", "3"]
        assert (
            answers[0].headers["inin-ratelimit-allowed"],
            0 < int(answers[0].headers["inin-ratelimit-reset"]) <= 60,
        ) == ("2", True)
        assert [other.status_code, later.status_code] == [202, 202]
        assert fake.rate_limit == (2, 60)

    def test_off_by_default(self, client):
        """The headers are there, the limit is not."""
        assert client.post(PUSH, json=PAYLOAD).headers["inin-ratelimit-allowed"] == "300"

    def test_unknown_paths_and_methods(self, client):
        """404 and 405 have the error body too."""
        lost = client.post("/api/v2/nowhere")
        wrong = client.get(PUSH)

        assert (lost.status_code, lost.json()["code"]) == (404, "not.found")
        assert (wrong.status_code, wrong.headers["Allow"]) == (405, "POST")
        assert lost.headers["ININ-Correlation-Id"] == lost.json()["contextId"]

    def test_paths_can_be_moved(self):
        """Every path is a setting."""
        fake = FakeGenesys(completions_path="/c", push_path="/p", token_path="/t")
        with reach(fake, "in memory") as client:
            statuses = [
                client.post("/c", json=ASK).status_code,
                client.post("/p", json=PAYLOAD).status_code,
                client.post("/t", **basic()).status_code,
                client.post(PUSH, json=PAYLOAD).status_code,
            ]

        assert statuses == [200, 202, 200, 404]


class TestRequestLog:
    def test_everything_is_written_down(self, fake, client):
        """Each request is an entry, in order, with what was answered."""
        client.post("/oauth/token", **basic())
        client.post(PUSH + "?dry=1", json=PAYLOAD)
        client.get("/nowhere")

        token, push, lost = fake.request_log
        assert [entry.route for entry in fake.request_log] == ["tokens", "push", ""]
        assert [token.status, push.status, lost.status] == [200, 202, 404]
        assert (push.method, push.path, push.query, push.json) == ("POST", PUSH, "dry=1", PAYLOAD)
        assert push.headers["authorization"] == f"Bearer {fake.issued_tokens[0]}"
        assert token.at <= push.at <= lost.at <= fake.now()
        assert [push] == fake.requests(PUSH) == fake.push.requests
        assert [token] == fake.tokens.requests
        with pytest.raises(ValueError, match="Expecting value"):
            _ = token.json

    def test_a_callback_gets_each_entry(self, fake, client):
        """`on_request` is called with what is logged."""
        entries = []
        fake.on_request = entries.append
        client.post(PUSH, json=PAYLOAD)
        client.get("/nowhere")

        assert entries == fake.request_log != []

    def test_clear(self, fake, client):
        """A cleared fake is a new one, for whom old tokens are still good."""
        client.post(PUSH, json=PAYLOAD)
        fake.push.fail()
        fake.clear()

        assert (fake.request_log, fake.pushes) == ([], [])
        assert client.post(PUSH, json=PAYLOAD).status_code == 202

    def test_client_options(self, fake):
        """The arguments that a client of ours needs."""
        assert fake.client_options("http://x") == {
            "client_id": "client-id",
            "client_secret": "client-secret",
            "base_url": "http://x",
            "login_url": "http://x",
        }


class TestInMemory:
    def test_refused_connection(self, fake):
        """Nobody is at home."""
        fake.push.refuse()

        with reach(fake, "in memory") as client, pytest.raises(httpx.ConnectError):
            client.post(PUSH, json=PAYLOAD)

        assert (fake.pushes, fake.connections) == ([], 0)

    def test_leaving_a_stream_early(self, fake):
        """An answer that is given up is no longer open."""
        fake.completions.say("a b c", every=30)

        with reach(fake, "in memory") as client, client.stream("POST", COMPLETIONS, json=ASK) as response:
            parts = response.iter_raw()
            next(parts)
            assert fake.open_answers == 1

        assert fake.open_answers == 0

    def test_httpx2(self, fake):
        """The fake speaks the dialect of httpx2 as well, with its errors."""
        httpx2 = pytest.importorskip("httpx2")
        fake.completions.say("Hi there")
        fake.completions.drop(after_events=1)
        headers = {"Authorization": f"Bearer {fake.issue_token()}"}

        with httpx2.Client(transport=fake.transport_for(httpx2), base_url="https://x", headers=headers) as client:
            assert text_of(read(client)) == "Hi there"
            with pytest.raises(httpx2.RemoteProtocolError):
                read(client)

    def test_a_model_does_not_wait_for_its_reader(self, fake, monkeypatch):
        """A reader that was slow finds what was said in the meantime, and waits for nothing."""
        fake.completions.say("a b c d", every=0.05)
        waited = []

        with reach(fake, "in memory") as client, client.stream("POST", COMPLETIONS, json=ASK) as response:
            parts = response.iter_raw()
            next(parts)
            time.sleep(0.3)
            monkeypatch.setattr(time, "sleep", waited.append)
            rest = list(parts)

        assert not any(waited)
        assert len(rest) >= 4


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


@pytest.mark.anyio
class TestAsync:
    @pytest.mark.parametrize("how", ["in memory", "served"])
    async def test_the_same_text(self, fake, how):
        """Async clients get what blocking ones get, under asyncio and trio."""
        fake.completions.say("Hello, world.", every=0.005, headers_after=0.005)
        async with reach_async(fake, how) as client:
            async with client.stream("POST", COMPLETIONS, json=ASK) as response:
                stream = b"".join([part async for part in response.aiter_raw()])
            push = await client.post(PUSH, json=PAYLOAD)

        assert text_of(stream) == "Hello, world."
        assert push.status_code == 202
        assert fake.open_answers == 0

    @pytest.mark.parametrize("how", ["in memory", "served"])
    async def test_the_same_errors(self, fake, how):
        """A reset is a read error, a close a protocol error, silence a read timeout."""
        fake.completions.drop(after_events=2, reset=True)
        fake.completions.drop(after_events=2)
        fake.completions.stall(30, after_events=2)
        async with reach_async(fake, how) as client:
            for error, within in ((httpx.ReadError, 30), (httpx.RemoteProtocolError, 30), (httpx.ReadTimeout, 0.2)):
                with pytest.raises(error):
                    await client.post(COMPLETIONS, json=ASK, timeout=httpx.Timeout(30, read=within))

    async def test_cancelled(self, fake):
        """A cancelled reader leaves no answer open."""
        fake.completions.say("a b c", every=30)
        async with reach_async(fake, "in memory") as client:
            with anyio.move_on_after(0.02):
                await client.post(COMPLETIONS, json=ASK, timeout=None)

        assert fake.open_answers == 0

    async def test_a_hundred_paced_streams(self, fake):
        """Streams do not wait for each other."""
        fake.completions.say("word " * 10, every=0.05, times=None)
        texts = []
        limits = httpx.Limits(max_connections=None)
        async with reach_async(fake, "served", limits=limits, timeout=60) as client:

            async def one():
                texts.append(text_of((await client.post(COMPLETIONS, json=ASK)).content))

            began = time.monotonic()
            async with anyio.create_task_group() as group:
                for _ in range(100):
                    group.start_soon(one)

        assert texts == 100 * ["word " * 10]
        assert time.monotonic() - began < 100 * 9 * 0.05 / 2
        assert fake.connections == 100


class reach_async:
    def __init__(self, fake, how, **options):
        self.server = fake.serve() if how == "served" else None
        base_url = self.server.start().base_url if self.server else "https://any.example"
        transport = None if self.server else fake.transport
        headers = {"Authorization": f"Bearer {fake.issue_token()}"}
        self.client = httpx.AsyncClient(transport=transport, base_url=base_url, headers=headers, **options)

    async def __aenter__(self):
        return await self.client.__aenter__()

    async def __aexit__(self, *exc):
        await self.client.__aexit__(*exc)
        if self.server:
            await anyio.to_thread.run_sync(self.server.stop)


class TestServer:
    def test_keep_alive(self, fake):
        """Requests and streams in a row share one connection, failures included."""
        fake.push.fail(503)
        with reach(fake, "served") as client:
            client.post(PUSH, json=PAYLOAD)
            read(client)
            read(client)
            client.post(PUSH, json=PAYLOAD)
            assert (fake.connections, fake.open_connections) == (1, 1)

        assert [entry.connection for entry in fake.request_log] == [1, 1, 1, 1]
        assert fake.open_connections == 0

    def test_chunks_are_not_gathered(self, fake):
        """Each event arrives while the next one is still being waited for."""
        fake.completions.say("a b", every=30)
        with reach(fake, "served") as client, client.stream("POST", COMPLETIONS, json=ASK) as response:
            got = b""
            for part in response.iter_raw():
                got += part
                if text_of(got) == "a":
                    break

        assert [entry.status for entry in fake.request_log] == [200]

    def test_client_leaves(self, fake):
        """A client that hangs up ends the answer at once."""
        fake.completions.say("a b", every=30)
        with fake.serve() as server:
            headers = {"Authorization": f"Bearer {fake.issue_token()}"}
            with httpx.Client(base_url=server.base_url, headers=headers) as client:
                with client.stream("POST", COMPLETIONS, json=ASK) as response:
                    parts = response.iter_raw()
                    next(parts)
                    assert (fake.open_connections, fake.open_answers) == (1, 1)

            until(lambda: (fake.open_connections, fake.open_answers) == (0, 0))

    def test_stop_in_the_middle(self, fake):
        """Stopping breaks off what is being sent, at once, and no thread stays behind."""
        fake.completions.say("a b", every=30)
        before = threading.active_count()
        server = fake.serve().start()
        headers = {"Authorization": f"Bearer {fake.issue_token()}"}
        with httpx.Client(base_url=server.base_url, headers=headers) as client:
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                with client.stream("POST", COMPLETIONS, json=ASK) as response:
                    parts = response.iter_raw()
                    next(parts)
                    began = time.monotonic()
                    server.stop()
                    list(parts)

        assert time.monotonic() - began < 10
        assert before == threading.active_count()
        assert (fake.open_connections, fake.open_answers) == (0, 0)
        server.stop()

    def test_refuses_for_a_while(self, fake):
        """While it refuses, connections fail for real; afterwards the same address answers again."""
        with fake.serve() as server:
            headers = {"Authorization": f"Bearer {fake.issue_token()}"}
            with httpx.Client(base_url=server.base_url, headers=headers) as client:
                client.post(PUSH, json=PAYLOAD)
                with server.refusing(), pytest.raises(httpx.ConnectError):
                    client.post(PUSH, json=PAYLOAD)
                assert client.post(PUSH, json=PAYLOAD).status_code == 202

    def test_scripted_refusal_is_a_reset(self, fake):
        """Behind an accepted connection a refusal can only be a reset."""
        fake.push.refuse()

        with reach(fake, "served") as client, pytest.raises(httpx.ReadError):
            client.post(PUSH, json=PAYLOAD)

    def test_dropped_connections(self, fake):
        """Idle connections can be closed under a client, which opens new ones."""
        with fake.serve() as server:
            with httpx.Client(base_url=server.base_url) as client:
                client.post(PUSH)
                server.drop_connections()
                client.post(PUSH)

        assert fake.connections == 2

    def test_starts_once(self, fake):
        """A server that was started is not started again."""
        with fake.serve() as server, pytest.raises(RuntimeError, match="once"):
            server.start()

    def test_taken_port(self, fake):
        """A port that is taken is an OSError where it is asked for."""
        with fake.serve() as server, pytest.raises(OSError, match="in use"):
            fake.serve(port=server.port).start()

    def test_two_servers_share_the_fake(self, fake):
        """Both write to the same request log."""
        with fake.serve() as one, fake.serve() as two:
            for server in (one, two):
                httpx.post(server.base_url + PUSH)

        assert len(fake.push.requests) == 2

    def test_wait_ends_with_stop(self, fake):
        """Whoever waits is let go when the server stops."""
        server = fake.serve().start()
        waiter = threading.Thread(target=server.wait)
        waiter.start()

        server.stop()
        waiter.join(10)

        assert not waiter.is_alive()

    def test_wait_ends_with_ctrl_c(self, fake, monkeypatch):
        """Ctrl-C stops the server, without a traceback."""

        def press(_):
            raise KeyboardInterrupt

        with fake.serve() as server:
            monkeypatch.setattr(server._stopped, "wait", press)
            server.wait()

            with pytest.raises(httpx.ConnectError):
                httpx.post(server.base_url + PUSH)

    def test_nonsense_is_a_400(self, fake):
        """Bytes that are not HTTP are answered with a 400 and a close."""
        import socket

        with fake.serve() as server, socket.create_connection((server.host, server.port), timeout=10) as peer:
            peer.sendall(b"nonsense\r\n\r\n")
            got = b"".join(iter(lambda: peer.recv(1024), b""))

        assert got.startswith(b"HTTP/1.1 400")

    def test_expect_continue_and_http_10(self, fake):
        """curl's `Expect: 100-continue` is heard, and an HTTP/1.0 client gets a body that ends with the connection."""
        import socket

        fake.completions.say("Hi")
        head = f"Authorization: Bearer {fake.issue_token()}\r\nContent-Type: application/json\r\n"
        body = json.dumps(ASK)
        with fake.serve() as server:
            with socket.create_connection((server.host, server.port), timeout=10) as peer:
                lengths = f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
                peer.sendall(f"POST {COMPLETIONS} HTTP/1.1\r\nHost: x\r\n{head}{lengths}".encode())
                assert peer.recv(1024).startswith(b"HTTP/1.1 100")
                peer.sendall(body.encode())
                assert b"HTTP/1.1 200" in b"".join(iter(lambda: peer.recv(1024), b""))
            with socket.create_connection((server.host, server.port), timeout=10) as peer:
                peer.sendall(f"POST {COMPLETIONS} HTTP/1.0\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
                got = b"".join(iter(lambda: peer.recv(1024), b""))

        assert got.endswith(b"data: [DONE]\n\n")

    def test_a_reader_that_does_not_read(self, fake):
        """A large answer waits for its reader, and arrives whole."""
        fake.completions.raw([b"x" * 100_000] * 100)
        with reach(fake, "served") as client, client.stream("POST", COMPLETIONS, json=ASK) as response:
            time.sleep(0.1)
            assert len(response.read()) == 10_000_000
