"""The fake of Firebase Cloud Messaging: what it refuses, and what it keeps."""

import json

import httpx
import pytest

from genesys_stream.testing import FakeFcm

URL = "https://fcm.example/v1/projects/fake-project/messages:send"


@pytest.fixture
def fake():
    return FakeFcm()


@pytest.fixture
def push(fake):
    """Posts a message with a valid access token; returns the answer."""
    token = fake._app.issued.issue(fake.now() + 60)
    with httpx.Client(transport=fake.transport) as http:

        def post(message, url=URL, token=token):
            content = message if isinstance(message, bytes) else json.dumps({"message": message}).encode()
            return http.post(url, content=content, headers={"Authorization": f"Bearer {token}"})

        yield post


def test_a_message_is_kept(fake, push):
    """And logged as a push."""
    answer = push({"token": "a", "data": {"k": "v"}})

    assert answer.json()["name"].startswith("projects/fake-project/messages/")
    assert fake.messages == [{"token": "a", "data": {"k": "v"}}]
    assert [entry.status for entry in fake.send.requests] == [200]


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({}, "message.token"),
        ({"token": ""}, "message.token"),
        ({"token": "a", "fid": "b"}, "message.token"),
        ({"token": "a", "data": {"k": 1}}, "message.data"),
        ({"token": "a", "data": {"from": "x"}}, "message.data"),
        ({"token": "a", "data": {"google.x": "x"}}, "message.data"),
        ({"token": "a", "apns": {"headers": {"apns-priority": 5}}}, "message.apns.headers"),
        ({"token": "a", "apns": {"headers": {"apns-collapse-id": "x" * 65}}}, "message.apns"),
    ],
)
def test_a_field_that_fcm_refuses_is_named(fake, push, message, field):
    """In the error's details, as FCM does."""
    answer = push(message)

    assert answer.status_code == 400
    assert answer.json()["error"]["details"][0]["fieldViolations"][0]["field"] == field
    assert fake.messages == []


@pytest.mark.parametrize("content", [b"", b"[]", b'{"message": 1}', b'{"message": {"token": "a", "data": 1}}'])
def test_what_is_no_message_is_refused(push, content):
    """Whatever it is."""
    assert push(content).status_code == 400


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 400)])
def test_a_message_that_is_too_large_is_refused(push, more, status):
    """One field carries 4,051 bytes of key and value."""
    assert push({"token": "a", "data": {"k": "v" * (4050 + more)}}).status_code == status


def test_a_dead_token_and_an_unknown_path(fake, push):
    """Both are 404, and only one says UNREGISTERED."""
    fake.dead.add("a")
    dead, unknown = push({"token": "a"}), push({"token": "b"}, url="https://fcm.example/v1/projects/x/messages:send")

    assert (dead.status_code, unknown.status_code) == (404, 404)
    assert dead.json()["error"]["details"][0]["errorCode"] == "UNREGISTERED"
    assert unknown.json()["error"]["details"] == []


def test_tokens_expire_and_are_revoked(fake, push):
    """Then the answer is 401."""
    assert push({"token": "a"}).status_code == 200
    assert push({"token": "a"}, token="other").status_code == 401
    fake.advance(61)
    assert push({"token": "a"}).status_code == 401
    fake.revoke_tokens()
    assert push({"token": "a"}).json()["error"]["status"] == "UNAUTHENTICATED"


def test_the_token_endpoint_refuses_what_it_does_not_know(fake):
    """Another grant type, and a JWT that its key has not signed."""
    with httpx.Client(transport=fake.transport, base_url="https://oauth.example") as http:
        kind = http.post("/token", data={"grant_type": "password"})
        assert kind.json()["error"] == "unsupported_grant_type"
        pytest.importorskip("cryptography", reason="cryptography, of the extra [fcm], is not installed")
        fake.rotate_key()
        grant = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "a.b.c"}
        refused = http.post("/token", data=grant)

    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


def test_it_is_cleared(fake, push):
    """Scripts, log and messages are gone, and the access token is still valid."""
    push({"token": "a"})
    fake.send.fail(503, times=None)
    fake.tokens.fail(503)
    fake.clear()

    assert (fake.request_log, fake.messages, fake.tokens.pending) == ([], [], 0)
    assert push({"token": "a"}).status_code == 200
