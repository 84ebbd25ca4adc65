"""What came back, and the one place where a status becomes an exception."""

import json
import pickle
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import example, given, strategies as st
from tests.strategies import json_values, texts

from genesys_stream import _errors
from genesys_stream._core.http.exchange import (
    Reply,
    Request,
    checked_headers,
    is_error_object,
    status_error,
    stream_error,
)

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
AT = NOW.timestamp()

RATE_LIMITED = {
    "message": "Rate limit exceeded the maximum. Retry the request in [42] seconds",
    "code": "too.many.requests.retry.after",
    "status": 429,
    "contextId": "d2f0c1a7-c0de",
    "details": [],
    "errors": [],
}
CLASSES = {
    300: _errors.StatusError,
    400: _errors.BadRequest,
    401: _errors.AuthenticationError,
    402: _errors.BadRequest,
    403: _errors.PermissionDenied,
    404: _errors.NotFound,
    408: _errors.RequestTimeout,
    409: _errors.Conflict,
    413: _errors.PayloadTooLarge,
    415: _errors.UnsupportedMediaType,
    418: _errors.BadRequest,
    429: _errors.RateLimited,
    499: _errors.BadRequest,
    500: _errors.ServerError,
    501: _errors.ServerError,
    502: _errors.BadGateway,
    503: _errors.ServiceUnavailable,
    504: _errors.GatewayTimeout,
    529: _errors.ServerError,
    999: _errors.ServerError,
}
JSON = {"content-type": "application/json; charset=UTF-8"}


def reply(status, body=b"", at=AT, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, content, at=at)


class TestReply:
    @pytest.mark.parametrize(("status", "ok"), [(199, False), (200, True), (202, True), (299, True), (300, False)])
    def test_success(self, status, ok):
        """Only the 200s are a success."""
        assert ok is Reply(status).ok

    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            ({}, ""),
            ({"inin-correlation-id": "old"}, "old"),
            ({"genesys-correlation-id": "new"}, "new"),
            ({"inin-correlation-id": "old", "genesys-correlation-id": "new"}, "old"),
            ({"inin-correlation-id": "", "genesys-correlation-id": "new"}, "new"),
        ],
    )
    def test_correlation_id(self, headers, expected):
        """The correlation id is read under either of its names."""
        assert expected == Reply(200, headers).correlation_id

    @pytest.mark.parametrize(
        ("content_type", "expected"),
        [
            ("", ""),
            ("application/json", "application/json"),
            ("Text/Event-Stream ; charset=utf-8", "text/event-stream"),
            (";", ""),
        ],
    )
    def test_media_type(self, content_type, expected):
        """The media type is bare and in lower case."""
        assert expected == Reply(200, {"content-type": content_type}).media_type
        assert Reply(200).media_type == ""

    @pytest.mark.parametrize(
        "value",
        [Request("POST", "https://x", {"Authorization": "sesame"}, b"sesame"), Reply(200, {}, b"sesame", "sesame")],
    )
    def test_repr_keeps_secrets(self, value):
        """Neither a body nor a token is in a repr."""
        assert "sesame" not in repr(value)


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("header", "expected"),
        [
            ("42", 42.0),
            (" 42 ", 42.0),
            ("0", 0.0),
            ("007", 7.0),
            ("1.5", 1.5),
            ("1.", 1.0),
            ("86400", 86400.0),
            ("9" * 30, 1e30),
            ("9" * 400, float("inf")),
            ("-5", None),
            ("+5", None),
            ("1e3", None),
            (".5", None),
            ("nan", None),
            ("inf", None),
            ("42, 42", None),
            ("٤٢", None),
            ("soon", None),
            ("", None),
            ("Sun, 99 Foo 2026 99:99:99 GMT", None),
            ("Sun, 22 Nov 99999 12:00:00 GMT", None),
        ],
    )
    def test_seconds(self, header, expected):
        """Seconds are read as they are, however many, and nonsense is no wait at all."""
        found = reply(429, retry_after=header).retry_after

        assert expected == (found if found is None else pytest.approx(found))

    @pytest.mark.parametrize(
        ("date", "expected"),
        [
            ("Sun, 22 Nov 2026 12:01:30 GMT", 90.0),
            ("Sunday, 22-Nov-26 12:01:30 GMT", 90.0),
            ("Sun Nov 22 12:01:30 2026", 90.0),
            ("Sun, 22 Nov 2026 12:01:30 -0000", 90.0),
            ("Sun, 22 Nov 2026 13:01:30 +0100", 90.0),
            ("Sun, 22 Nov 2026 12:00:00 GMT", 0.0),
            ("Sun, 22 Nov 2020 12:00:00 GMT", 0.0),
        ],
    )
    def test_dates(self, date, expected):
        """All three forms of a date (RFC 9110, section 5.6.7) mean UTC, and a date that is past is no wait."""
        assert expected == reply(429, retry_after=date).retry_after

    @given(st.integers(0, 10**6), st.integers(-(10**6), 10**6))
    def test_date_against_date(self, wait, skew):
        """A date is measured against the service's own clock, however wrong either clock is."""
        theirs = NOW + timedelta(seconds=skew)
        until = format_datetime(theirs + timedelta(seconds=wait), usegmt=True)

        assert wait == reply(429, retry_after=until, date=format_datetime(theirs, usegmt=True)).retry_after

    @pytest.mark.parametrize("date", ["", "yesterday"])
    def test_no_date(self, date):
        """Without a Date that can be read, a date is measured against our clock."""
        until = format_datetime(NOW + timedelta(seconds=7), usegmt=True)

        assert reply(429, retry_after=until, date=date).retry_after == 7.0

    @given(st.text(), st.text())
    def test_any_text(self, retry_after, date):
        """Whatever the header says, what is read is nothing or a wait that is not negative."""
        found = reply(429, retry_after=retry_after, date=date).retry_after

        assert found is None or found >= 0

    @pytest.mark.parametrize(
        ("status", "header", "message", "expected"),
        [
            (429, None, RATE_LIMITED["message"], 42.0),
            (429, "7", RATE_LIMITED["message"], 7.0),
            (429, "0", RATE_LIMITED["message"], 0.0),
            (429, "soon", RATE_LIMITED["message"], 42.0),
            (429, None, "retry the request in [3] seconds", 3.0),
            (429, None, "Retry the request in [many] seconds", None),
            (429, None, "Retry the request in [-1] seconds", None),
            (429, None, "Retry the request in [٤٢] seconds", None),
            (503, None, RATE_LIMITED["message"], None),
            (503, "9", "Service Unavailable", 9.0),
            (400, "9", "rate limit exceeded; slow down", 9.0),
        ],
    )
    def test_in_words(self, status, header, message, expected):
        """A 429 says how long in its message as well, and the header has precedence."""
        headers = {} if header is None else {"retry_after": header}

        assert expected == status_error(reply(status, {"message": message}, **headers)).retry_after


class TestStatusError:
    @pytest.mark.parametrize(("status", "cls"), CLASSES.items())
    def test_class(self, status, cls):
        """Every status has its class, a strange one that of its hundred."""
        error = status_error(reply(status, {"message": "no"}))

        assert type(error) is cls
        assert (status, "no", False) == (error.status, error.message, error.in_stream)
        assert (status in {429, 502, 503, 504}) is error.retryable

    def test_genesys(self):
        """Genesys Cloud's own 429 has everything that support asks for."""
        limit = {"key": "token.rate.per.minute", "namespace": "platform.api", "value": 300}
        details = [{"errorCode": "invalid.value", "fieldName": "targets"}]
        body = {**RATE_LIMITED, "limit": limit, "details": details}

        error = status_error(
            reply(429, body, retry_after="42", inin_correlation_id="corr", content_type="application/json")
        )

        assert type(error) is _errors.RateLimited
        assert (error.code, error.context_id, error.correlation_id) == (body["code"], "d2f0c1a7-c0de", "corr")
        assert (error.limit, error.details, error.retry_after) == (limit, tuple(details), 42.0)
        assert json.loads(error.body) == body
        assert str(error) == f"{body['message']} (429, {body['code']}, correlation id corr)"
        assert pickle.loads(pickle.dumps(error)).__dict__ == error.__dict__

    def test_context_id_stands_in(self):
        """Without the header, the body's contextId is the correlation id."""
        assert status_error(reply(429, RATE_LIMITED)).correlation_id == "d2f0c1a7-c0de"

    @pytest.mark.parametrize(
        ("body", "code", "message"),
        [
            (
                {"error": "invalid_client", "description": "client not found", "error_description": "client not found"},
                "invalid_client",
                "client not found",
            ),
            ({"error": "invalid_client"}, "invalid_client", "invalid_client"),
            (
                {"error": {"message": "No.", "type": "invalid_request_error", "code": "model_not_found"}},
                "model_not_found",
                "No.",
            ),
            (
                {"error": {"message": "No.", "type": "invalid_request_error", "code": None}},
                "invalid_request_error",
                "No.",
            ),
            (
                {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
                "overloaded_error",
                "Overloaded",
            ),
            ({"error": {"code": 429, "message": "Quota", "status": "RESOURCE_EXHAUSTED"}}, "429", "Quota"),
            ({"detail": "Not Found"}, "", "Not Found"),
            ({"code": True, "message": "m"}, "", "m"),
            ({"code": ["x"], "type": "t", "message": ["x"], "description": "d"}, "t", "d"),
            ({"code": "c", "message": ""}, "c", "the service answered without a content type: "),
            ({"code": "\ud83d", "message": "half \ud83d", "contextId": "\ud83d"}, "\ufffd", "half \ufffd"),
        ],
    )
    def test_shapes(self, body, code, message):
        """The error bodies of Genesys Cloud, of OAuth and of OpenAI's kin are all read."""
        error = status_error(reply(400, body))

        assert code == error.code
        assert error.message.startswith(message)
        assert str(error).encode()

    @pytest.mark.parametrize(
        ("body", "headers", "message"),
        [
            (b"", {}, "the service answered without a word"),
            (b" \n", JSON, "the service answered without a word"),
            (b"<html>503</html>", {"content-type": "text/html"}, "the service answered text/html: '<html>503</html>'"),
            (b"\xff\xfe!", {}, "the service answered without a content type: '\ufffd\ufffd!'"),
            (b"[]", JSON, "the service answered application/json: '[]'"),
            (b"null", JSON, "the service answered application/json: 'null'"),
            (b'{"a":', JSON, "the service answered application/json: '{\"a\":'"),
            (b"{}", JSON, "the service answered application/json: '{}'"),
        ],
    )
    def test_other_bodies(self, body, headers, message):
        """A body that says nothing that we understand is shown as it begins, and kept whole."""
        error = status_error(Reply(503, headers, body))

        assert (message, body) == (error.message, error.body)

    def test_excerpt(self):
        """Of a long page only the beginning is in the message."""
        assert len(str(status_error(Reply(502, {}, b"<p>" * 10**5)))) < 300

    @given(
        st.integers(300, 999),
        st.binary() | json_values.map(lambda value: json.dumps(value).encode()),
        st.dictionaries(st.sampled_from(["retry-after", "date", "content-type", "inin-correlation-id"]), st.text()),
    )
    @example(503, b"[" * 10**5, {})
    @example(400, b"9" * 5000, {})
    def test_any_body(self, status, body, headers):
        """Any answer makes an error that can be pickled."""
        error = status_error(Reply(status, headers, body))

        assert (status, body) == (error.status, error.body)
        assert str(pickle.loads(pickle.dumps(error))) == str(error)


class TestStreamError:
    @pytest.mark.parametrize(
        ("payload", "status"),
        [
            ({"status": 503}, 503),
            ({"status": "429"}, 429),
            ({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}, 429),
            ({"error": {"status_code": 404}}, 404),
            ({"error": {"code": "502"}}, 502),
            ({"status": 500, "error": {"code": "rate_limit_exceeded"}}, 500),
            ({"status": 200, "error": {"type": "overloaded_error"}}, 503),
            ({"status": True, "code": 600, "error": "x"}, 500),
            ({"error": {"code": "rate_limit_exceeded", "type": "tokens"}}, 429),
            ({"error": {"code": "insufficient_quota"}}, 429),
            ({"error": {"type": "invalid_request_error", "code": "rate_limit_exceeded"}}, 429),
            ({"error": "Rate limit exceeded"}, 429),
            ({"error": "ThrottlingException"}, 429),
            ({"code": "TooManyRequestsException"}, 429),
            ({"code": "too.many.requests.retry.after", "message": "m"}, 429),
            ({"error": {"status": "RESOURCE_EXHAUSTED"}}, 429),
            ({"error": {"type": "overloaded_error"}}, 503),
            ({"code": "service.unavailable", "message": "m"}, 503),
            ({"error": {"type": "ServiceUnavailableException"}}, 503),
            ({"error": {"type": "authentication_error"}}, 401),
            ({"code": "authentication.required", "message": "m"}, 401),
            ({"code": "bad.credentials", "message": "m"}, 401),
            ({"code": "credentials.expired", "message": "m"}, 401),
            ({"error": {"type": "invalid_request_error", "code": "invalid_api_key"}}, 401),
            ({"error": {"code": "Unauthorized"}}, 401),
            ({"code": "not.authorized", "message": "m"}, 403),
            ({"code": "missing.permissions", "message": "m"}, 403),
            ({"code": "missing.any.permissions", "message": "m"}, 403),
            ({"code": "feature.toggle.disabled", "message": "m"}, 403),
            ({"error": {"type": "permission_error"}}, 403),
            ({"error": {"type": "AccessDeniedException"}}, 403),
            ({"error": {"code": "model_not_found", "type": "invalid_request_error"}}, 404),
            ({"error": {"type": "request_too_large"}}, 413),
            ({"code": "unsupported.media.type", "message": "m"}, 415),
            ({"code": "bad_gateway"}, 502),
            ({"code": "request.timeout", "message": "m"}, 504),
            ({"error": {"code": "content_filter"}}, 400),
            ({"error": {"code": "context_length_exceeded"}}, 400),
            ({"error": {"type": "invalid_request_error"}}, 400),
            ({"code": "bad.request", "message": "m"}, 400),
            ({"code": "internal.server.error", "message": "m"}, 500),
            ({"error": {"type": "server_error", "message": "an invalid state, permission not found: timeout"}}, 500),
            ({"error": {"type": "api_error", "code": None}}, 500),
            ({"error": {"code": ["throttled"]}}, 500),
            ({"error": True}, 500),
            ({}, 500),
            (None, 500),
            ("it broke", 500),
            ([{"code": 429}], 500),
        ],
    )
    def test_status(self, payload, status):
        """An error in a stream has the status that it names, or the one that its code or type, never its message, means."""
        error = stream_error(payload, "raw")

        assert type(error) is CLASSES[status]
        assert (status, True, b"raw") == (error.status, error.in_stream, error.body)

    @pytest.mark.parametrize(
        ("payload", "message"),
        [
            ({"error": {"message": "Sorry."}}, "Sorry."),
            ({"error": "Sorry."}, "Sorry."),
            ("Sorry.", "Sorry."),
            ({"message": "outer", "error": {"message": "inner"}}, "inner"),
            ({"error": {"message": ["x"]}}, "the stream broke off with an error event"),
            (None, "the stream broke off with an error event"),
            ("", "the stream broke off with an error event"),
        ],
    )
    def test_message(self, payload, message):
        """It speaks the service's own words, if there are any."""
        assert message == stream_error(payload, "").message

    def test_rate_limit(self):
        """Genesys Cloud's 429 in a stream says when to come back, too."""
        error = stream_error(RATE_LIMITED, json.dumps(RATE_LIMITED))

        assert (error.retry_after, error.retryable, error.correlation_id) == (42.0, True, "d2f0c1a7-c0de")

    @given(json_values, texts)
    def test_any_payload(self, payload, body):
        """Any JSON makes an error with an error status, that can be printed and pickled."""
        error = stream_error(payload, body)

        assert 400 <= error.status < 600
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
        assert str(error).encode()


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"error": {"message": "m"}}, True),
        ({"error": "m"}, True),
        ({"error": {"message": "m"}, "choices": []}, True),
        ({"error": None}, False),
        ({"error": {}}, False),
        ({"error": ""}, False),
        ({"error": None, "choices": []}, False),
        ({"choices": [], "status": 500}, False),
        (RATE_LIMITED, True),
        ({"status": 400}, True),
        ({"status": 200}, False),
        ({"status": True}, False),
        ({"status": "failed"}, False),
        ({"code": "c", "message": "m"}, True),
        ({"code": "c"}, False),
        ({"message": "m"}, False),
        ({}, False),
    ],
)
def test_is_error_object(payload, expected):
    """An error object is told from a chunk."""
    assert expected is is_error_object(payload)


class TestHeaders:
    def test_one_spelling(self):
        """Names get one spelling, so that the later of two that differ in case stands alone."""
        assert checked_headers("headers", {"x-TEAM": "a", "X-Team": " b ", "Accept": ""}) == {
            "X-Team": "b",
            "Accept": "",
        }

    @given(
        st.dictionaries(
            st.from_regex(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", fullmatch=True), st.from_regex(r"[\t -~]*", fullmatch=True)
        )
    )
    def test_good_ones(self, headers):
        """Any token is a name and any line of printable ASCII a value (RFC 9110, section 5)."""
        headers = {
            name: value
            for name, value in headers.items()
            if name.lower() not in {"content-length", "transfer-encoding"}
        }

        checked = checked_headers("headers", headers)

        assert {name.lower() for name in headers} == {name.lower() for name in checked}
        assert checked == checked_headers("headers", checked)

    @pytest.mark.parametrize(
        ("headers", "argument"),
        [
            (None, "extra_headers"),
            ([("X", "y")], "extra_headers"),
            ({"": "x"}, "extra_headers"),
            ({"X Y": "x"}, "extra_headers"),
            ({"X:": "x"}, "extra_headers"),
            ({"X\r\nY": "x"}, "extra_headers"),
            ({"X\n": "x"}, "extra_headers"),
            ({"É": "x"}, "extra_headers"),
            ({1: "x"}, "extra_headers"),
            ({b"X": "x"}, "extra_headers"),
            ({"X": "a\r\nAuthorization: b"}, "extra_headers['X']"),
            ({"X": "a\n"}, "extra_headers['X']"),
            ({"X": "a\0"}, "extra_headers['X']"),
            ({"X": "é"}, "extra_headers['X']"),
            ({"X": 1}, "extra_headers['X']"),
            ({"X": None}, "extra_headers['X']"),
            ({"X": b"x"}, "extra_headers['X']"),
            ({"content-length": "0"}, "extra_headers['content-length']"),
            ({"Transfer-Encoding": "chunked"}, "extra_headers['Transfer-Encoding']"),
        ],
    )
    def test_bad_ones(self, headers, argument):
        """No header can smuggle in another, and the error names it without its value."""
        with pytest.raises(_errors.InvalidArgument) as caught:
            checked_headers("extra_headers", headers)

        assert argument == caught.value.argument
        assert "Authorization" not in str(caught.value)

    @given(json_values | st.dictionaries(st.text() | st.integers(), st.text() | st.none()))
    def test_any_value(self, headers):
        """Any other value is refused as an argument."""
        try:
            checked = checked_headers("headers", headers)
        except _errors.InvalidArgument:
            return
        assert not any(char in "\r\n" for line in checked.items() for char in "".join(line))


def test_a_word_is_preferred_to_a_number():
    """A code that is a number only repeats the status; the type says more."""
    body = b'{"error": {"message": "Invalid API Key", "type": "invalid_request_error", "code": 401}}'

    assert str(status_error(Reply(401, body=body))) == "Invalid API Key (401, invalid_request_error)"
    assert status_error(Reply(500, body=b'{"code": 17, "message": "x"}')).code == "17"


def test_a_redirect_shows_its_target():
    """Whoever set a wrong address sees the right one."""
    error = status_error(Reply(307, {"location": "https://api.example.com/v1"}, b""))

    assert "redirected to 'https://api.example.com/v1', which is not followed" in str(error)
