"""A push to a push service: sent once, and what its outcome means."""

import json

import pytest

from genesys_stream import _errors
from genesys_stream._core.http.exchange import Reply, Request, status_error
from genesys_stream._core.services.send import send_once
from genesys_stream._errors import AmbiguousDelivery, AuthenticationError, BadRequest, ConnectFailed, ConnectionLost
from genesys_stream._values import PushReceipt

REQUEST = Request("POST", "https://push.example/secret", content=b"{}", public_url="https://push.example")


def receipt_of(reply):
    return PushReceipt(id=json.loads(reply.body)["name"])


def converse(*outcomes, reauthorise=False):
    """Run a push whose attempts have these outcomes; returns the attempts and the receipt."""
    flow = send_once(REQUEST, error_of=status_error, receipt_of=receipt_of, reauthorise=reauthorise)
    attempts = [next(flow)]
    try:
        for outcome in outcomes:
            attempts.append(flow.send(outcome))
    except StopIteration as done:
        return attempts, done.value
    return attempts, None


def test_what_is_taken_has_a_receipt():
    """A success is read by the service's own reader."""
    attempts, receipt = converse(Reply(200, body=b'{"name": "projects/p/messages/1"}'))

    assert receipt.id == "projects/p/messages/1"
    assert [attempt.request for attempt in attempts] == [REQUEST]


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (Reply(400), BadRequest),
        (Reply(401, token="old"), AuthenticationError),
        (ConnectFailed("no"), ConnectFailed),
        (ConnectionLost("gone"), AmbiguousDelivery),
        (_errors.TransportIdleTimeout("silent"), AmbiguousDelivery),
    ],
)
def test_what_is_not_taken_is_sent_once(outcome, error):
    """The relay decides whether to send again; a lost answer is said to be one."""
    with pytest.raises(error):
        converse(outcome)


def test_a_refused_access_token_is_replaced_once():
    """The second refusal is final."""
    attempts, receipt = converse(Reply(401, token="old"), Reply(200, body=b'{"name": "1"}'), reauthorise=True)

    assert [attempt.refused for attempt in attempts] == [None, "old"]
    assert receipt.id == "1"
    with pytest.raises(AuthenticationError):
        converse(Reply(401, token="old"), Reply(401, token="new"), reauthorise=True)
    with pytest.raises(AuthenticationError):
        converse(Reply(401), reauthorise=True)


def test_a_secret_url_is_not_shown():
    """What logs and events show is the public part of it."""
    assert REQUEST.shown_url == "https://push.example"
    assert Request("GET", "https://x.example").shown_url == "https://x.example"
