"""Web Push without a network: subscriptions, payloads, headers, and what answers mean."""

import json

import pytest
from hypothesis import given, strategies as st

from genesys_stream import (
    ANDROID_FOREGROUND,
    APNS_ALERT,
    AuthenticationError,
    BadRequest,
    Batch,
    InvalidArgument,
    InvalidToken,
    PayloadTooLarge,
    PermissionDenied,
    RateLimited,
    ServerError,
    ServiceUnavailable,
    StatusError,
)
from genesys_stream._core.http.exchange import Reply
from genesys_stream._core.services.webpush import (
    Handling,
    WebPushPayload,
    decode64,
    encode64,
    error_of,
    message_request,
    read_subscription,
    receipt_of,
    topic_of,
)

SECRET = "sesame-sesame-sesame"
POINT, AUTH = encode64(b"\x04" + bytes(64)), encode64(bytes(16))
ENDPOINT = f"https://updates.push.services.mozilla.com/wpush/v2/{SECRET}"
JSON = {"endpoint": ENDPOINT, "expirationTime": None, "keys": {"p256dh": POINT, "auth": AUTH}}
SUBSCRIPTION = read_subscription(JSON)
LAST = Batch("text", stream_id="s", seq=2, state="complete", total=4)


def with_endpoint(endpoint):
    return {**JSON, "endpoint": endpoint}


class TestSubscriptions:
    @pytest.mark.parametrize("given", [JSON, json.dumps(JSON), json.dumps(JSON).encode()])
    def test_what_the_browser_says(self, given):
        """A subscription is read from its JSON, or from a mapping."""
        read = read_subscription(given)

        assert read == SUBSCRIPTION
        assert (read.endpoint, len(read.public_key), len(read.auth)) == (ENDPOINT, 65, 16)
        assert read.public_url == "https://updates.push.services.mozilla.com/..."

    def test_padding(self):
        """Base64url with its padding is read as well."""
        keys = {"p256dh": f"{POINT}=", "auth": f"{AUTH}=="}

        assert read_subscription({**JSON, "keys": keys}) == SUBSCRIPTION

    @given(content=st.binary(max_size=100))
    def test_any_bytes_in_base64url(self, content):
        """What is encoded is decoded, with and without padding."""
        text = encode64(content)

        assert decode64(text) == decode64(text + "=" * (-len(text) % 4)) == content

    @pytest.mark.parametrize(
        ("given", "argument"),
        [
            (None, "subscription"),
            (SECRET, "subscription"),
            (f'["{SECRET}"]', "subscription"),
            (b"\xff", "subscription"),
            ("[" * 10**5, "subscription"),
            ({"keys": JSON["keys"]}, "subscription['endpoint']"),
            ({"endpoint": ENDPOINT}, "subscription['keys']"),
            ({**JSON, "keys": {"auth": AUTH}}, "subscription['keys']['p256dh']"),
            ({**JSON, "keys": {"p256dh": POINT, "auth": 5}}, "subscription['keys']['auth']"),
            ({**JSON, "keys": {"p256dh": POINT, "auth": f"{SECRET}!"}}, "subscription['keys']['auth']"),
            ({**JSON, "keys": {"p256dh": POINT, "auth": f"{AUTH}é"}}, "subscription['keys']['auth']"),
            ({**JSON, "keys": {"p256dh": POINT, "auth": "sesame"}}, "subscription['keys']['auth']"),
            ({**JSON, "keys": {"p256dh": POINT, "auth": "sesamesa"}}, "subscription['keys']['auth']"),
        ],
    )
    def test_anything_else(self, given, argument):
        """What is wrong is named, and nothing of it is shown."""
        with pytest.raises(InvalidArgument) as caught:
            read_subscription(given)

        assert caught.value.argument == argument
        assert "sesame" not in str(caught.value)

    @pytest.mark.parametrize(
        "endpoint",
        [
            "",
            f"/{SECRET}",
            f"http://push.example/{SECRET}",
            f"ftp://push.example/{SECRET}",
            f"https:///{SECRET}",
            f"https://me:{SECRET}@push.example/",
            f"https://push.example/#{SECRET}",
            f"https://push.example/ {SECRET}",
            f"https://push.example:99999/{SECRET}",
            f"https://localhost/{SECRET}",
            f"https://intranet/{SECRET}",
            f"https://intranet./{SECRET}",
            f"https://127.0.0.1/{SECRET}",
            f"https://10.0.0.1./{SECRET}",
            f"https://2130706433/{SECRET}",
            f"https://0x7f.1/{SECRET}",
            f"https://[::1]/{SECRET}",
            f"https://printer.local/{SECRET}",
            f"https://a.localhost/{SECRET}",
        ],
    )
    def test_endpoints_that_are_refused(self, endpoint):
        """A stranger cannot have us post to a neighbour, nor in the clear; the error does not say the address."""
        with pytest.raises(InvalidArgument, match=r"subscription\['endpoint'\]") as caught:
            read_subscription(with_endpoint(endpoint))

        assert "sesame" not in str(caught.value)

    @pytest.mark.parametrize(
        ("endpoint", "origin"),
        [
            ("https://Push.Example/x", "https://push.example"),
            ("https://push.example:443/x", "https://push.example"),
            ("https://push.example:8443/x?y", "https://push.example:8443"),
            ("http://127.0.0.1:8000/x", "http://127.0.0.1:8000"),
            ("http://localhost:80/x", "http://localhost"),
            ("https://[::1]:1/x", "https://[::1]:1"),
        ],
    )
    def test_origins(self, endpoint, origin):
        """The origin is what a VAPID token is made for; tests may use any host."""
        assert read_subscription(with_endpoint(endpoint), allow_insecure_http=True).origin == origin

    def test_repr(self):
        """Nothing that is secret is shown."""
        assert "sesame" not in repr(SUBSCRIPTION)

    @pytest.mark.parametrize(
        ("endpoint", "profile"),
        [
            (f"https://web.push.apple.com/{SECRET}", APNS_ALERT),
            (f"https://fcm.googleapis.com/fcm/send/{SECRET}", ANDROID_FOREGROUND),
            (f"https://web.push.apple.com.evil.example/{SECRET}", ANDROID_FOREGROUND),
        ],
    )
    def test_profiles(self, endpoint, profile):
        """Safari needs a notification for every message, and says by its push service that it is Safari."""
        assert read_subscription(with_endpoint(endpoint)).default_profile == profile


class TestPayloads:
    def test_on_the_way(self):
        """A payload on the way is data alone."""
        payload = WebPushPayload().payload(Batch("text", stream_id="s", seq=1))

        assert list(payload) == ["data"]
        assert payload["data"]["llm_response"] == "text"

    def test_the_last_one(self):
        """The last one has a title and a body."""
        payload = WebPushPayload(title="Title", body="Body").payload(LAST)

        assert (payload["title"], payload["body"], payload["data"]["total"]) == ("Title", "Body", "4")

    def test_declarative(self):
        """A declarative one is a notification with our keys as its data; on the way nothing is different."""
        encoder = WebPushPayload(title="Title", body="Body", declarative="https://app.example/chat")
        payload = encoder.payload(LAST)
        notification = payload["notification"]

        assert (payload["web_push"], payload["mutable"]) == (8030, True)
        assert notification.pop("data")["llm_response"] == "text"
        assert notification == {"title": "Title", "body": "Body", "navigate": "https://app.example/chat", "tag": "s"}
        assert list(encoder.payload(Batch("text", seq=1))) == ["data"]


class TestRequests:
    def test_headers_on_the_way(self):
        """What is on the way is for now or never."""
        assert Handling().headers(Batch("text", stream_id="s")) == {"TTL": "0", "Urgency": "normal"}

    def test_headers_of_the_last_one(self):
        """The last one is kept, and replaces itself where it is sent again."""
        headers = Handling(60, "low").headers(LAST)

        assert headers == {"TTL": "60", "Urgency": "low", "Topic": topic_of("s")}

    @given(stream_id=st.text())
    def test_topics(self, stream_id):
        """Any stream id becomes 32 characters of base64url (RFC 8030, section 5.4)."""
        assert len(topic_of(stream_id)) == 32
        assert encode64(decode64(topic_of(stream_id))) == topic_of(stream_id)

    @pytest.mark.parametrize("arguments", [(-1, "low"), (True, "low"), (0.5, "low"), (2**31, "low")])
    def test_ttl(self, arguments):
        """A TTL is a whole number of seconds (RFC 8030, section 5.2)."""
        with pytest.raises(InvalidArgument, match="ttl"):
            Handling(*arguments)

    @pytest.mark.parametrize("urgency", ["urgent", None, ["low"]])
    def test_urgency(self, urgency):
        """An urgency is one of four words (RFC 8030, section 5.3)."""
        with pytest.raises(InvalidArgument, match="urgency"):
            Handling(0, urgency)

    def test_request(self):
        """An encrypted payload goes to the endpoint, which is shown nowhere."""
        request = message_request(SUBSCRIPTION, b"body", {"TTL": "0"}, authorization="vapid")

        assert (request.method, request.url, request.content, request.needs_token) == ("POST", ENDPOINT, b"body", False)
        assert request.headers == {
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": "0",
            "Authorization": "vapid",
        }
        assert request.shown_url == "https://updates.push.services.mozilla.com/..."
        assert "sesame" not in repr(request)

    def test_receipt(self):
        """A success is all there is to know."""
        assert receipt_of(Reply(201, {"location": ENDPOINT})).status == "accepted"


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "body", "kind", "facts"),
        [
            (404, b"", InvalidToken, {"gone": True, "since": None, "status": 404}),
            (410, b'{"reason":"Unregistered"}', InvalidToken, {"gone": True, "code": "Unregistered"}),
            (400, b'{"reason":"VapidPkHashMismatch"}', InvalidToken, {"gone": False}),
            (401, b'{"code":401,"errno":109,"message":"VAPID public key mismatch"}', InvalidToken, {"gone": False}),
            (403, b"the VAPID credentials do not correspond to the subscription", InvalidToken, {"gone": False}),
            (403, b'{"reason":"BadJwtToken"}', PermissionDenied, {"code": "BadJwtToken", "retryable": False}),
            (401, b"[]", AuthenticationError, {"retryable": False}),
            (400, b'{"reason":5}', BadRequest, {"code": ""}),
            (413, b"", PayloadTooLarge, {}),
            (429, b"", RateLimited, {"scope": "device", "retry_after": 7.0, "retryable": True}),
            (503, b"", ServiceUnavailable, {"retry_after": 7.0, "retryable": True}),
            (500, b"", ServerError, {"retryable": True}),
            (501, b"", ServerError, {"retryable": False}),
            (308, b"", StatusError, {"message": "redirected, which is not followed"}),
        ],
    )
    def test_answers(self, status, body, kind, facts):
        """Each answer becomes the exception that says what to do about it."""
        headers = {"retry-after": "7", "location": f"{ENDPOINT}/elsewhere"}

        error = error_of(Reply(status, headers, body), SUBSCRIPTION)

        assert type(error) is kind
        assert {name: getattr(error, name) for name in facts} == facts
        assert str(error).startswith("the subscription ") == (kind is InvalidToken)
        assert SECRET not in str(error)

    @pytest.mark.parametrize("said", [ENDPOINT, f"/wpush/v2/{SECRET}", SECRET])
    @pytest.mark.parametrize("status", [400, 404, 429, 503])
    def test_a_service_that_repeats_the_endpoint(self, said, status):
        """Whatever a service says, the endpoint is in no error, nor in its body."""
        for body in (said.encode(), json.dumps({"message": said, "code": said, "reason": said}).encode()):
            error = error_of(Reply(status, {}, body), SUBSCRIPTION)

            assert SECRET not in f"{error}{error!r}{error.__dict__}"
