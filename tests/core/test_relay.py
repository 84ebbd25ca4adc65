"""The state of a relay, driven in virtual time: whatever the sink and the strategy do, the account is right and comes to an end."""

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
from genesys_stream._core.relaying.coalescers.basic import FinalOnly, PassThrough, TimeSize
from genesys_stream._core.relaying.coalescers.combine import ImmediateFirst
from genesys_stream._core.relaying.coalescers.prose import Sentence
from genesys_stream._core.relaying.delivery import End
from genesys_stream._core.relaying.limits import Rate, RateLimits
from genesys_stream._core.relaying.payload import Envelope
from genesys_stream._core.relaying.relay import RelayState, SourceText, TurnRequest, end_of
from genesys_stream._core.relaying.sink import Channel
from genesys_stream._outlets import interrupted
from genesys_stream._values import Artifact, Completion, CompletionChunk
from genesys_stream._wire import join_surrogates

RETRY = Retry(attempts=3, wait_initial=1.0, wait_max=4.0, retry_after_max=60.0, jitter=lambda bound: bound)
ENVELOPE = Envelope(["device"])


def limited(retry_after=None):
    return _errors.RateLimited("slow down", status=429, retry_after=retry_after)


def status(cls, number):
    return cls("no", status=number)


class Relaying:
    """A relay's state, and whoever runs it: its limiter answers at once."""

    def __init__(self, coalescer=None, *, encode=None, max_bytes=None, repeat=0, limiter=None, **options):
        channel = None
        if encode is not None or limiter is not None or repeat:
            channel = Channel(encode=encode or (lambda batch: b""), max_bytes=max_bytes, repeat=repeat, limiter=limiter)
        options = {"stream_id": "s", "retry": RETRY, "channel": channel, **options}
        self.state = RelayState(PassThrough() if coalescer is None else coalescer, **options)
        self.push = None

    def __getattr__(self, name):
        return getattr(self.state, name)

    def take(self, now):
        """The batch to send now, or None."""
        while isinstance(wanted := self.state.next(now), TurnRequest):
            self.state.turn_answered(wanted.turn.request(now, final=wanted.final), now)
        if wanted is None:
            return None
        self.push = wanted
        return wanted.batch

    def delivered(self, batch, receipt, now):
        assert batch is self.push.batch
        return self.state.succeeded(self.push, receipt)

    def failed(self, batch, error, now):
        assert batch is self.push.batch
        return self.state.failed(self.push, error, now)

    def end(self, state, now, *, finish_reason=None, error=None):
        self.state.end(End(state, now, finish_reason, error))

    @property
    def account(self):
        return self.state.report(Completion())


def room_for(limit):
    """A channel whose payloads hold so many characters."""
    return {"encode": lambda batch: b"x" * len(batch.text), "max_bytes": limit}


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
    """A source, a relay and a sink in virtual time."""

    relay: Relaying
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
        relay, waiting, answers = self.relay, deque(self.deltas), deque(self.answers)
        self.now = self.started = waiting[0][1] if waiting else 0.0
        cancel = None if self.cancel_after is None else self.started + self.cancel_after
        abandon, hand = None, None
        for _ in range(20_000):
            if relay.finished:
                return self
            if hand is None and (batch := relay.take(self.now)) is not None:
                answer = answers.popleft() if answers else self.after
                self.handed.append((batch, answer))
                hand = batch, answer, self.now + answer.seconds
                assert relay.due is None
                assert relay.take(self.now) is None
            elif hand is None:
                assert relay.due is None or relay.due > self.now, "nothing to take, and yet due: a busy loop"
            times = []
            if hand is not None:
                times.append((hand[2], "answer"))
            elif relay.due is not None:
                times.append((relay.due, "due"))
            if not relay.ended and not (waiting and relay.full):
                times.append((waiting[0][1] if waiting else self.now, "arrival" if waiting else "end"))
            if cancel is not None and not relay.ended:
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
                    assert relay.delivered(batch, "receipt", self.now).receipt == "receipt"
                else:
                    lost = relay.failed(batch, answer.error, self.now)
                    smaller = isinstance(answer.error, _errors.PayloadTooLarge) and lost is None
                    assert smaller or (lost is None) == bool(getattr(answer.error, "retryable", False))
            elif what == "arrival":
                before = relay.due
                text = waiting.popleft()[0]
                self.said += text
                look = relay.feed(text, self.now)
                assert look == (relay.due is not None and (before is None or relay.due < before))
            elif what == "end":
                relay.end("complete", self.now, finish_reason="stop")
            elif what == "cancel":
                relay.end("cancelled", self.now, finish_reason="KeyboardInterrupt", error=KeyboardInterrupt())
                if self.abandon_after is not None:
                    abandon = self.now + self.abandon_after
            elif what == "abandon":
                relay.fail_remaining(_errors.DeadlineExceeded("enough"))
        raise AssertionError("it does not come to an end")


def check(world, *, limit=None):
    """What holds after any run."""
    report = world.relay.account
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
    limit = draw(st.none() | st.integers(1, 12))
    relay = Relaying(
        draw(coalescer),
        **({} if limit is None else room_for(limit)),
        retry=evolve(RETRY, jitter=draw(st.sampled_from([lambda bound: bound, lambda bound: bound / 8]))),
        limiter=draw(
            st.none() | st.sampled_from([(1, 1.0), (3, 0.1)]).map(lambda rate: RateLimits().limiter(["a"], Rate(*rate)))
        ),
        give_up_after=draw(st.sampled_from([0.0, 10.0, 300.0])),
        max_backlog_bytes=draw(st.sampled_from([1, 20, 2**20])),
    )
    world = World(
        relay,
        draw(deltas()),
        draw(st.lists(_oks | _failures, max_size=12)),
        draw(_oks | _failures),
        draw(st.none() | st.sampled_from([0.0, 0.1, 1.0, 5.0, 100.0])),
        draw(st.none() | st.sampled_from([0.0, 0.1, 1.0, 5.0])),
    )
    return world, limit


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
    world = World(Relaying(coalescer, retry=evolve(RETRY, attempts=8), give_up_after=1e4), deltas, answers).run()

    assert check(world).undelivered == ()


class Strange:
    """A coalescer that does what it should, until it does not."""

    def __init__(self, mischief):
        self.inner = TimeSize(0.25, 9)
        self.mischief = deque(mischief)

    def due(self, waiting):
        what = self.mischief[0] if self.mischief else "nothing"
        if what == "due is past":
            return -1.0
        if what == "due is no time":
            return "soon"
        if what == "due is NaN":
            return float("nan")
        if what == "due raises":
            raise RuntimeError
        return self.inner.due(waiting)

    def cut(self, waiting, now):
        what = self.mischief.popleft() if self.mischief else "nothing"
        n = self.inner.cut(waiting, now)
        if what == "raise":
            raise RuntimeError("a bug")
        if what == "half, then raise":
            self.mischief.appendleft("raise")
            return max(1, waiting.length // 2)
        odd = {"none": None, "negative": -1, "too many": waiting.length + 1, "a float": 1.0, "text": waiting.text}
        return odd.get(what, n)


MISCHIEF = [
    *("nothing", "raise", "none", "negative", "too many", "a float", "text", "half, then raise"),
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
        relay = Relaying()
        assert relay.feed("one ", 1.0)
        first = relay.take(1.0)
        assert not relay.feed("two ", 2.0)
        assert not relay.feed("three", 3.0)
        relay.delivered(first, None, 4.0)
        second = relay.take(4.0)

        assert first.text == "one "
        assert (second.text, second.first_at, second.last_at, second.deltas) == ("two three", 2.0, 3.0, 2)
        assert (second.seq, second.offset) == (2, 4)

    def test_while_a_batch_is_held(self):
        """Text that arrives while a rate limit holds a batch back goes out with it, under the same number."""
        relay = Relaying()
        relay.feed("one ", 0.0)
        relay.failed(relay.take(0.0), limited(10.0), 0.5)
        assert not relay.feed("two", 1.0)

        assert relay.due == 11.5
        assert relay.take(11.4) is None
        batch = relay.take(11.5)
        assert (batch.text, batch.seq, batch.offset) == ("one two", 1, 0)
        assert relay.delivered(batch, None, 12.0).attempts == 1
        assert relay.account.held_seconds == 11.0

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
        relay = Relaying()
        relay.feed("one ", 0.0)
        first = relay.take(0.0)
        relay.failed(first, error, 0.0)
        relay.feed("two", 0.0)
        relay.failed(relay.take(10.0), limited(), 10.0)
        again = relay.take(20.0)
        delivery = relay.delivered(again, None, 20.0)

        assert again is first
        assert (3, isinstance(error, _errors.NetworkError)) == (delivery.attempts, delivery.resent)
        assert relay.take(20.0).text == "two"

    def test_empty_text(self):
        """Nothing is no news."""
        relay = Relaying()

        assert not relay.feed("", 0.0)
        assert relay.due is None and relay.take(0.0) is None

    def test_halves_of_a_character(self):
        """The halves of a surrogate pair are joined, and one that stays alone is U+FFFD."""
        relay = Relaying(FinalOnly())
        for text in ("\ud83d", "\ude00", "\ud83d"):
            relay.feed(text, 0.0)
        relay.end("complete", 0.0)

        assert relay.take(0.0).text == "😀\ufffd"

    def test_in_the_coalescers_time(self):
        """Without a failure it is the coalescer that says when text is due."""
        relay = Relaying(TimeSize(0.2, 500))

        assert relay.feed("a", 1.0)
        assert not relay.feed("b", 1.1)
        assert relay.due == 1.2
        assert relay.take(1.1) is None
        assert relay.take(1.25).text == "ab"
        assert relay.due is None

    def test_a_strategy_that_is_due_for_ever(self):
        """A strategy that wants to be asked at a time that has passed is asked again when there is something new."""
        waits = type("Waits", (), {"cut": lambda self, waiting, now: 0, "due": lambda self, waiting: -1.0})()
        relay = Relaying(waits)
        assert not relay.feed("a", 0.0)
        assert relay.due is None
        assert relay.take(0.0) is None
        assert not relay.feed("b", 1.0)
        relay.end("complete", 2.0)

        assert relay.take(2.0).text == "ab"


class TestFitting:
    def test_pieces(self):
        """What does not fit goes out in pieces that do, and the end apart if it needs the room."""
        relay = Relaying(encode=lambda batch: b"x" * (len(batch.text) + batch.final), max_bytes=3)
        relay.feed("abcdefghi", 1.0)
        relay.end("complete", 2.0, finish_reason="stop")
        batches = []
        while not relay.finished:
            batches.append(relay.take(2.0))
            relay.delivered(batches[-1], None, 2.0)

        assert texts(batches) == ["abc", "def", "ghi", ""]
        assert [batch.deltas for batch in batches] == [1, 0, 0, 0]
        assert [batch.final for batch in batches] == [False, False, False, True]
        assert (batches[-1].total, batches[-1].finish_reason) == (9, "stop")

    @pytest.mark.parametrize("ended", [False, True])
    def test_no_room(self, ended):
        """A channel whose payloads have no room for a character is the caller's mistake: it is raised and listed."""
        relay = Relaying(encode=lambda batch: b"x" * (9 + len(batch.text)), max_bytes=9)
        relay.feed("ab", 0.0)
        if ended:
            relay.end("complete", 0.0)
        with pytest.raises(_errors.InvalidArgument, match=r"leaves no room .* the payload has 10 bytes"):
            relay.take(0.0)

        assert relay.finished
        assert relay.account.undelivered_text == "ab"

    @pytest.mark.parametrize("ended", [False, True])
    def test_encode_raises(self, ended):
        """What makes the payload and fails is the caller's mistake: it is raised, and all of the text is listed."""

        def encode(batch):
            raise _errors.InvalidArgument("title", "must be made by its callable as a string")

        relay = Relaying(encode=encode)
        relay.feed("ab", 0.0)
        if ended:
            relay.end("complete", 0.0)
        with pytest.raises(_errors.InvalidArgument):
            relay.take(0.0)
        report = relay.account

        assert relay.finished
        assert report.undelivered_text == "ab"
        assert ("complete" if ended else "error") == report.state
        assert [missing.batch.final for missing in report.undelivered] == [True]

    def test_artifacts(self):
        """A JSON value goes with the batch that holds its end, however batches are merged and cut."""
        artifacts = [Artifact("[1]", 0), Artifact("{}", 4, 1), Artifact("2", 7, 2)]

        class Finds(PassThrough):
            def cut(self, waiting, now):
                for artifact in artifacts[0:1] if waiting.start == 0 else artifacts[1:]:
                    waiting.attach(artifact, artifact.end)
                return waiting.length

        relay = Relaying(Finds(), **room_for(5))
        relay.feed("[1],", 0.0)
        relay.feed("{},2", 0.0)
        relay.end("complete", 0.0)
        sent = []
        while not relay.finished:
            sent.append(relay.take(0.0))
            relay.delivered(sent[-1], None, 0.0)

        assert [("[1],{", (artifacts[0],)), ("},2", tuple(artifacts[1:]))] == [(b.text, b.artifacts) for b in sent]


class TestBackPressure:
    def test_a_slow_sink(self):
        """The source waits while too much text waits for the sink."""
        relay = Relaying(max_backlog_bytes=5)
        relay.feed("éé", 0.0)
        assert not relay.full
        batch = relay.take(0.0)
        relay.feed("x", 0.0)
        assert relay.full
        relay.delivered(batch, None, 0.0)

        assert not relay.full

    def test_a_strategy_that_waits(self):
        """What the strategy alone holds back does not make the source wait, because only the source can end that."""
        relay = Relaying(FinalOnly(), max_backlog_bytes=5)
        relay.feed("many bytes", 0.0)

        assert relay.due is None
        assert not relay.full

    def test_a_dead_sink(self):
        """A source that waits for a sink that is beyond hope goes on, and what waited is listed."""
        relay = Relaying(max_backlog_bytes=5)
        relay.feed("many bytes", 0.0)
        for at in (0.0, 10.0, 20.0):
            assert relay.full
            assert relay.failed(relay.take(at), _errors.ConnectFailed("no way"), at) is None

        assert not relay.full and not relay.finished
        report = relay.account
        assert [missing.text for missing in report.undelivered] == ["many bytes"]
        assert relay.feed("more", 20.0)
        batch = relay.take(relay.due)
        assert (batch.text, batch.seq, batch.offset) == ("more", 2, 10)

    def test_a_hold_beyond_patience(self):
        """A backlog that grows full while the sink asks for a longer wait than is allowed is listed at once."""
        relay = Relaying(max_backlog_bytes=5)
        relay.feed("many", 0.0)
        relay.failed(relay.take(0.0), _errors.AmbiguousDelivery("lost"), 0.0)
        relay.failed(relay.take(5.0), limited(1e6), 5.0)
        assert not relay.full
        relay.feed(" bytes", 6.0)

        missing = relay.account.undelivered
        assert [(lost.text, lost.ambiguous) for lost in missing] == [("many", True), (" bytes", False)]
        assert not relay.full


class TestTheEnd:
    def test_rides_with_the_last_text(self):
        """The end goes out with the text that waits."""
        relay = Relaying(TimeSize(1, 500))
        relay.feed("all", 1.0)
        relay.end("complete", 2.0, finish_reason="stop")
        relay.end("error", 3.0, error=ValueError())
        batch = relay.take(2.0)

        assert relay.ended and not relay.feed("too late", 2.0)
        assert (
            batch.text,
            batch.state,
            batch.finish_reason,
            batch.total,
        ) == ("all", "complete", "stop", 3)
        relay.delivered(batch, None, 2.0)
        assert relay.finished and relay.due is None and relay.take(3.0) is None

    def test_nothing_was_said(self):
        """A stream without text has an end, too."""
        relay = Relaying()
        relay.end("complete", 1.0)

        assert float("-inf") == relay.due
        batch = relay.take(1.0)
        assert (batch.text, batch.final, batch.total, batch.deltas) == ("", True, 0, 0)
        relay.failed(batch, limited(5.0), 1.0)
        assert relay.take(6.9) is None
        assert relay.take(7.0) == batch

    def test_waits_out_a_rate_limit(self):
        """The end is never dropped for a rate limit that ends in time, however often there is one."""
        relay = Relaying()
        relay.end("complete", 0.0)
        now = 0.0
        for _ in range(4):
            relay.failed(relay.take(now), limited(60.0), now)
            now = relay.due

        assert not relay.finished
        assert relay.take(now).final

    def test_does_not_wait_for_ever(self):
        """A Retry-After beyond the bound ends the relay at once."""
        relay = Relaying()
        relay.feed("text", 0.0)
        relay.end("complete", 0.0)
        relay.failed(relay.take(0.0), limited(60.5), 0.0)
        (missing,) = relay.account.undelivered

        assert relay.finished and relay.due is None
        assert (missing.text, missing.batch.final, missing.ambiguous) == ("text", True, False)
        assert isinstance(missing.error, _errors.RateLimited)

    @pytest.mark.parametrize(("ends_at", "done"), [(30.0, True), (50.0, False)])
    def test_waits_for_what_is_left(self, ends_at, done):
        """What counts at the end is how much of a Retry-After is left."""
        relay = Relaying()
        relay.feed("text", 0.0)
        relay.failed(relay.take(0.0), limited(100.0), 0.0)
        relay.end("complete", ends_at)

        assert done == relay.finished
        assert (30.0 if done else 0.0) == relay.account.held_seconds

    def test_has_all_the_patience(self):
        """Failures before the end do not count against it."""
        relay = Relaying()
        relay.feed("text", 0.0)
        for at in range(0, 50, 10):
            relay.failed(relay.take(at), _errors.ConnectFailed("no way"), at)
        relay.end("complete", 41.0)
        for at in (50, 60):
            relay.failed(relay.take(at), _errors.ConnectFailed("no way"), at)
            assert not relay.finished
        relay.failed(relay.take(70), _errors.ConnectFailed("no way"), 70)

        assert relay.finished

    def test_gives_up_in_time(self):
        """The end is tried no longer than for `give_up_after` seconds."""
        relay = Relaying(give_up_after=100.0)
        relay.end("complete", 0.0)
        now = 0.0
        while not relay.finished:
            relay.failed(relay.take(now), limited(30.0), now)
            now = relay.due or now

        assert 64.0 < now <= 100.0

    def test_success_restores_patience(self):
        """A sink that takes a batch has not failed."""
        relay = Relaying(**room_for(1))
        relay.feed("ab", 0.0)
        relay.end("complete", 0.0)
        for error in [_errors.ConnectFailed("no way")] * 2:
            relay.failed(relay.take(0.0), error, 0.0)
            relay.take(100.0)
            relay.delivered(relay.push.batch, None, 100.0)

        assert not relay.account.undelivered

    @pytest.mark.parametrize("before", [None, _errors.AmbiguousDelivery("lost")])
    def test_is_refused(self, before):
        """An end that the sink will not have is listed; as ambiguous, if an earlier answer was lost."""
        relay = Relaying()
        relay.feed("text", 0.0)
        relay.end("complete", 0.0)
        if before is not None:
            assert relay.failed(relay.take(0.0), before, 0.0) is None
        lost = relay.failed(relay.take(9.0), status(_errors.PermissionDenied, 403), 9.0)

        assert relay.finished
        assert ("text", before is not None) == (lost.text, lost.ambiguous)
        assert (before is not None) == relay.account.resent

    def test_cancelled_in_mid_hand(self):
        """What is in hand when the relay is abandoned may have been delivered; what was not handed over was not."""
        relay = Relaying()
        relay.feed("one ", 0.0)
        relay.take(0.0)
        relay.feed("two", 0.0)
        relay.end("cancelled", 1.0, finish_reason="CancelledError", error=KeyboardInterrupt())
        assert relay.take(1.0) is None
        enough = _errors.DeadlineExceeded("enough")
        relay.fail_remaining(enough)
        relay.fail_remaining(ValueError())
        report = relay.account

        assert relay.finished
        assert [("one ", True, enough), ("two", False, enough)] == [
            (missing.text, missing.ambiguous, missing.error) for missing in report.undelivered
        ]
        assert report.state == "cancelled"
        assert isinstance(report.error, KeyboardInterrupt)

    def test_cancelled_with_the_end_in_hand(self):
        """There is one end, even if it is abandoned."""
        relay = Relaying()
        relay.end("cancelled", 0.0)
        final = relay.take(0.0)
        relay.failed(final, interrupted(), 0.0)
        relay.fail_remaining(ValueError())

        assert [final] == [missing.batch for missing in relay.account.undelivered]

    def test_abandoned_before_the_end(self):
        """The sum holds even if nobody said that the stream is over."""
        relay = Relaying(TimeSize(1, 500))
        for text in ("one ", "two", "\ud83d"):
            relay.feed(text, 0.0)
        relay.fail_remaining(ValueError())
        report = relay.account

        assert (report.undelivered_text, report.state) == ("one two\ufffd", "streaming")

    def test_abandoned_with_nothing(self):
        """Where nothing was said and nothing ended, nothing is listed."""
        relay = Relaying()
        relay.fail_remaining(ValueError())

        assert relay.finished and not relay.account.undelivered


class TestStrategies:
    @pytest.mark.parametrize(
        "mischief",
        [
            *(["raise"], ["none"], ["negative"], ["too many"], ["a float"], ["text"], ["half, then raise"]),
            *(["nothing", "due raises"], ["nothing", "due is no time"], ["nothing", "due is NaN"]),
        ],
        ids=lambda mischief: mischief[-1],
    )
    def test_mistakes_are_reported(self, mischief):
        """A strategy that breaks its protocol is replaced, the text goes out at once, and the report has the error."""
        relay = Relaying(Strange(mischief))
        assert relay.feed("8 chars.", 0.0)
        assert not relay.feed("!", 1.0)
        relay.end("complete", 2.0)
        final = relay.take(2.0)

        assert final.text == "8 chars.!"
        assert final.state == "complete"
        error = relay.account.error
        if "raise" in mischief[-1]:
            assert isinstance(error, RuntimeError)
        else:
            assert error.argument == "coalescer"

    def test_a_mistake_at_the_end(self):
        """And one that is made when the stream ends or a time has come loses nothing either."""
        ends = Relaying(Strange(["nothing", "raise"]))
        ends.feed("a", 0.0)
        ends.end("complete", 0.0)
        ticks = Relaying(Strange(["nothing", "raise"]))
        ticks.feed("a", 0.0)

        assert ends.take(0.0).text == "a"
        assert ticks.take(0.25).text == "a"
        assert isinstance(ticks.account.error, RuntimeError)
        assert isinstance(ends.account.error, RuntimeError)

    def test_the_streams_error_comes_first(self):
        """Where both the source and the strategy failed, the report has the source's error."""
        relay = Relaying(Strange(["raise"]))
        relay.feed("text", 0.0)
        error = _errors.ConnectionLost("gone")
        relay.end("error", 1.0, error=error)

        assert relay.account.error is error

    def test_one_strategy_serves_two_relays(self):
        """It has no text of its own, so that the end of one relay changes nothing for the other."""
        shared = TimeSize()
        one, two = Relaying(shared), Relaying(shared)
        one.feed("of one", 0.0)
        two.feed("of another", 0.1)
        one.end("complete", 0.15)

        assert one.take(0.15).text == "of one"
        assert two.due == pytest.approx(0.3)
        assert two.take(two.due).text == "of another"


class TestSources:
    def test_chunks_and_strings(self):
        """Chunks and strings are accumulated alike."""
        source = SourceText()

        assert source.accumulate("Hi") == "Hi"
        assert source.accumulate(CompletionChunk({"choices": []})) == ""
        assert source.accumulate(CompletionChunk.of_text("!", finish_reason="stop")) == "!"
        assert (source.completion.text, source.completion.finish_reason) == ("Hi!", "stop")

    def test_anything_else(self):
        """Anything else is refused by the name of its kind."""
        with pytest.raises(_errors.InvalidArgument, match="int"):
            SourceText().accumulate(1)

    def test_how_it_ended(self):
        """The end says how the source ended: whole, or with an error by its name; Ctrl-C is a cancellation."""
        error, stop = _errors.StreamTruncated("half"), KeyboardInterrupt()

        assert end_of(None, "stop", 1.0) == End("complete", 1.0, "stop")
        assert end_of(error, None, 1.0) == End("error", 1.0, "StreamTruncated", error)
        assert end_of(stop, None, 1.0) == End("cancelled", 1.0, "KeyboardInterrupt", stop)
        assert interrupted().retryable


class TestInvalidToken:
    def gone(self):
        return _errors.InvalidToken("unregistered", since=1e9)

    def test_nothing_more_is_sent(self):
        """The first answer ends the pushing; it is returned once, and all of the rest is one entry of the report."""
        relay, error = Relaying(), self.gone()
        relay.feed("one ", 0.0)
        lost = relay.failed(relay.take(0.0), error, 0.0)
        for text in ("two ", "three"):
            assert not relay.feed(text, 1.0)
            assert relay.due is None and relay.take(1.0) is None and not relay.full
        relay.end("complete", 2.0, finish_reason="stop")
        report = relay.account

        assert (lost.text, lost.error, relay.dead) == ("one ", error, error)
        assert relay.finished and relay.take_given_up() == []
        assert [(m.text, m.batch.final) for m in report.undelivered] == [("one ", False), ("two three", True)]
        assert {error} == {missing.error for missing in report.undelivered}

    @pytest.mark.parametrize("fed", [False, True])
    def test_at_the_end(self, fed):
        """The answer to the last push finishes the relay."""
        relay = Relaying(**room_for(1))
        relay.feed("ab" if fed else "a", 0.0)
        relay.end("complete", 0.0)
        relay.failed(relay.take(0.0), self.gone(), 0.0)

        assert relay.finished
        assert ("ab" if fed else "a") == relay.account.undelivered_text

    def test_a_backlog_does_not_stop_the_source(self):
        """A source is read to its end for the report, however much text nobody takes."""
        relay = Relaying(max_backlog_bytes=4)
        relay.feed("one ", 0.0)
        relay.failed(relay.take(0.0), self.gone(), 0.0)
        relay.feed("two, three, four", 0.0)

        assert not relay.full


class TestTurns:
    def test_a_turn_that_must_be_waited_for(self):
        """What is said meanwhile goes along; the time counts as paced; and the last push asks anew."""
        limits = RateLimits()
        relay = Relaying(limiter=limits.limiter(["phone"], Rate(2, 0.1)))
        relay.feed("one ", 0.0)
        relay.delivered(relay.take(0.0), None, 0.0)
        relay.feed("two ", 1.0)
        assert relay.take(1.0) is None
        assert relay.due == pytest.approx(10.0)
        relay.feed("three", 2.0)
        relay.end("complete", 3.0)
        batch = relay.take(3.0)

        assert (batch.text, batch.final) == ("two three", True)
        assert relay.account.paced_seconds == pytest.approx(2.0)

    def test_the_end_comes_while_a_limiter_elsewhere_is_asked(self):
        """Its answer for an ordinary push is not waited for: it is asked anew, for the last one."""
        relay = Relaying(limiter=RateLimits().limiter())
        relay.feed("text", 0.0)
        first = relay.state.next(0.0)
        relay.end("complete", 1.0)
        relay.turn_answered(60.0, 1.0)
        again = relay.state.next(1.0)

        assert (first.final, again.final) == (False, True)
        assert first.turn is again.turn
        relay.turn_answered(5.0, 1.0)
        assert relay.due == 5.0

    def test_a_429_blocks_the_limiter(self):
        """For as long as it asks, and as far as it says."""
        limits = RateLimits(Rate(10, 1.0))
        one = Relaying(limiter=limits.limiter(["a"], Rate(10, 1.0)))
        two = Relaying(limiter=limits.limiter(["b"], Rate(10, 1.0)))
        one.feed("x", 0.0)
        error = _errors.RateLimited("slow", status=429, retry_after=30.0, limit={"key": "token.rate.per.minute"})
        one.failed(one.take(0.0), error, 0.0)
        two.feed("y", 1.0)

        assert two.take(1.0) is None
        assert two.due >= 30.0

    def test_what_is_given_up_gives_its_turn_back(self):
        """So that nobody waits for it."""
        limits = RateLimits(Rate(1, 0.1))
        one, two = (Relaying(limiter=limits.limiter()) for _ in range(2))
        one.feed("x", 0.0)
        one.delivered(one.take(0.0), None, 0.0)
        two.feed("y", 0.0)
        assert two.take(0.0) is None
        two.fail_remaining(ValueError())
        one.feed("z", 1.0)
        one.take(1.0)

        assert one.due == pytest.approx(10.0)


class TestInterruptions:
    def test_what_was_said_and_not_fed(self):
        """The rest of what was said is taken when the relay is interrupted, also from the middle of a character on."""
        relay = Relaying(FinalOnly())
        relay.feed("one \ud83d", 0.0)
        relay.catch_up("one 😀 two", 1.0)
        relay.end("cancelled", 1.0)

        assert relay.take(1.0).text == "one 😀 two"

    def test_the_push_that_the_sink_has(self):
        """Whoever interrupts it must know which push may have been taken."""
        relay = Relaying()
        relay.feed("one", 0.0)
        assert relay.in_flight is None
        batch = relay.take(0.0)
        assert relay.in_flight.batch is batch
        relay.delivered(batch, None, 0.0)

        assert relay.in_flight is None


class TestGivingUp:
    def test_what_is_given_up_is_handed_out_once(self):
        """For whoever is to be told of it."""
        relay = Relaying(PassThrough(), retry=evolve(RETRY, attempts=1))
        relay.feed("text", 0.0)
        relay.end("complete", 0.0)
        relay.failed(relay.take(0.0), _errors.ConnectFailed("no way"), 0.0)

        assert [lost.text for lost in relay.take_given_up()] == ["text"]
        assert relay.take_given_up() == []


class TestTooLarge:
    def test_what_is_too_large_is_cut_and_sent_again(self):
        """A 413 is a definite refusal: smaller pieces go out at once, and what was too large is not tried again."""
        relay = Relaying()
        relay.feed("abcdefgh", 0.0)
        relay.end("complete", 0.0)
        taken = []
        while not relay.finished:
            batch = relay.take(1.0)
            if len(batch.text) > 2:
                assert relay.failed(batch, status(_errors.PayloadTooLarge, 413), 1.0) is None
            else:
                taken.append(batch)
                relay.delivered(batch, None, 1.0)

        assert [batch.text for batch in taken] == ["ab", "cd", "ef", "gh"]
        assert [batch.seq for batch in taken] == [1, 2, 3, 4]
        assert taken[-1].final

    def test_characters_of_several_code_points_stay_whole(self):
        """A reader sees no cut, as with any other limit."""
        family = "👩\u200d👩\u200d👧"
        relay = Relaying()
        relay.feed(family * 5, 0.0)
        relay.end("complete", 0.0)
        taken = []
        while not relay.finished:
            batch = relay.take(1.0)
            if len(batch.text.encode()) > 40:
                relay.failed(batch, status(_errors.PayloadTooLarge, 413), 1.0)
            else:
                taken.append(batch.text)
                relay.delivered(batch, None, 1.0)

        assert taken == [family * 2, family * 2, family]

    @pytest.mark.parametrize("mode", ["tail", "snapshot"])
    def test_what_is_repeated_gives_way_first(self, mode):
        """A payload is filled up with the text before it, so that a smaller piece of new text alone is no smaller."""
        envelope = Envelope(["phone"], mode=mode)
        relay = Relaying(encode=envelope.encode, max_bytes=envelope.max_payload_bytes, repeat=envelope.history)
        screen, refused = StreamAssembler(), 0
        words = [f"word {number}, " for number in range(300)]
        for now, word in enumerate(words):
            relay.feed(word, float(now))
            if word == words[-1]:
                relay.end("complete", float(now))
            while (batch := relay.take(float(now))) is not None:
                if len(envelope.encode(batch)) > 900:
                    refused += 1
                    assert relay.failed(batch, status(_errors.PayloadTooLarge, 413), float(now)) is None
                else:
                    screen.receive(envelope.payload(batch))
                    relay.delivered(batch, None, float(now))

        assert screen.complete
        assert screen.text == "".join(words)
        assert refused < 5

    def test_a_single_character_cannot_be_cut(self):
        """What is refused at its smallest is listed, and the rest goes on."""
        relay = Relaying()
        relay.feed("a", 0.0)
        relay.end("complete", 0.0)

        lost = relay.failed(relay.take(0.0), status(_errors.PayloadTooLarge, 413), 0.0)

        assert lost is not None
        assert lost.text == "a"


class TestHistory:
    def test_a_batch_brings_along_what_was_said_before_it(self):
        """As many characters of the text before as the sink has asked for; none at the beginning."""
        relay = Relaying(repeat=4)
        before = []
        for now, text in enumerate(["one", " two", " three"]):
            relay.feed(text, float(now))
            batch = relay.take(float(now))
            before.append(batch.before)
            relay.delivered(batch, None, float(now))

        assert before == ["", "one", " two"]
