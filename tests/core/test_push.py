"""What becomes of a push: a receipt, a definite no, or the honest answer that nobody knows."""

import json
import pickle

import pytest
from hypothesis import example, given, strategies as st
from tests.strategies import json_values

from genesys_stream import PushReceipt, _errors
from genesys_stream._core.http.exchange import Reply
from genesys_stream._core.http.push import ONCE, dry_run_flow, push, push_request
from genesys_stream._core.http.retry import Attempt, Retry

REQUEST = push_request("https://api.mypurecloud.com/api/v2/notifications/push", b'{"targets":["fcm"]}')
PROMPT = Retry(jitter=lambda _: 0.0)
TAKEN = Reply(202, {"inin-correlation-id": "corr"}, b'{"id":"push_1","status":"queued","targets_count":1}')
RECEIPT = PushReceipt("push_1", "queued", 1, "corr")
UNAVAILABLE = Reply(503)
NO = Reply(400, {}, b'{"message":"Value is not valid for: targets","code":"invalid.value","status":400}')
CONNECT = _errors.ConnectFailed("refused")
LOST = _errors.ConnectionLost("reset")
SILENT = _errors.TransportIdleTimeout("silence")
DEADLINE = _errors.DeadlineExceeded("over")
TOO_LATE = _errors.DeadlineExceeded("over")
TOO_LATE.__cause__ = SILENT
UNAUTHORISED = Reply(401, token="old")


def pushing(*outcomes, retry=PROMPT, resend_lost=False, reauthorise=True):
    """Push; returns the attempts, and the receipt or what was raised."""
    conversation = push(REQUEST, retry, reauthorise=reauthorise, resend_lost=resend_lost)
    attempts = [next(conversation)]
    *before, last = outcomes
    for outcome in before:
        attempts.append(conversation.send(outcome))
    try:
        conversation.send(last)
    except StopIteration as done:
        return attempts, done.value
    except _errors.GenesysStreamError as error:
        return attempts, error
    raise AssertionError("it goes on")


def test_request():
    """The payload goes out as JSON, with the access token."""
    assert REQUEST.headers == {"Content-Type": "application/json", "Accept": "application/json"}
    assert (REQUEST.method, REQUEST.content, REQUEST.needs_token) == ("POST", b'{"targets":["fcm"]}', True)


def test_dry_run():
    """What is only tried out has a receipt that says so, and how large it is."""
    with pytest.raises(StopIteration) as done:
        next(dry_run_flow(b"four"))

    assert done.value.value == PushReceipt(status="dry_run", attempts=0, extra={"bytes": 4})


@pytest.mark.parametrize(
    ("outcomes", "attempts"),
    [
        ([TAKEN], 1),
        ([CONNECT, TAKEN], 2),
        ([UNAVAILABLE, Reply(429), Reply(504), TAKEN], 4),
        ([UNAUTHORISED, TAKEN], 2),
        ([UNAVAILABLE, UNAUTHORISED, TAKEN], 3),
    ],
)
def test_taken(outcomes, attempts):
    """A push that was taken in the end has a receipt that counts how often it went out, always the same bytes."""
    made, receipt = pushing(*outcomes)

    assert PushReceipt("push_1", "queued", 1, "corr", attempts) == receipt
    assert all(attempt.request is REQUEST for attempt in made)
    assert attempts == len(made)


@pytest.mark.parametrize(
    ("outcomes", "resend_lost", "raised", "attempts"),
    [
        # Definite: the service said no, or never saw it.
        ([NO], False, _errors.BadRequest, 1),
        ([UNAUTHORISED, Reply(401, token="new")], False, _errors.AuthenticationError, 2),
        ([UNAVAILABLE] * 4, False, _errors.ServiceUnavailable, 4),
        ([CONNECT] * 4, False, _errors.ConnectFailed, 4),
        ([_errors.PoolExhausted("full")] * 4, False, _errors.PoolExhausted, 4),
        ([DEADLINE], False, _errors.DeadlineExceeded, 1),
        ([Reply(429), DEADLINE], True, _errors.RateLimited, 2),
        ([Reply(429, {"retry-after": "181"})], False, _errors.RateLimited, 1),
        ([CONNECT, NO], True, _errors.BadRequest, 2),
        # Ambiguous: an answer was lost.
        ([LOST], False, _errors.AmbiguousDelivery, 1),
        ([SILENT], False, _errors.AmbiguousDelivery, 1),
        ([TOO_LATE], False, _errors.AmbiguousDelivery, 1),
        ([TOO_LATE], True, _errors.AmbiguousDelivery, 1),
        ([UNAVAILABLE, LOST], False, _errors.AmbiguousDelivery, 2),
        ([LOST] * 4, True, _errors.AmbiguousDelivery, 4),
        # Ambiguous for ever after, since the first may have been delivered.
        ([LOST, CONNECT, CONNECT, CONNECT], True, _errors.AmbiguousDelivery, 4),
        ([LOST, UNAVAILABLE, UNAVAILABLE, UNAVAILABLE], True, _errors.AmbiguousDelivery, 4),
        ([LOST, NO], True, _errors.AmbiguousDelivery, 2),
        ([LOST, DEADLINE], True, _errors.AmbiguousDelivery, 2),
    ],
)
def test_not_taken(outcomes, resend_lost, raised, attempts):
    """A push that failed says whether it may have been delivered all the same."""
    made, error = pushing(*outcomes, resend_lost=resend_lost)

    assert (raised, attempts) == (type(error), len(made))
    if raised is _errors.AmbiguousDelivery:
        assert attempts == error.attempts
        assert isinstance(error.__cause__, _errors.GenesysStreamError)
        assert pickle.loads(pickle.dumps(error)).attempts == attempts


def test_resent():
    """A push that was sent again after a lost answer says how often, because it may have been delivered twice."""
    made, receipt = pushing(LOST, UNAVAILABLE, SILENT, TAKEN, resend_lost=True)

    assert made == [Attempt(REQUEST)] * 4
    assert (receipt.attempts, receipt.resent) == (4, 2)


@pytest.mark.parametrize("outcome", [CONNECT, UNAVAILABLE, LOST])
def test_once(outcome):
    """For a relay's sink a push is tried once."""
    assert len(pushing(outcome, retry=ONCE)[0]) == 1
    assert pushing(UNAUTHORISED, TAKEN, retry=ONCE)[1] == PushReceipt("push_1", "queued", 1, "corr", 2)


class TestReceipt:
    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (b"", PushReceipt()),
            (b"OK", PushReceipt()),
            (b"<html></html>", PushReceipt()),
            (b"null", PushReceipt()),
            (b"[1]", PushReceipt()),
            (b'{"id":7,"status":null,"targets_count":"2"}', PushReceipt("7")),
            (b'{"id":null,"targets_count":true}', PushReceipt()),
            (b'{"status":"queued","eta":3}', PushReceipt(status="queued", extra={"eta": 3})),
        ],
    )
    def test_odd_bodies(self, body, expected):
        """A success is a success, whatever its body looks like."""
        assert expected == pushing(Reply(200, {}, body))[1]

    @given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
    @example(b"[" * 10**5)
    def test_any_body(self, body):
        """Any body makes a receipt, and what it says beyond that is kept."""
        _, receipt = pushing(Reply(204, {}, body))

        assert isinstance(receipt, PushReceipt)
        assert isinstance(receipt.id, str)
        assert isinstance(receipt.status, str)
        assert not {"id", "status", "targets_count"} & receipt.extra.keys()
