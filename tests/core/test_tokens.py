"""The access token: requested, cached while it is valid, invalidated when it is refused."""

import base64
import json
import math
from urllib.parse import parse_qs

import pytest
from hypothesis import example, given, strategies as st
from tests.strategies import json_values

from genesys_stream import _errors
from genesys_stream._core.http.exchange import Reply
from genesys_stream._core.http.retry import Retry
from genesys_stream._core.http.tokens import Grant, TokenCache, fetch_token, is_token, token_request

LOGIN = "https://login.mypurecloud.com"
REQUEST = token_request(LOGIN, "client-id", "client-secret")
PROMPT = Retry(jitter=lambda _: 0.0)
GRANTED = Reply(200, {}, b'{"access_token":"sesame","token_type":"bearer","expires_in":86399}')


def oauth_error(status, error, description, **headers):
    body = {"error": error, "description": description, "error_description": description}
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode())


THROTTLED = oauth_error(400, "invalid_request", "rate limit exceeded; try again later")
UNKNOWN_CLIENT = oauth_error(400, "invalid_client", "client not found")
WRONG_SECRET = oauth_error(401, "invalid_client", "authentication failed")


def fetching(*outcomes, retry=PROMPT):
    """Ask for a token; returns the attempts, and the grant or what was raised."""
    flow = fetch_token(REQUEST, retry)
    attempts = [next(flow)]
    *before, last = outcomes
    for outcome in before:
        attempts.append(flow.send(outcome))
    try:
        flow.send(last)
    except StopIteration as done:
        return attempts, done.value
    except _errors.GenesysStreamError as error:
        return attempts, error
    raise AssertionError("it goes on")


class TestRequest:
    def test_as_genesys_wants_it(self):
        """The credentials are a plain Basic header, and the body asks for no scope."""
        assert (REQUEST.method, REQUEST.url) == ("POST", "https://login.mypurecloud.com/oauth/token")
        assert REQUEST.headers["Authorization"] == "Basic Y2xpZW50LWlkOmNsaWVudC1zZWNyZXQ="
        assert REQUEST.headers["Content-Type"] == "application/x-www-form-urlencoded"
        assert REQUEST.content == b"grant_type=client_credentials"
        assert not REQUEST.needs_token

    @given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
    def test_any_credentials(self, client_id, secret):
        """Any credentials arrive as they are, without the URL encoding of RFC 6749, and are in no repr."""
        request = token_request(LOGIN, client_id, secret)

        scheme, _, encoded = request.headers["Authorization"].partition(" ")
        assert scheme == "Basic"
        assert base64.b64decode(encoded).decode() == f"{client_id}:{secret}"
        assert encoded not in repr(request)

    @given(
        st.lists(
            st.text(st.characters(min_codepoint=33, exclude_categories=["Cs", "Zs", "Cc"]), min_size=1), min_size=1
        )
    )
    def test_any_scopes(self, scopes):
        """Scopes are asked for only when there are any, in a form that can be read back."""
        form = parse_qs(token_request(LOGIN, "i", "s", scopes).content.decode("ascii"), strict_parsing=True)

        assert form == {"grant_type": ["client_credentials"], "scope": [" ".join(scopes)]}


class TestAuthorise:
    @pytest.mark.parametrize(
        ("expires_in", "expected"),
        [
            (86399, 86399.0),
            (300.5, 300.5),
            ("3600", 3600.0),
            (1e-3, 1e-3),
            (None, None),
            (0, None),
            (-1, None),
            (True, None),
            (False, None),
            ("", None),
            ("soon", None),
            ("nan", None),
            ("-inf", None),
            ("1e999", None),
            (math.nan, None),
            (math.inf, None),
            (10**400, None),
            ([], None),
            ({}, None),
        ],
    )
    def test_life(self, expires_in, expected):
        """A token is a token, even where its life is not a time that a token lives."""
        body = json.dumps({"access_token": "sesame", "expires_in": expires_in}).encode()

        assert fetching(Reply(200, {}, body))[1] == Grant("sesame", expected)

    def test_life_unsaid(self):
        """The life may be missing."""
        assert fetching(Reply(200, {}, b'{"access_token":"sesame"}'))[1] == Grant("sesame")

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"sesame",
            b"<html>sesame</html>",
            b'"sesame"',
            b'["sesame"]',
            b"{}",
            b"null",
            b'{"access_token":null,"x":"sesame"}',
            b'{"access_token":""}',
            b'{"access_token":"  "}',
            b'{"access_token":["sesame"]}',
            b'{"access_token":"sesame\\r\\nX-Admin: yes"}',
            b'{"access_token":"sesame\\n"}',
            b'{"access_token":"sesame sesame"}',
            b'{"access_token":"sesam\\u00e9"}',
            b'{"access_token":"sesame\\u0000"}',
            b'{"access_token":"sesame\\ud83d"}',
            b"[" * 10**5,
            b"\xff",
        ],
    )
    def test_no_token(self, body):
        """An answer without a token that a header can carry is refused, and not shown, because it may hold one."""
        attempts, error = fetching(Reply(200, {}, body))

        assert (type(error), len(attempts)) == (_errors.MalformedEvent, 1)
        assert "sesame" not in f"{error!r} {error.__dict__} {error.__cause__!r} {error.__context__!r}"

    @pytest.mark.parametrize(
        "reply", [UNKNOWN_CLIENT, WRONG_SECRET, oauth_error(400, "unauthorized_client", "grant type not allowed")]
    )
    def test_wrong_credentials(self, reply):
        """Credentials that are wrong are final, whether the status is 400 or 401."""
        attempts, error = fetching(reply)

        assert (type(error), len(attempts), reply.status) == (_errors.AuthenticationError, 1, error.status)
        assert (error.code, error.retryable, error.body) == (json.loads(reply.body)["error"], False, reply.body)
        assert error.message in str(error)

    @pytest.mark.parametrize("status", [400, 401, 429])
    def test_throttled(self, status):
        """Too many requests for tokens are a rate limit, though the status is 400, and waited out."""
        throttled = oauth_error(status, "invalid_request", "Rate limit exceeded; 300 per minute", retry_after="2")

        attempts, grant = fetching(throttled, throttled, GRANTED)
        error = fetching(*[throttled] * 4)[1]

        assert [attempt.after for attempt in attempts] == [0.0, 2.0, 2.0]
        assert grant == Grant("sesame", 86399.0)
        assert (type(error), error.retryable, error.retry_after) == (_errors.RateLimited, True, 2.0)

    def test_throttled_for_long(self):
        """A throttle that lasts longer than we would wait ends it."""
        reply = oauth_error(400, "invalid_request", "rate limit exceeded; come back tomorrow", retry_after="86400")

        assert len(fetching(reply)[0]) == 1

    @pytest.mark.parametrize(
        ("reply", "cls"),
        [
            (oauth_error(400, "invalid_request", "bad request"), _errors.BadRequest),
            (oauth_error(400, "unsupported_grant_type", "the rate limit exceeded it"), _errors.BadRequest),
            (oauth_error(403, "invalid_client", "rate limit exceeded;"), _errors.PermissionDenied),
            (Reply(401, {}, b"<html>401</html>"), _errors.AuthenticationError),
            (Reply(404), _errors.NotFound),
            (Reply(500), _errors.ServerError),
            (Reply(302, {"location": "https://elsewhere"}), _errors.StatusError),
        ],
    )
    def test_other_refusals(self, reply, cls):
        """Everything else that is said is what it is, and final."""
        attempts, error = fetching(reply)

        assert (type(error), len(attempts)) == (cls, 1)

    @pytest.mark.parametrize(
        "outcome",
        [Reply(429), Reply(502), Reply(503), Reply(504), _errors.ConnectFailed("x"), _errors.ConnectionLost("x")],
    )
    def test_retried(self, outcome):
        """What may pass is tried again, lost answers too, because a second token does no harm."""
        attempts, grant = fetching(outcome, outcome, outcome, GRANTED)

        assert (len(attempts), grant.token) == (4, "sesame")
        assert all(attempt.refused is None for attempt in attempts)

    @given(st.integers(200, 599), st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
    @example(200, b'{"access_token":"x","expires_in":1' + b"0" * 400 + b"}")
    @example(200, b'{"access_token":"x","expires_in":' + b"1" * 5000 + b"}")
    def test_any_answer(self, status, body):
        """Any answer is a grant or a documented error."""
        _, value = fetching(Reply(status, {}, body), retry=Retry(attempts=1))

        assert isinstance(value, (Grant, _errors.StatusError, _errors.MalformedEvent))


@given(st.text() | json_values)
def test_is_token(value):
    """A token is a string without anything that could end a header or be lost at its ends."""
    assert is_token(value) is (isinstance(value, str) and value != "" and all("!" <= char <= "~" for char in value))


class TestBook:
    @pytest.mark.parametrize(
        ("life", "margin", "until"),
        [
            (86399.0, 0.0, 86339.0),  # 60 seconds ahead
            (600.0, 0.0, 540.0),
            (300.0, 0.0, 270.0),  # a tenth of its life ahead
            (10.0, 0.0, 9.0),
            (86399.0, 30.0, 86339.0),  # a margin within that changes nothing
            (86399.0, 300.0, 86099.0),
            (300.0, 120.0, 180.0),
            (300.0, 1000.0, 150.0),  # but half of its life at the most
        ],
    )
    @pytest.mark.parametrize("granted_at", [0.0, 1e6, -5.0])
    def test_ahead_of_expiry(self, life, margin, until, granted_at):
        """A token is good until somewhat ahead of its expiry, or until the margin that is wanted."""
        cache = TokenCache()
        cache.set(Grant("t", life), granted_at)

        assert cache.get(granted_at, margin) == "t"
        assert cache.get(granted_at + until - 0.01, margin) == "t"
        assert cache.get(granted_at + until, margin) is None
        assert cache.get(granted_at + until + 1e9, margin) is None

    @given(st.floats(1e-3, 1e9), st.floats(0, 1e9), st.floats(0, 1e9))
    def test_any_life(self, life, age, margin):
        """No token is good beyond its expiry, and every token is good for a while, whatever the margin."""
        cache = TokenCache()
        cache.set(Grant("t", life), 0.0)

        assert cache.get(0.0, margin) == "t"
        assert (cache.get(age, margin) is None) or age < life

    def test_unknown_life(self):
        """A token whose life is unknown is good until it is refused."""
        cache = TokenCache()
        cache.set(Grant("t"), 0.0)

        assert cache.get(1e9, 1e9) == "t"

    def test_invalidate(self):
        """A refused token is forgotten; a newer one stays."""
        cache = TokenCache()
        cache.invalidate("nothing there")
        assert cache.get(0.0) is None
        cache.set(Grant("old", 300.0), 0.0)
        cache.set(Grant("new", 300.0), 0.0)
        cache.invalidate("old")
        assert cache.get(0.0) == "new"
        cache.invalidate("new")
        assert cache.get(0.0) is None

    def test_repr(self):
        """A token is in no repr."""
        cache = TokenCache()
        cache.set(Grant("sesame", 300.0), 0.0)

        assert "sesame" not in f"{cache!r} {vars(cache)!r} {Grant('sesame')!r}"
