"""FCM: its messages, their size, and what its answers mean."""

import json

import pytest
from attrs import evolve
from hypothesis import given, strategies as st
from tests.strategies import unicode_texts

from genesys_stream import _errors
from genesys_stream._core.http.exchange import Reply
from genesys_stream._core.http.retry import Retry
from genesys_stream._core.relaying.coalescers.basic import PassThrough
from genesys_stream._core.relaying.delivery import Push
from genesys_stream._core.relaying.limits import Rate, RateLimits
from genesys_stream._core.relaying.relay import RelayState, TurnRequest
from genesys_stream._core.relaying.sink import Channel
from genesys_stream._core.services.apns import collapse_id
from genesys_stream._core.services.fcm import FcmEncoder, fcm_error, fcm_receipt
from genesys_stream._values import Batch
from genesys_stream._wire import join_surrogates
from genesys_stream.testing._fcm import _android_size, _apple_size

TYPES = "type.googleapis.com"
BATCH = Batch("Hello", stream_id="01JD0000000000000000000000", seq=1, crc=0x1A2B)
FINAL = evolve(BATCH, text="", state="complete", total=5, finish_reason="stop")


def encoder(kind="token", target="device-1", **options):
    return FcmEncoder(kind, target, max_payload_bytes=4096, **options)


class TestMessages:
    def test_a_message_on_the_way_is_silent(self):
        """It is delivered now or never, shows nothing, and names one device."""
        message = encoder().payload(BATCH)["message"]

        assert message["token"] == "device-1"
        assert message["data"]["llm_response"] == "Hello"
        assert "notification" not in message
        assert message["android"] == {"priority": "NORMAL", "ttl": "0s"}
        assert message["apns"] == {
            "headers": {"apns-priority": "5", "apns-push-type": "background", "apns-expiration": "0"},
            "payload": {"aps": {"content-available": 1}},
        }
        assert message["webpush"] == {"headers": {"TTL": "0"}}

    def test_the_end_is_visible(self):
        """It may wait for the phone, and replaces itself where it is sent twice."""
        message = encoder("fid", "installation", title='The "answer"', body="b").payload(FINAL)["message"]

        assert message["fid"] == "installation"
        assert message["notification"] == {"title": 'The "answer"', "body": "b"}
        assert message["android"] == {
            "priority": "HIGH",
            "ttl": "3600s",
            "notification": {"tag": BATCH.stream_id},
        }
        assert message["apns"]["headers"]["apns-collapse-id"] == BATCH.stream_id
        assert message["apns"]["payload"]["aps"] == {"mutable-content": 1, "thread-id": BATCH.stream_id}
        assert message["webpush"] == {"headers": {"TTL": "3600"}}
        assert message["data"]["state"] == "complete"

    def test_all_may_be_visible(self):
        """With alert="all" each message has its notification."""
        assert encoder(alert="all", body="b").payload(BATCH)["message"]["notification"]["body"] == "b"

    def test_what_is_for_android_alone_has_nothing_for_others(self):
        """Neither on the way nor at the end."""
        for batch in (BATCH, FINAL):
            assert not {"apns", "webpush"} & encoder(platform="android").payload(batch)["message"].keys()

    @pytest.mark.parametrize("stream_id", ["x" * 65, "Zoë", "a b", "\ud800"])
    def test_a_stream_id_that_is_no_header_is_hashed(self, stream_id):
        """To what APNs takes as well."""
        message = encoder().payload(evolve(FINAL, stream_id=stream_id))["message"]

        assert message["android"]["notification"]["tag"] == collapse_id(stream_id) != stream_id
        assert message["apns"]["headers"]["apns-collapse-id"] == collapse_id(stream_id)


TEXTS = {"English": "The quick brown fox. ", "emoji": "👍🏽 fine ", "JSON": '{"name": "Zoë", "tags": ["a"]}\n'}


class TestSizes:
    @pytest.mark.parametrize("kind", TEXTS)
    @pytest.mark.parametrize("platform", ["any", "android"])
    @pytest.mark.parametrize("final", [False, True])
    def test_what_fits_is_taken_and_one_byte_more_is_not(self, kind, platform, final):
        """Measured by FCM's own count, which the fake has from the parsed message."""
        size = _apple_size if platform == "any" else _android_size
        it = encoder(platform=platform)
        batch = evolve(FINAL if final else BATCH, text=TEXTS[kind] * 400)
        n = it.fit(batch)
        # A cluster is never cut, so the last bytes are filled with letters.
        room = 4096 - it.measure(it.encode(evolve(batch, text=batch.text[:n])))
        text = batch.text[:n] + "a" * room
        largest, larger = (it.encode(evolve(batch, text=text + more)) for more in ("", "a"))

        assert it.measure(largest) <= 4096
        assert it.measure(larger) > 4096 or final  # the count of the characters in the body grows
        assert size(json.loads(largest)["message"]) <= 4096
        if not final:
            assert it.measure(largest) == 4096
            assert size(json.loads(larger)["message"]) == 4097

    @given(unicode_texts.map(join_surrogates), st.sampled_from(["any", "android"]), st.booleans())
    def test_no_message_is_larger_than_was_measured(self, text, platform, final):
        """Whatever the text, a message is at most as large for FCM as it is for us."""
        it = encoder(platform=platform)
        content = it.encode(evolve(FINAL if final else BATCH, text=text))
        message = json.loads(content)["message"]

        assert _android_size(message) <= it.measure(content)
        if platform == "any":
            assert _apple_size(message) <= it.measure(content)


def answer(status, code="", message="m", details=(), headers=()):
    found = [*details]
    if code:
        found.append({"@type": f"{TYPES}/google.firebase.fcm.v1.FcmError", "errorCode": code})
    error = {"code": status, "message": message, "status": "WORD", "details": found}
    return Reply(status, dict(headers), json.dumps({"error": error}).encode(), token="t")


def bad_request(*fields):
    detail = {"@type": f"{TYPES}/google.rpc.BadRequest"}
    if fields:
        detail["fieldViolations"] = [{"field": field, "description": "d"} for field in fields]
    return detail


def quota(*violations):
    return {"@type": f"{TYPES}/google.rpc.QuotaFailure", "violations": list(violations)}


PROJECT = {
    "@type": f"{TYPES}/google.rpc.ErrorInfo",
    "reason": "RATE_LIMIT_EXCEEDED",
    "metadata": {"quota_limit": "SendsPerMinutePerProject", "consumer": "projects/1"},
}


class TestErrors:
    @pytest.mark.parametrize(
        ("reply", "cls", "facts"),
        [
            (answer(404, "UNREGISTERED"), _errors.InvalidToken, {"gone": True, "retryable": False}),
            (answer(403, "SENDER_ID_MISMATCH"), _errors.InvalidToken, {"gone": False}),
            (answer(400, "INVALID_ARGUMENT"), _errors.InvalidToken, {"gone": False}),
            (answer(400, "", details=[bad_request("message.token")]), _errors.InvalidToken, {"gone": False}),
            (answer(400, "", details=[bad_request("message.data[0].value")]), _errors.BadRequest, {"code": "WORD"}),
            (answer(400, "INVALID_ARGUMENT", details=[bad_request()]), _errors.BadRequest, {}),
            (
                answer(400, "INVALID_ARGUMENT", "Android message is too big", [bad_request()]),
                _errors.PayloadTooLarge,
                {"status": 400},
            ),
            (answer(413), _errors.PayloadTooLarge, {}),
            (answer(401), _errors.AuthenticationError, {"code": "WORD"}),
            (answer(401, "THIRD_PARTY_AUTH_ERROR"), _errors.PermissionDenied, {"code": "THIRD_PARTY_AUTH_ERROR"}),
            (answer(403), _errors.PermissionDenied, {}),
            (answer(404), _errors.NotFound, {}),
            (answer(500, "INTERNAL"), _errors.ServerError, {"retryable": True, "retry_after": 10.0}),
            (answer(503, headers={"retry-after": "3"}), _errors.ServiceUnavailable, {"retry_after": 3.0}),
            (Reply(502, body=b"<html>"), _errors.BadGateway, {"retryable": True}),
            (Reply(400, body=b"[1]"), _errors.BadRequest, {"code": ""}),
            (Reply(400, body=b'{"error": {"status": 7, "details": [1]}}'), _errors.BadRequest, {}),
        ],
    )
    def test_what_an_answer_means(self, reply, cls, facts):
        """The detail says more than the status."""
        error = fcm_error(reply, "device-1")

        assert type(error) is cls
        assert {name: getattr(error, name) for name in facts} == facts

    @pytest.mark.parametrize(
        ("details", "scope"),
        [
            ([quota({"subject": "device:1", "description": "Device message rate exceeded"})], "device"),
            ([quota({"subject": "topic:1"})], "device"),
            ([quota({"subject": "project:1", "description": "of the project"})], "credential"),
            ([quota("odd")], "credential"),
            ([{"@type": f"{TYPES}/google.rpc.QuotaFailure", "violations": "odd"}], "credential"),
            ([PROJECT], "credential"),
            ([], ""),
        ],
    )
    def test_whose_quota_it_is(self, details, scope):
        """One phone's quota does not stop the others; an answer that says nothing stops as little as it must."""
        error = fcm_error(answer(429, details=details), "device-1")

        assert (type(error), error.scope, error.retry_after) == (_errors.RateLimited, scope, 60.0)

    def test_a_wait_that_fcm_asks_for_is_kept(self):
        """Without one, it is a minute."""
        assert fcm_error(answer(429, headers={"retry-after": "7"}), "device-1").retry_after == 7.0

    def test_the_device_is_not_named(self):
        """Where an answer repeats the token, it is taken out."""
        error = fcm_error(answer(400, message="Invalid value: device-1"), "device-1")

        assert "device-1" not in f"{error!r} {error.body!r} {error.details}"
        assert fcm_error(answer(400), "").status == 400


class TestReceipts:
    @pytest.mark.parametrize(
        ("body", "name"),
        [(b'{"name": "projects/p/messages/1"}', "projects/p/messages/1"), (b"", ""), (b"[]", ""), (b'{"name": 1}', "")],
    )
    def test_a_success_is_a_success(self, body, name):
        """Whatever its body looks like."""
        receipt = fcm_receipt(Reply(200, body=body))

        assert (receipt.id, receipt.status) == (name, "accepted")


@pytest.mark.parametrize(("scope", "other"), [("device", 0.0), ("project", 60.0)])
def test_a_quota_holds_back_whose_it_is(scope, other):
    """A phone that has had enough stops no other phone; a project that has, stops all."""
    limits = RateLimits(Rate(100, 10.0))

    def state(device):
        it = encoder(target=device)
        channel = Channel(
            encode=it.encode, max_bytes=4096, measure=it.measure, limiter=limits.limiter([device], Rate(50, 1.0))
        )
        return RelayState(PassThrough(), stream_id="s", retry=Retry(jitter=lambda bound: 0.0), channel=channel)

    def advance(one, now):
        done = one.next(now)
        if isinstance(done, TurnRequest):
            one.turn_answered(done.turn.request(now, final=done.final), now)
            done = one.next(now)
        return done

    first, second = state("device-1"), state("device-2")
    first.feed("text", 0.0)
    second.feed("text", 0.0)
    push = advance(first, 0.0)
    error = fcm_error(answer(429, details=[quota({"subject": f"{scope}:1"})]), "device-1")
    assert first.failed(push, error, 0.0) is None
    advance(second, 0.0)

    assert second.due is None if other == 0.0 else second.due == pytest.approx(other, abs=0.2)
    assert not isinstance(advance(first, 59.0), Push)
    assert isinstance(advance(first, 60.1), Push) or first.due <= 62.0
