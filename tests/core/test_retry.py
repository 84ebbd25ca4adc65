"""The retry policy: what is sent again, after how long, and what ends it."""

import pickle
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from genesys_stream import _errors
from genesys_stream._core.http.exchange import Reply, Request
from genesys_stream._core.http.retry import Attempt, Retry, RetryState, never_sent, send_with_retry

REQUEST = Request("POST", "https://api.mypurecloud.com/x")
OK = Reply(200)
REFUSED = Reply(401, token="old")
NO_JITTER = Retry(jitter=lambda bound: bound)


def cutting_short(error):
    deadline = _errors.DeadlineExceeded("over")
    deadline.__cause__ = error
    return deadline


def reply(status, retry_after=None):
    return Reply(status, {} if retry_after is None else {"retry-after": retry_after})


def run(flow, *outcomes):
    """Run a request flow; returns its attempts, and its value or what it raised."""
    attempts = [next(flow)]
    for index, outcome in enumerate(outcomes):
        try:
            attempts.append(flow.send(outcome))
        except StopIteration as done:
            assert index == len(outcomes) - 1
            return attempts, done.value
        except _errors.GenesysStreamError as error:
            assert index == len(outcomes) - 1
            return attempts, error
    flow.close()
    return attempts, None


def retrying(*outcomes, retry=NO_JITTER, reauthorise=True, **options):
    return run(send_with_retry(REQUEST, RetryState(retry), reauthorise=reauthorise, **options), *outcomes)


NOT_SENT = [_errors.ConnectFailed("x"), _errors.PoolExhausted("x")]
LOST = [_errors.ConnectionLost("x"), _errors.TransportIdleTimeout("x"), _errors.StreamTruncated("x")]


class TestSendWithRetry:
    def test_success(self):
        """A success ends it."""
        assert retrying(OK) == ([Attempt(REQUEST)], OK)

    def test_after(self):
        """The first attempt may have to wait."""
        assert retrying(after=3.0)[0] == [Attempt(REQUEST, 3.0)]

    @pytest.mark.parametrize("outcome", [*map(reply, [429, 502, 503, 504]), *NOT_SENT, *LOST])
    def test_retried(self, outcome):
        """429, 502, 503, 504, connections that were not made, and lost answers are tried again."""
        attempts, value = retrying(outcome, OK)

        assert value is OK
        assert [attempt.after for attempt in attempts] == [0.0, 0.5]

    @pytest.mark.parametrize("status", [*range(300, 429), *range(430, 502), 505, 529, 599, 999])
    def test_final(self, status):
        """No other status is."""
        attempts, error = retrying(Reply(status))

        assert (len(attempts), status) == (1, error.status)

    def test_spent(self):
        """The last error is raised after as many attempts as the policy has."""
        attempts, error = retrying(reply(503), reply(502), reply(503), reply(504))

        assert [attempt.after for attempt in attempts] == [0.0, 0.5, 1.0, 2.0]
        assert type(error) is _errors.GatewayTimeout

    @pytest.mark.parametrize("outcome", LOST)
    def test_lost_is_final(self, outcome):
        """A lost answer ends it where nothing may be sent twice."""
        attempts, error = retrying(outcome, repeat_lost=False)

        assert (len(attempts), outcome) == (1, error)

    @pytest.mark.parametrize("outcome", NOT_SENT)
    def test_not_sent_is_not_lost(self, outcome):
        """What was never sent is no lost answer."""
        assert retrying(outcome, OK, repeat_lost=False)[1] is OK

    @pytest.mark.parametrize("repeat_lost", [True, False])
    def test_deadline_is_final(self, repeat_lost):
        """When the time is over, nothing is tried again."""
        for deadline in (_errors.DeadlineExceeded("x"), cutting_short(_errors.ConnectionLost("x"))):
            assert retrying(deadline, repeat_lost=repeat_lost)[1] is deadline
        assert retrying(reply(429), deadline, repeat_lost=repeat_lost)[1] is deadline

    def test_no_time_for_another(self):
        """Where there is no time to wait for another attempt, the last one's failure says why."""
        deadline, broken = _errors.DeadlineExceeded("x"), _errors.ConnectionLost("x")

        assert type(retrying(reply(503), reply(429, "150"), deadline)[1]) is _errors.RateLimited
        assert retrying(deadline, after=3.0, failed=broken)[1] is broken

    def test_counts(self):
        """Attempts are counted, and those that follow a lost answer apart."""
        retries = RetryState(NO_JITTER)

        run(send_with_retry(REQUEST, retries, reauthorise=True), LOST[0], REFUSED, reply(503), OK)

        assert (retries.attempts, retries.resent) == (4, 1)


class TestRetryState:
    def test_backoff(self):
        """Each failure waits for the error's Retry-After and the jitter of a bound that doubles; a reset starts over."""
        state = RetryState(NO_JITTER)
        error = _errors.ConnectionLost("x")
        throttled = _errors.RateLimited("x", status=429, retry_after=10.0)

        assert [state.backoff(error), state.backoff(throttled), state.backoff(error)] == [0.5, 11.0, 2.0]
        assert state.exhausted(error)
        state.reset()
        assert not state.exhausted(error)
        assert state.backoff(error) == 0.5

    def test_exhausted(self):
        """No attempt is left, or the service asks for a longer wait than the policy allows."""
        error = _errors.ConnectionLost("x")

        assert RetryState(Retry(attempts=1)).exhausted(error)
        assert not RetryState(Retry(attempts=2)).exhausted(error)
        assert RetryState(Retry()).exhausted(_errors.RateLimited("x", status=429, retry_after=181.0))


class TestReauthorisation:
    def test_once(self):
        """A refused token is replaced at once, and named, so that nobody uses it again."""
        attempts, value = retrying(REFUSED, OK)

        assert attempts == [Attempt(REQUEST), Attempt(REQUEST, 0.0, "old")]
        assert value is OK

    def test_never_a_loop(self):
        """The second 401 of a call is final, whatever came between."""
        attempts, error = retrying(REFUSED, reply(503), Reply(401, token="new"))

        assert [attempt.refused for attempt in attempts] == [None, "old", None]
        assert type(error) is _errors.AuthenticationError

    @pytest.mark.parametrize(
        ("outcome", "reauthorise"), [(REFUSED, False), (Reply(401), True), (Reply(403, token="old"), True)]
    )
    def test_not_possible(self, outcome, reauthorise):
        """A token that the caller brought, or none at all, cannot be replaced, and a 403 is no matter of tokens."""
        attempts, error = retrying(outcome, reauthorise=reauthorise)

        assert (len(attempts), outcome.status) == (1, error.status)

    def test_is_not_a_retry(self):
        """It is not one of the attempts that the policy counts."""
        assert retrying(REFUSED, OK, retry=Retry(attempts=1))[1] is OK

    def test_repr(self):
        """The refused token is not in the attempt's repr."""
        assert "old" not in repr(Attempt(REQUEST, 0.0, "old"))


class TestWaits:
    @given(
        st.integers(1, 12),
        st.floats(0, 10),
        st.floats(0, 100),
        st.floats(0, 1),
    )
    def test_full_jitter(self, attempts, first, longest, share):
        """Any wait is drawn from a bound that doubles up to the longest one."""
        bounds = []

        def jitter(bound):
            bounds.append(bound)
            return bound * share

        retry = Retry(attempts=attempts, wait_initial=first, wait_max=longest, jitter=jitter)
        made, error = retrying(*[reply(503)] * attempts, retry=retry)

        assert (attempts, 503) == (len(made), error.status)
        assert [attempt.after for attempt in made] == [0.0, *(bound * share for bound in bounds)]
        assert all(bound <= longest or bound == first for bound in bounds)
        assert all(later == pytest.approx(min(longest, earlier * 2)) for earlier, later in pairwise(bounds))

    @given(st.data())
    def test_default_jitter(self, data):
        """By default a wait lies anywhere between nothing and its bound."""
        (_, attempt), _ = retrying(reply(429), retry=Retry(wait_initial=2.0))

        assert 0 <= attempt.after <= 2.0

    @pytest.mark.parametrize(
        ("asked", "longest", "after"),
        [("42", 180, 42.5), ("180", 180, 180.5), ("0", 180, 0.5), ("0.25", 1, 0.75), ("9999", float("inf"), 9999.5)],
    )
    def test_retry_after(self, asked, longest, after):
        """The wait that the service asks for comes before our own, so that not all come back at the same moment."""
        attempts, _ = retrying(reply(429, asked), OK, retry=Retry(retry_after_max=longest, jitter=lambda bound: bound))

        assert after == attempts[1].after

    @pytest.mark.parametrize("asked", ["9" * 20, "9" * 400])
    def test_without_end(self, asked):
        """Whoever would wait for ever waits no longer than a clock can tell."""
        attempts, _ = retrying(reply(429, asked), OK, retry=Retry(retry_after_max=float("inf")))

        assert attempts[1].after == 1e9

    @pytest.mark.parametrize(("asked", "longest"), [("181", 180), ("180.1", 180), ("1", 0), ("9" * 400, 1e300)])
    def test_too_long(self, asked, longest):
        """A longer wait than we would wait out ends the call at once."""
        attempts, error = retrying(reply(429, asked), retry=Retry(retry_after_max=longest))

        assert (len(attempts), error.retry_after) == (1, float(asked))


class TestRetry:
    @pytest.mark.parametrize("field", ["wait_initial", "wait_max", "retry_after_max"])
    @pytest.mark.parametrize("value", [-1, -0.1, float("nan"), "3", None, True])
    def test_waits(self, field, value):
        """A wait is a number of seconds that is not negative."""
        with pytest.raises(_errors.InvalidArgument) as caught:
            Retry(**{field: value})

        assert field == caught.value.argument

    @pytest.mark.parametrize("value", [0, -1, 1.5, "3", None, True])
    def test_attempts(self, value):
        """Something is sent at least once."""
        with pytest.raises(_errors.InvalidArgument, match="attempts must be a whole number from 1"):
            Retry(attempts=value)

    def test_jitter(self):
        """Jitter is something to call."""
        with pytest.raises(_errors.InvalidArgument, match="jitter"):
            Retry(jitter=0.5)

    def test_pickles(self):
        """A policy can be sent to another process."""
        assert pickle.loads(pickle.dumps(Retry(attempts=7))) == Retry(attempts=7)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        *((error, True) for error in NOT_SENT),
        *((error, False) for error in LOST),
        (_errors.DeadlineExceeded("x"), True),
        (cutting_short(_errors.ConnectFailed("x")), True),
        (cutting_short(_errors.TransportIdleTimeout("x")), False),
    ],
)
def test_never_sent(error, expected):
    """Only what failed before the sending is certain not to have been received."""
    assert expected is never_sent(error)
