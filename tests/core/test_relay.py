"""The desk, driven in virtual time: whatever the sink and the strategy do, the account is right and comes to an end."""

import zlib
from collections import deque
from itertools import pairwise

import pytest
from attrs import define, evolve, field
from hypothesis import given, settings, strategies as st
from tests.strategies import deltas

from genesys_stream import _errors
from genesys_stream._core.http.retry import Retry
from genesys_stream._core.relaying.assemble import StreamAssembler
from genesys_stream._core.relaying.coalescers import FinalOnly, ImmediateFirst, PassThrough, Sentence, TimeSize
from genesys_stream._core.relaying.limits import Budget, Ledger, Rate
from genesys_stream._core.relaying.payload import Envelope
from genesys_stream._core.relaying.relay import Desk, Listener, finish_reason_of, lost_in_hand, state_after
from genesys_stream._values import Artifact, Batch, CompletionChunk
from genesys_stream._wire import join_surrogates

RETRY = Retry(attempts=3, wait_initial=1.0, wait_max=4.0, retry_after_max=60.0, jitter=lambda bound: bound)
ENVELOPE = Envelope(["device"])


def limited(retry_after=None):
    return _errors.RateLimited("slow down", status=429, retry_after=retry_after)


def status(cls, number):
    return cls("no", status=number)


def a_desk(coalescer=None, **options):
    options = {"stream_id": "s", "retry": RETRY, **options}
    return Desk(PassThrough() if coalescer is None else coalescer, **options)


# ---------------------------------------------------------------------------------------------------------------------
# Any sink


@define
class Answer:
    """What the sink does with a batch: whether it keeps it, what it raises, and how long it takes."""

    kept: bool = True
    error: BaseException | None = None
    seconds: float = 0.0

    @property
    def refused(self):
        return isinstance(self.error, (_errors.RateLimited, _errors.ConnectFailed, _errors.PoolExhausted))

    @property
    def unsure(self):
        return self.error is not None and getattr(self.error, "retryable", False) and not self.refused


_SECONDS = st.sampled_from([0.0, 0.01, 0.3, 2.0])
_waits = st.sampled_from([None, 0.0, 0.5, 5.0, 59.0, 61.0, 1e4])
_oks = st.builds(Answer, seconds=_SECONDS)
_failures = st.one_of(
    st.builds(Answer, st.just(False), st.builds(limited, _waits), _SECONDS),
    st.builds(
        Answer,
        st.just(False),
        st.sampled_from(
            [
                _errors.ConnectFailed("no way"),
                _errors.PoolExhausted("all in use"),
                status(_errors.PayloadTooLarge, 413),
                status(_errors.AuthenticationError, 401),
                ValueError("of the sink's own"),
            ]
        ),
        _SECONDS,
    ),
    st.builds(
        Answer,
        st.booleans(),  # behind a gateway that fails, and before an answer that is lost, a batch may have been taken
        st.sampled_from(
            [
                status(_errors.ServiceUnavailable, 503),
                status(_errors.BadGateway, 502),
                status(_errors.GatewayTimeout, 504),
                _errors.AmbiguousDelivery("lost"),
                _errors.TransportIdleTimeout("too late"),
            ]
        ),
        _SECONDS,
    ),
)


@define
class World:
    """A source, a desk and a sink in virtual time."""

    desk: Desk
    deltas: list
    answers: list
    after: Answer = field(factory=Answer)  # what the sink does when `answers` are used up
    cancel_after: float | None = None  # seconds from the beginning
    abandon_after: float | None = None  # seconds from the cancellation
    handed: list = field(factory=list)  # (batch, answer)
    said: str = ""
    started: float = 0.0
    now: float = 0.0

    def run(self):
        desk, waiting, answers = self.desk, deque(self.deltas), deque(self.answers)
        self.now = self.started = waiting[0][1] if waiting else 0.0
        cancel = None if self.cancel_after is None else self.started + self.cancel_after
        abandon, hand = None, None
        for _ in range(20_000):
            if desk.done:
                return self
            if hand is None and (batch := desk.take(self.now)) is not None:
                answer = answers.popleft() if answers else self.after
                self.handed.append((batch, answer))
                hand = batch, answer, self.now + answer.seconds
                assert desk.due is None
                assert desk.take(self.now) is None
            elif hand is None:
                assert desk.due is None or desk.due > self.now, "nothing to take, and yet due: a busy loop"
            times = []
            if hand is not None:
                times.append((hand[2], "answer"))
            elif desk.due is not None:
                times.append((desk.due, "due"))
            if not desk.closing and not (waiting and desk.full):
                times.append((waiting[0][1] if waiting else self.now, "arrival" if waiting else "end"))
            if cancel is not None and not desk.closing:
                times.append((cancel, "cancel"))
            if abandon is not None:
                times.append((abandon, "abandon"))
            assert times, "everybody waits for somebody else"
            at, what = min(times)
            self.now = max(self.now, at)
            if what == "answer":
                batch, answer, _ = hand
                hand = None
                if answer.error is None:
                    assert desk.delivered(batch, "receipt", self.now).receipt == "receipt"
                else:
                    lost = desk.failed(batch, answer.error, self.now)
                    smaller = isinstance(answer.error, _errors.PayloadTooLarge) and lost is None
                    assert smaller or (lost is None) == bool(getattr(answer.error, "retryable", False))
            elif what == "arrival":
                before = desk.due
                text = waiting.popleft()[0]
                self.said += text
                look = desk.arrive(text, self.now)
                assert look == (desk.due is not None and (before is None or desk.due < before))
            elif what == "end":
                desk.end("complete", self.now, finish_reason="stop")
            elif what == "cancel":
                desk.end("cancelled", self.now, finish_reason="KeyboardInterrupt", error=KeyboardInterrupt())
                if self.abandon_after is not None:
                    abandon = self.now + self.abandon_after
            elif what == "abandon":
                desk.abandon(_errors.DeadlineExceeded("enough"))
        raise AssertionError("it does not come to an end")


def check(world, *, limit=None):
    """What holds after any run."""
    report = world.desk.report(Listener().completion)
    said = join_surrogates(world.said)
    account = sorted(
        [push.batch for push in report.pushes] + [missing.batch for missing in report.undelivered],
        key=lambda batch: batch.seq,
    )

    # Everything that was said, once, in order, under numbers without holes; one final batch, and it is the last.
    assert said == "".join(batch.text for batch in account)
    assert list(range(1, len(account) + 1)) == [batch.seq for batch in account]
    assert [batch.final for batch in account][-1:] == [True]
    assert sum(batch.final for batch in account) == 1
    at = 0
    for batch in account:
        assert (batch.offset, batch.stream_id, batch.epoch) == (at, "s", 1)
        at += len(batch.text.encode())
        assert batch.crc == zlib.crc32(said.encode()[:at])
        assert batch.text or batch.final
    last = account[-1]
    assert (at, report.state) == (last.total, last.state)
    assert all(batch.total is None and batch.finish_reason is None for batch in account[:-1])

    # The report lists each kind in order, and its account of tries is that of the sink.
    assert report.pushes == tuple(sorted(report.pushes, key=lambda push: push.batch.seq))
    assert report.undelivered == tuple(sorted(report.undelivered, key=lambda missing: missing.batch.seq))
    again = [
        batch is after and answer.unsure and isinstance(answer.error, _errors.NetworkError)
        for (batch, answer), (after, _) in pairwise(world.handed)
    ]
    assert sum(again) == report.resent
    for push in report.pushes:
        assert 1 <= push.attempts <= sum(batch == push.batch for batch, _ in world.handed)
        assert 0 <= push.resent < push.attempts

    # What may have been taken goes out again as it is, or not at all, and what was kept never contradicts itself.
    unsure = None
    ambiguous = [missing.batch for missing in report.undelivered if missing.ambiguous]
    for batch, answer in world.handed:
        assert limit is None or len(batch.text) <= limit
        assert unsure is None or batch is unsure or unsure in ambiguous
        unsure = batch if answer.unsure or (unsure is batch and answer.refused) else None
    kept = [batch for batch, answer in world.handed if answer.kept]
    by_seq = {}
    for batch in kept:
        assert by_seq.setdefault(batch.seq, batch) is batch
    for missing in report.undelivered:
        assert missing.ambiguous or by_seq.get(missing.batch.seq) is None
        assert missing.batch.seq not in by_seq or by_seq[missing.batch.seq] is missing.batch

    # The phone shows everything that was kept, and nothing twice.
    phone = StreamAssembler()
    for batch in reversed(kept):
        phone.receive(ENVELOPE.payload(batch))
    assert not phone.suspect
    assert said.startswith(phone.text)
    if not report.undelivered:
        assert (phone.text, phone.complete, phone.missing) == (said, True, ())

    for seconds in (report.held_seconds, report.paced_seconds):
        assert -1e-6 <= seconds <= world.now - world.started + 1e-6
    return report


coalescers = st.sampled_from(
    [
        PassThrough,
        TimeSize,
        lambda: TimeSize(0.25, 9),
        Sentence,
        lambda: Sentence(8, 0.4, 30),
        FinalOnly,
        lambda: ImmediateFirst(TimeSize(3, 40)),
    ]
).map(lambda make: make())


@st.composite
def worlds(draw, coalescer=coalescers):
    limit = draw(st.none() | st.integers(-1, 12))
    desk = a_desk(
        draw(coalescer),
        fit=None if limit is None else lambda batch: min(len(batch.text), limit),
        retry=evolve(RETRY, jitter=draw(st.sampled_from([lambda bound: bound, lambda bound: bound / 8]))),
        budget=draw(
            st.none() | st.sampled_from([(1, 1.0), (3, 0.1)]).map(lambda rate: Budget(Ledger(), ["a"], Rate(*rate)))
        ),
        give_up_after=draw(st.sampled_from([0.0, 10.0, 300.0])),
        max_backlog_bytes=draw(st.sampled_from([1, 20, 2**20])),
    )
    world = World(
        desk,
        draw(deltas()),
        draw(st.lists(_oks | _failures, max_size=12)),
        draw(_oks | _failures),
        draw(st.none() | st.sampled_from([0.0, 0.1, 1.0, 5.0, 100.0])),
        draw(st.none() | st.sampled_from([0.0, 0.1, 1.0, 5.0])),
    )
    return world, None if limit is None else max(1, limit)


@given(worlds())
@settings(max_examples=200, deadline=None)
def test_any_sink(given):
    """Whatever the sink does, and whenever: what was said is delivered or listed, once, and the relay comes to an end."""
    world, limit = given
    world.run()

    check(world, limit=limit)


@settings(deadline=None)
@given(deltas(), coalescers, st.lists(st.one_of(_oks, _failures.filter(lambda a: a.refused or a.unsure)), max_size=6))
def test_patience_delivers_everything(deltas, coalescer, answers):
    """A sink that fails for a while, and asks for no more than is granted, gets everything in the end."""
    answers = [
        evolve(answer, error=limited(59.0)) if ((answer.error and answer.error.retry_after) or 0) > 60 else answer
        for answer in answers
    ]
    world = World(a_desk(coalescer, retry=evolve(RETRY, attempts=8), give_up_after=1e4), deltas, answers).run()

    assert check(world).undelivered == ()


class Strange:
    """A coalescer that does what it should, until it does not."""

    def __init__(self, mischief):
        self.inner = TimeSize(0.25, 9)
        self.mischief = deque(mischief)

    @property
    def due(self):
        if self.mischief and self.mischief[0] == "due is past":
            return -1.0
        if self.mischief and self.mischief[0] == "due is no time":
            return "soon"
        if self.mischief and self.mischief[0] == "due is NaN":
            return float("nan")
        if self.mischief and self.mischief[0] == "due raises":
            raise RuntimeError
        return self.inner.due

    def strange(self, batches):
        what = self.mischief.popleft() if self.mischief else "nothing"
        if what == "raise":
            raise RuntimeError("a bug")
        if what == "none":
            return None
        if what == "drop":
            return batches[1:]
        if what == "empty":
            return [Batch(""), *batches, Batch("")]
        if what == "invent":
            return [*batches, Batch("never said")]
        if what == "strings":
            return [batch.text for batch in batches] or ["x"]
        if what == "bytes":
            return [Batch(batch.text.encode()) for batch in batches] or [Batch(b"x")]
        if what == "repeat":
            return [*batches, *batches]
        if what == "half, then raise":
            return (batch if batch is not None else 1 // 0 for batch in [*batches, None])
        return batches

    def feed(self, text, now):
        return self.strange(self.inner.feed(text, now))

    def tick(self, now):
        return self.strange(self.inner.tick(now))

    def close(self, now):
        return self.strange(self.inner.close(now))

    def feedback(self, outcome, now):
        self.strange([])


MISCHIEF = [
    *("nothing", "raise", "none", "drop", "empty", "invent", "strings", "bytes", "repeat", "half, then raise"),
    *("due is past", "due is no time", "due is NaN", "due raises"),
]


@given(worlds(st.lists(st.sampled_from(MISCHIEF), max_size=8).map(Strange)))
@settings(max_examples=200, deadline=None)
def test_any_mistake_of_a_strategy(given):
    """A strategy that drops, makes up or repeats text, or raises, loses nothing and holds up nothing."""
    world, limit = given
    world.run()

    check(world, limit=limit)


# ---------------------------------------------------------------------------------------------------------------------
# The rules, one by one


def texts(batches):
    return [batch.text for batch in batches]


class TestGathering:
    def test_while_a_batch_is_in_hand(self):
        """Text that arrives while a batch is in hand goes out in the next one, with its times and deltas."""
        desk = a_desk()
        assert desk.arrive("one ", 1.0)
        first = desk.take(1.0)
        assert not desk.arrive("two ", 2.0)
        assert not desk.arrive("three", 3.0)
        desk.delivered(first, None, 4.0)
        second = desk.take(4.0)

        assert first.text == "one "
        assert (second.text, second.first_at, second.last_at, second.deltas) == ("two three", 2.0, 3.0, 2)
        assert (second.seq, second.offset) == (2, 4)

    def test_while_a_batch_is_held(self):
        """Text that arrives while a rate limit holds a batch back goes out with it, under the same number."""
        desk = a_desk()
        desk.arrive("one ", 0.0)
        desk.failed(desk.take(0.0), limited(10.0), 0.5)
        assert not desk.arrive("two", 1.0)

        assert desk.due == 11.5
        assert desk.take(11.4) is None
        batch = desk.take(11.5)
        assert (batch.text, batch.seq, batch.offset) == ("one two", 1, 0)
        assert desk.delivered(batch, None, 12.0).attempts == 1
        assert desk.report(Listener().completion).held_seconds == 11.0

    @pytest.mark.parametrize(
        "error",
        [
            status(_errors.ServiceUnavailable, 503),
            status(_errors.BadGateway, 502),
            status(_errors.GatewayTimeout, 504),
            _errors.AmbiguousDelivery("lost"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_what_may_have_been_taken_is_frozen(self, error):
        """A batch that the sink may have taken goes out again as it was, even after it was then refused."""
        desk = a_desk()
        desk.arrive("one ", 0.0)
        first = desk.take(0.0)
        desk.failed(first, error, 0.0)
        desk.arrive("two", 0.0)
        desk.failed(desk.take(10.0), limited(), 10.0)
        again = desk.take(20.0)
        delivery = desk.delivered(again, None, 20.0)

        assert again is first
        assert (3, isinstance(error, _errors.NetworkError)) == (delivery.attempts, delivery.resent)
        assert desk.take(20.0).text == "two"

    def test_empty_text(self):
        """Nothing is no news."""
        desk = a_desk()

        assert not desk.arrive("", 0.0)
        assert desk.due is None and desk.take(0.0) is None

    def test_halves_of_a_character(self):
        """The halves of a surrogate pair are joined, and one that stays alone is U+FFFD."""
        desk = a_desk(FinalOnly())
        for text in ("\ud83d", "\ude00", "\ud83d"):
            desk.arrive(text, 0.0)
        desk.end("complete", 0.0)

        assert desk.take(0.0).text == "😀\ufffd"

    def test_in_the_coalescers_time(self):
        """Without a failure it is the coalescer that says when text is due."""
        desk = a_desk(TimeSize(0.2, 500))

        assert desk.arrive("a", 1.0)
        assert not desk.arrive("b", 1.1)
        assert desk.due == 1.2
        assert desk.take(1.1) is None
        assert desk.take(1.25).text == "ab"
        assert desk.due is None

    def test_a_strategy_that_is_due_for_ever(self):
        """A strategy that is still due after its tick is asked again only when there is something new."""
        strange = Strange(["due is past"])
        strange.tick = lambda now: ()
        desk = a_desk(strange)
        strange.feed = lambda text, now: ()
        desk.arrive("a", 0.0)

        assert desk.due == -1.0
        assert desk.take(0.0) is None
        assert desk.due is None
        desk.arrive("b", 1.0)
        assert desk.due == -1.0


class TestFitting:
    def test_pieces(self):
        """What does not fit goes out in pieces that do, and the end apart if it needs the room."""
        desk = a_desk(fit=lambda batch: 3 - batch.final)
        desk.arrive("abcdefghi", 1.0)
        desk.end("complete", 2.0, finish_reason="stop")
        batches = []
        while not desk.done:
            batches.append(desk.take(2.0))
            desk.delivered(batches[-1], None, 2.0)

        assert texts(batches) == ["abc", "def", "ghi", ""]
        assert [batch.deltas for batch in batches] == [1, 0, 0, 0]
        assert [batch.final for batch in batches] == [False, False, False, True]
        assert (batches[-1].reason, batches[-1].total, batches[-1].finish_reason) == ("final", 9, "stop")

    @pytest.mark.parametrize("fit", [0, -1])
    def test_no_room(self, fit):
        """A sink that says it can take nothing is given a character at a time, and the end."""
        desk = a_desk(fit=lambda _: fit)
        desk.arrive("ab", 0.0)
        desk.end("complete", 0.0)
        batches = []
        while not desk.done:
            batches.append(desk.take(0.0))
            desk.delivered(batches[-1], None, 0.0)

        assert texts(batches) == ["a", "b", ""]

    @pytest.mark.parametrize("ended", [False, True])
    def test_fit_raises(self, ended):
        """An envelope without room for any text is the caller's mistake: it is raised, and all of the text is listed."""

        def fit(batch):
            raise _errors.InvalidArgument("max_payload_bytes", "leaves no room")

        desk = a_desk(fit=fit)
        desk.arrive("ab", 0.0)
        if ended:
            desk.end("complete", 0.0)
        with pytest.raises(_errors.InvalidArgument):
            desk.take(0.0)
        report = desk.report(Listener().completion)

        assert desk.done
        assert report.undelivered_text == "ab"
        assert ("complete" if ended else "error") == report.state
        assert [missing.batch.final for missing in report.undelivered] == [True]

    def test_artifacts(self):
        """A JSON value goes with the batch that holds its end, however batches are merged and cut."""
        artifacts = [Artifact("[1]", 0), Artifact("{}", 4, 1), Artifact("2", 7, 2)]
        strategy = Strange([])
        batches = iter([Batch("[1],", artifacts=(artifacts[0],)), Batch("{},2", artifacts=tuple(artifacts[1:]))])
        strategy.feed = lambda text, now: [next(batches)]
        strategy.close = lambda now: ()
        desk = a_desk(strategy, fit=lambda _: 5)
        desk.arrive("[1],", 0.0)
        desk.arrive("{},2", 0.0)
        desk.end("complete", 0.0)
        sent = []
        while not desk.done:
            sent.append(desk.take(0.0))
            desk.delivered(sent[-1], None, 0.0)

        assert [("[1],{", (artifacts[0],)), ("},2", tuple(artifacts[1:]))] == [(b.text, b.artifacts) for b in sent]


class TestBackPressure:
    def test_a_slow_sink(self):
        """The source waits while too much text waits for the sink."""
        desk = a_desk(max_backlog_bytes=5)
        desk.arrive("éé", 0.0)
        assert not desk.full
        batch = desk.take(0.0)
        desk.arrive("x", 0.0)
        assert desk.full
        desk.delivered(batch, None, 0.0)

        assert not desk.full

    def test_a_strategy_that_waits(self):
        """What the strategy alone holds back does not make the source wait, because only the source can end that."""
        desk = a_desk(FinalOnly(), max_backlog_bytes=5)
        desk.arrive("many bytes", 0.0)

        assert desk.due is None
        assert not desk.full

    def test_a_dead_sink(self):
        """A source that waits for a sink that is beyond hope goes on, and what waited is listed."""
        desk = a_desk(max_backlog_bytes=5)
        desk.arrive("many bytes", 0.0)
        for at in (0.0, 10.0, 20.0):
            assert desk.full
            assert desk.failed(desk.take(at), _errors.ConnectFailed("no way"), at) is None

        assert not desk.full and not desk.done
        report = desk.report(Listener().completion)
        assert [missing.text for missing in report.undelivered] == ["many bytes"]
        assert desk.arrive("more", 20.0)
        batch = desk.take(desk.due)
        assert (batch.text, batch.seq, batch.offset) == ("more", 2, 10)

    def test_a_hold_beyond_patience(self):
        """A backlog that grows full while the sink asks for more patience than there is is listed at once."""
        desk = a_desk(max_backlog_bytes=5)
        desk.arrive("many", 0.0)
        desk.failed(desk.take(0.0), _errors.AmbiguousDelivery("lost"), 0.0)
        desk.failed(desk.take(5.0), limited(1e6), 5.0)
        assert not desk.full
        desk.arrive(" bytes", 6.0)

        missing = desk.report(Listener().completion).undelivered
        assert [(lost.text, lost.ambiguous) for lost in missing] == [("many", True), (" bytes", False)]
        assert not desk.full


class TestTheEnd:
    def test_rides_with_the_last_text(self):
        """The end goes out with the text that waits."""
        desk = a_desk(TimeSize(1, 500))
        desk.arrive("all", 1.0)
        desk.end("complete", 2.0, finish_reason="stop")
        desk.end("error", 3.0, error=ValueError())
        batch = desk.take(2.0)

        assert desk.closing and not desk.arrive("too late", 2.0)
        assert (
            batch.text,
            batch.reason,
            batch.state,
            batch.finish_reason,
            batch.total,
        ) == ("all", "final", "complete", "stop", 3)
        desk.delivered(batch, None, 2.0)
        assert desk.done and desk.due is None and desk.take(3.0) is None

    def test_nothing_was_said(self):
        """A stream without text has an end, too."""
        desk = a_desk()
        desk.end("complete", 1.0)

        assert float("-inf") == desk.due
        batch = desk.take(1.0)
        assert (batch.text, batch.final, batch.total, batch.deltas) == ("", True, 0, 0)
        desk.failed(batch, limited(5.0), 1.0)
        assert desk.take(6.9) is None
        assert desk.take(7.0) == batch

    def test_waits_out_a_rate_limit(self):
        """The end is never dropped for a rate limit that ends in time, however often there is one."""
        desk = a_desk()
        desk.end("complete", 0.0)
        now = 0.0
        for _ in range(4):
            desk.failed(desk.take(now), limited(60.0), now)
            now = desk.due

        assert not desk.done
        assert desk.take(now).final

    def test_does_not_wait_for_ever(self):
        """A Retry-After beyond the bound ends the relay at once."""
        desk = a_desk()
        desk.arrive("text", 0.0)
        desk.end("complete", 0.0)
        desk.failed(desk.take(0.0), limited(60.5), 0.0)
        (missing,) = desk.report(Listener().completion).undelivered

        assert desk.done and desk.due is None
        assert (missing.text, missing.batch.final, missing.ambiguous) == ("text", True, False)
        assert isinstance(missing.error, _errors.RateLimited)

    @pytest.mark.parametrize(("ends_at", "done"), [(30.0, True), (50.0, False)])
    def test_waits_for_what_is_left(self, ends_at, done):
        """What counts at the end is how much of a Retry-After is left."""
        desk = a_desk()
        desk.arrive("text", 0.0)
        desk.failed(desk.take(0.0), limited(100.0), 0.0)
        desk.end("complete", ends_at)

        assert done == desk.done
        assert (30.0 if done else 0.0) == desk.report(Listener().completion).held_seconds

    def test_has_all_the_patience(self):
        """Failures before the end do not count against it."""
        desk = a_desk()
        desk.arrive("text", 0.0)
        for at in range(0, 50, 10):
            desk.failed(desk.take(at), _errors.ConnectFailed("no way"), at)
        desk.end("complete", 41.0)
        for at in (50, 60):
            desk.failed(desk.take(at), _errors.ConnectFailed("no way"), at)
            assert not desk.done
        desk.failed(desk.take(70), _errors.ConnectFailed("no way"), 70)

        assert desk.done

    def test_gives_up_in_time(self):
        """The end is tried no longer than for `give_up_after` seconds."""
        desk = a_desk(give_up_after=100.0)
        desk.end("complete", 0.0)
        now = 0.0
        while not desk.done:
            desk.failed(desk.take(now), limited(30.0), now)
            now = desk.due or now

        assert 64.0 < now <= 100.0

    def test_success_restores_patience(self):
        """A sink that takes a batch has not failed."""
        desk = a_desk(fit=lambda _: 1)
        desk.arrive("ab", 0.0)
        desk.end("complete", 0.0)
        for error in [_errors.ConnectFailed("no way")] * 2:
            desk.failed(desk.take(0.0), error, 0.0)
            desk.take(100.0)
            desk.delivered(desk._in_hand, None, 100.0)

        assert not desk.report(Listener().completion).undelivered

    @pytest.mark.parametrize("before", [None, _errors.AmbiguousDelivery("lost")])
    def test_is_refused(self, before):
        """An end that the sink will not have is listed; as ambiguous, if an earlier answer was lost."""
        desk = a_desk()
        desk.arrive("text", 0.0)
        desk.end("complete", 0.0)
        if before is not None:
            assert desk.failed(desk.take(0.0), before, 0.0) is None
        lost = desk.failed(desk.take(9.0), status(_errors.PermissionDenied, 403), 9.0)

        assert desk.done
        assert ("text", before is not None) == (lost.text, lost.ambiguous)
        assert (before is not None) == desk.report(Listener().completion).resent

    def test_cancelled_in_mid_hand(self):
        """What is in hand when the relay is abandoned may have been delivered; what was not handed over was not."""
        desk = a_desk()
        desk.arrive("one ", 0.0)
        desk.take(0.0)
        desk.arrive("two", 0.0)
        desk.end("cancelled", 1.0, finish_reason="CancelledError", error=KeyboardInterrupt())
        assert desk.take(1.0) is None
        enough = _errors.DeadlineExceeded("enough")
        desk.abandon(enough)
        desk.abandon(ValueError())
        report = desk.report(Listener().completion)

        assert desk.done
        assert [("one ", True, enough), ("two", False, enough)] == [
            (missing.text, missing.ambiguous, missing.error) for missing in report.undelivered
        ]
        assert report.state == "cancelled"
        assert isinstance(report.error, KeyboardInterrupt)

    def test_cancelled_with_the_end_in_hand(self):
        """There is one end, even if it is abandoned."""
        desk = a_desk()
        desk.end("cancelled", 0.0)
        final = desk.take(0.0)
        desk.failed(final, lost_in_hand(), 0.0)
        desk.abandon(ValueError())

        assert [final] == [missing.batch for missing in desk.report(Listener().completion).undelivered]

    def test_abandoned_before_the_end(self):
        """The sum holds even if nobody said that the stream is over."""
        desk = a_desk(TimeSize(1, 500))
        for text in ("one ", "two", "\ud83d"):
            desk.arrive(text, 0.0)
        desk.abandon(ValueError())
        report = desk.report(Listener().completion)

        assert (report.undelivered_text, report.state) == ("one two\ufffd", "streaming")

    def test_abandoned_with_nothing(self):
        """Where nothing was said and nothing ended, nothing is listed."""
        desk = a_desk()
        desk.abandon(ValueError())

        assert desk.done and not desk.report(Listener().completion).undelivered


class Learner(PassThrough):
    """Hears what became of its batches, and wants to be called an hour later."""

    due = None

    def __init__(self):
        super().__init__()
        self.heard = []

    def feedback(self, outcome, now):
        self.heard.append((outcome, now))
        self.due = now + 3600


class TestStrategies:
    def test_learning(self):
        """A strategy that learns is told of every outcome, and may change when it is due."""
        learner = Learner()
        desk = a_desk(learner)
        error, refusal = limited(), ValueError()
        desk.arrive("a", 0.0)
        desk.failed(desk.take(0.0), error, 1.0)
        desk.delivered(desk.take(9.0), "receipt", 9.5)
        assert desk.due == 3609.5
        desk.arrive("b", 10.0)
        desk.failed(desk.take(10.0), refusal, 11.0)

        assert [(error, 1.0), ("receipt", 9.5), (refusal, 11.0)] == learner.heard

    @pytest.mark.parametrize("given", [iter(()), [Batch("", "time", 0.0, 0.0, 0)]], ids=["none", "an empty one"])
    def test_nothing_given(self, given):
        """A strategy that gives no batch, in whatever kind of iterable, or no text in one, keeps what it was fed."""
        desk = a_desk(type("Waits", (PassThrough,), {"feed": lambda self, text, now: given})())

        assert not desk.arrive("a", 0.0)
        assert desk.take(0.0) is None
        desk.end("complete", 1.0)

        assert desk.take(1.0).text == "a"
        assert desk.report(Listener().completion).error is None

    @pytest.mark.parametrize("outcome", ["delivered", "failed"])
    def test_learning_raises(self, outcome):
        """A strategy that fails to learn holds nothing up, and its error is in the report."""
        learner = Learner()
        learner.feedback = None
        learner = type("Bad", (Learner,), {"feedback": lambda self, outcome, now: 1 // 0})()
        desk = a_desk(learner)
        desk.arrive("a", 0.0)
        batch = desk.take(0.0)
        if outcome == "delivered":
            desk.delivered(batch, None, 0.0)
        else:
            desk.failed(batch, limited(), 0.0)
        assert desk.arrive("b", 1.0) == (outcome == "delivered")
        desk.end("complete", 1.0)

        assert ("b" if outcome == "delivered" else "ab") == desk.take(1.0).text
        assert isinstance(desk.report(Listener().completion).error, ZeroDivisionError)

    @pytest.mark.parametrize(
        "mischief",
        [
            *(["raise"], ["none"], ["invent"], ["strings"], ["bytes"], ["repeat"], ["half, then raise"]),
            *(["nothing", "due raises"], ["nothing", "due is no time"], ["nothing", "due is NaN"]),
        ],
        ids=lambda mischief: mischief[-1],
    )
    def test_mistakes_are_told(self, mischief):
        """A strategy that breaks its protocol is asked no more, the text goes out at once, and the report has the error."""
        desk = a_desk(Strange(mischief))
        assert desk.arrive("exactly 18 letters", 0.0)
        assert not desk.arrive("!", 1.0)
        desk.end("complete", 2.0)
        final = desk.take(2.0)

        assert final.text == "exactly 18 letters!"
        assert final.state == "complete"
        error = desk.report(Listener().completion).error
        if "raise" in mischief[-1]:
            assert isinstance(error, (RuntimeError, ZeroDivisionError))
        else:
            assert error.argument == "coalescer"

    def test_what_a_strategy_keeps(self):
        """What a strategy keeps for itself goes out at the end."""
        desk = a_desk(Strange(["nothing", "drop"]))
        desk.arrive("kept", 0.0)
        desk.end("complete", 1.0)

        assert desk.take(1.0).text == "kept"
        assert desk.report(Listener().completion).error is None

    def test_the_streams_error_comes_first(self):
        """Where both the source and the strategy failed, the report has the source's error."""
        desk = a_desk(Strange(["raise"]))
        desk.arrive("text", 0.0)
        error = _errors.ConnectionLost("gone")
        desk.end("error", 1.0, error=error)

        assert desk.report(Listener().completion).error is error

    def test_not_asked_after_the_end(self):
        """After its end a strategy may serve another stream, and is no longer asked when it is due."""
        inner = TimeSize()
        desk = a_desk(inner)
        desk.end("complete", 0.0)
        inner.feed("of another stream", 0.0)
        batch = desk.take(100.0)

        assert batch.text == ""
        assert inner.due is not None


class TestListening:
    def test_chunks_and_strings(self):
        """Chunks and strings are heard alike."""
        listener = Listener()

        assert listener.hear("Hi") == "Hi"
        assert listener.hear(CompletionChunk({"choices": []})) == ""
        assert listener.hear(CompletionChunk.of_text("!", finish_reason="stop")) == "!"
        assert (listener.completion.text, finish_reason_of(listener, None)) == ("Hi!", "stop")

    def test_anything_else(self):
        """Anything else is refused by the name of its kind."""
        with pytest.raises(_errors.InvalidArgument, match="int"):
            Listener().hear(1)

    def test_how_it_ended(self):
        """The end says how the source ended: whole, or with an error by its name; Ctrl-C is none of its own."""
        error = _errors.StreamTruncated("half")

        assert (state_after(None), state_after(error)) == ("complete", "error")
        assert state_after(KeyboardInterrupt()) == "cancelled"
        assert finish_reason_of(Listener(), error) == "StreamTruncated"
        assert lost_in_hand().retryable


class TestTooLarge:
    def test_what_is_too_large_is_cut_and_sent_again(self):
        """A 413 is a definite refusal: smaller pieces go out at once, and what was too large is not tried again."""
        desk = a_desk()
        desk.arrive("abcdefgh", 0.0)
        desk.end("complete", 0.0)
        taken = []
        while not desk.done:
            batch = desk.take(1.0)
            if len(batch.text) > 2:
                assert desk.failed(batch, status(_errors.PayloadTooLarge, 413), 1.0) is None
            else:
                taken.append(batch)
                desk.delivered(batch, None, 1.0)

        assert [batch.text for batch in taken] == ["ab", "cd", "ef", "gh"]
        assert [batch.seq for batch in taken] == [1, 2, 3, 4]
        assert taken[-1].final

    def test_characters_of_several_code_points_stay_whole(self):
        """A reader sees no cut, as with any other limit."""
        family = "👩\u200d👩\u200d👧"
        desk = a_desk()
        desk.arrive(family * 5, 0.0)
        desk.end("complete", 0.0)
        taken = []
        while not desk.done:
            batch = desk.take(1.0)
            if len(batch.text.encode()) > 40:
                desk.failed(batch, status(_errors.PayloadTooLarge, 413), 1.0)
            else:
                taken.append(batch.text)
                desk.delivered(batch, None, 1.0)

        assert taken == [family * 2, family * 2, family]

    @pytest.mark.parametrize("mode", ["tail", "snapshot"])
    def test_what_is_repeated_gives_way_first(self, mode):
        """A payload is filled up with the text before it, so that a smaller piece of new text alone is no smaller."""
        envelope = Envelope(["phone"], mode=mode)
        desk = Desk(PassThrough(), stream_id="s", retry=Retry(), fit=envelope.fit, history=envelope.history)
        screen, refused = StreamAssembler(), 0
        words = [f"word {number}, " for number in range(300)]
        for now, word in enumerate(words):
            desk.arrive(word, float(now))
            if word == words[-1]:
                desk.end("complete", float(now))
            while (batch := desk.take(float(now))) is not None:
                if len(envelope.encode(batch)) > 900:
                    refused += 1
                    assert desk.failed(batch, status(_errors.PayloadTooLarge, 413), float(now)) is None
                else:
                    screen.receive(envelope.payload(batch))
                    desk.delivered(batch, None, float(now))

        assert screen.complete
        assert screen.text == "".join(words)
        assert refused < 5

    def test_a_single_character_cannot_be_cut(self):
        """What is refused at its smallest is listed, and the rest goes on."""
        desk = a_desk()
        desk.arrive("a", 0.0)
        desk.end("complete", 0.0)

        lost = desk.failed(desk.take(0.0), status(_errors.PayloadTooLarge, 413), 0.0)

        assert lost is not None
        assert lost.text == "a"


class TestHistory:
    def test_a_batch_brings_along_what_was_said_before_it(self):
        """As many characters of the text before as the sink has asked for; none at the beginning."""
        desk = Desk(PassThrough(), stream_id="s", retry=Retry(), history=4)
        before = []
        for now, text in enumerate(["one", " two", " three"]):
            desk.arrive(text, float(now))
            batch = desk.take(float(now))
            before.append(batch.before)
            desk.delivered(batch, None, float(now))

        assert before == ["", "one", " two"]
