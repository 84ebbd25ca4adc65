"""The exceptions: who has to act, every field on them, and through a pickle unharmed."""

import copy
import pickle

import pytest

from genesys_stream import _errors
from genesys_stream._errors import (
    AmbiguousDelivery,
    ConnectFailed,
    EventTooLarge,
    GenesysStreamError,
    InvalidArgument,
    MalformedEvent,
    NetworkError,
    ParseError,
    RateLimited,
    ServiceError,
    StatusError,
    TimeoutExpired,
    UnexpectedContent,
    UsageError,
)
from genesys_stream._values import Batch, Choice, Completion, Message, RelayReport, Undelivered

CLASSES = [
    value for value in vars(_errors).values() if isinstance(value, type) and issubclass(value, GenesysStreamError)
]

_STATUS = {
    "status": 429,
    "code": "too.many.requests",
    "context_id": "context",
    "correlation_id": "correlation",
    "limit": {"key": "k", "namespace": "n", "value": 3},
    "details": ({"a": 1},),
    "body": b"{}",
    "retry_after": 2.5,
    "in_stream": True,
}


def make(cls):
    """An error of the class, with every field set, and the fields that it must have."""
    if issubclass(cls, InvalidArgument):
        return cls("model", "must be text"), {"argument": "model"}
    if issubclass(cls, StatusError):
        return cls("no", **_STATUS), {"message": "no", **_STATUS}
    for base, fields in {
        ParseError: {"fields": ("a: b",), "text": "said"},
        UnexpectedContent: {"content_type": "text/html", "first_bytes": b"<html>"},
        MalformedEvent: {"data": "{"},
        EventTooLarge: {"limit": 5},
        AmbiguousDelivery: {"attempts": 3},
        TimeoutExpired: {"seconds": 1.5},
    }.items():
        if issubclass(cls, base):
            return cls("went wrong", **fields), fields
    return cls("went wrong"), {}


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
class TestEveryClass:
    def test_one_of_three_has_to_act(self, cls):
        """Every class but the root is on exactly one branch: the caller's, the service's or nobody's."""
        branches = [branch for branch in (UsageError, ServiceError, NetworkError) if issubclass(cls, branch)]

        assert (0 if cls is GenesysStreamError else 1) == len(branches)

    def test_it_is_in_the_tree(self, cls):
        """The module's docstring draws every class."""
        assert cls.__name__ in _errors.__doc__

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_pickle(self, cls, protocol):
        """Message, arguments and fields survive a pickle, also those that were added on the way."""
        error, fields = make(cls)
        error.partial = Completion(choices=(Choice(message=Message(content="so far")),))
        batch = Batch("b")
        error.report = RelayReport(error.partial, undelivered=(Undelivered(batch, ConnectFailed("no")),))

        revived = pickle.loads(pickle.dumps(error, protocol))

        assert cls is type(revived)
        assert str(error) == str(revived)
        assert error.args == revived.args
        assert repr(error) == repr(revived)
        for name, value in {**fields, "partial": error.partial}.items():
            assert value == getattr(error, name)
            assert value == getattr(revived, name)
        assert revived.report.undelivered_text == "b"
        assert str(revived.report.undelivered[0].error) == "no"
        assert (error.retryable, error.retry_after) == (revived.retryable, revived.retry_after)

    def test_copy(self, cls):
        """A copy is as good as the original."""
        error, _ = make(cls)

        assert str(error) == str(copy.copy(error))
        assert vars(error) == vars(copy.deepcopy(error))

    def test_it_has_a_message(self, cls):
        """No error is silent about what happened."""
        error, _ = make(cls)

        assert str(error).strip()
        assert str(error) in repr(error)


def test_builtin_bases():
    """What Python would raise in such a case catches ours too."""
    assert issubclass(InvalidArgument, ValueError)
    assert issubclass(InvalidArgument, TypeError)
    assert issubclass(ParseError, ValueError)
    assert issubclass(TimeoutExpired, TimeoutError)


def test_defaults():
    """Without more knowledge, usage and service errors are not retried, network errors are, and nothing is partial."""
    assert not UsageError("x").retryable
    assert not ServiceError("x").retryable
    assert NetworkError("x").retryable
    error = GenesysStreamError("x")
    assert (error.retry_after, error.partial, error.report) == (None, None, None)


@pytest.mark.parametrize(("status", "retryable"), [(400, False), (401, False), (429, True), (500, False), (503, True)])
def test_statuses_to_retry(status, retryable):
    """Whether an error status is worth another try depends on the status."""
    assert retryable == StatusError("x", status=status).retryable


def test_message_of_a_status():
    """The message is the service's own, followed by what support will ask for."""
    error = RateLimited("slow down", status=429, code="too.many", correlation_id="abc")

    assert str(error) == "slow down (429, too.many, correlation id abc)"
    assert str(RateLimited("slow down", status=429)) == "slow down (429)"


def test_a_header_is_no_number_of_seconds():
    """A sink that hands Retry-After on as it came is told so, and not the relay that would have to wait."""
    with pytest.raises(InvalidArgument, match="must be a number of seconds, not str") as caught:
        RateLimited("slow down", status=429, retry_after="1")

    assert caught.value.argument == "retry_after"


def test_a_service_may_say_whose_limit_it_is():
    """What is said is not guessed from the answer's words."""
    error = RateLimited("of a device", scope="credential", retry_after=60.0)

    assert (error.scope, error.status, error.retry_after) == ("credential", 429, 60.0)
    assert pickle.loads(pickle.dumps(error)).scope == "credential"
