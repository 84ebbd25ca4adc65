"""Rate limits: no span of time sees more pushes than its rate allows, and nobody waits for another one's device."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import assume, given, strategies as st

from genesys_stream._core.http.retry import Retry
from genesys_stream._core.relaying import limits as module
from genesys_stream._core.relaying.coalescers.basic import PassThrough
from genesys_stream._core.relaying.delivery import End, Push
from genesys_stream._core.relaying.limits import (
    ANDROID_BACKGROUND,
    ANDROID_FOREGROUND,
    APNS_ALERT,
    APNS_BACKGROUND,
    GENESYS,
    LIVE_ACTIVITY,
    Limiter,
    Profile,
    Rate,
    RateLimits,
    TokenBucket,
)
from genesys_stream._core.relaying.relay import RelayState, TurnRequest
from genesys_stream._core.relaying.sink import Channel
from genesys_stream._errors import InvalidArgument, RateLimited, ServiceUnavailable
from genesys_stream._values import Batch, Completion

rates = st.builds(Rate, st.integers(1, 20), st.floats(0.05, 20))
slow_rates = st.builds(Rate, st.integers(1, 4), st.floats(0.1, 5))
gaps = st.lists(st.floats(0, 3), min_size=1, max_size=60)
RETRY = Retry(jitter=lambda bound: 0.0)


def most_in_any_span(times: list[float], span: float) -> int:
    """Count the pushes of the fullest span, wherever it begins."""
    return max((sum(at <= other < at + span for other in times) for at in times), default=0)


def check_rate(rate: Rate, times: list[float]) -> None:
    """Check every span of time that begins and ends with a push."""
    times = sorted(times)
    for i, begin in enumerate(times):
        for j, end in enumerate(times[i:], 1):
            assert j <= rate.burst + (end - begin) * rate.per_second + 1e-6


def ask(limiter: Limiter, now: float, *, final: bool = True) -> float:
    """Request a turn of its own; returns when it may be used."""
    at = limiter.turn().request(now, final=final)
    assert isinstance(at, float)
    return at


class TestTokenBucket:
    @given(rates, gaps, st.floats(0.1, 60))
    def test_no_span_sees_more_than_the_burst_and_what_it_brings(
        self, rate: Rate, waits: list[float], span: float
    ) -> None:
        """In any span of time there are at most `burst + seconds * per_second` pushes."""
        bucket, now, times = TokenBucket(rate), 0.0, []
        for wait in waits:
            now += wait
            at = bucket.earliest(now)
            bucket.spend(at)
            times.append(at)

        assert most_in_any_span(times, span) <= rate.burst + span * rate.per_second + 1e-6

    @given(rates, gaps)
    def test_turns_are_in_order(self, rate: Rate, waits: list[float]) -> None:
        """Whoever asks later never comes earlier, and never waits longer than the rate asks for."""
        limiter, now, last = RateLimits(rate).limiter(), 0.0, 0.0
        for count, wait in enumerate(waits, 1):
            now += wait
            at = ask(limiter, now)

            assert at >= min(last, now)
            assert at - now <= max(0.0, (count - rate.burst) / rate.per_second) + 1e-6
            last = at

    def test_a_blocked_bucket_has_no_burst_afterwards(self) -> None:
        """After a 429 pushes go out one at a time."""
        bucket = TokenBucket(Rate(10, 2.0))
        bucket.block(5.0)

        times = []
        for _ in range(3):
            times.append(bucket.earliest(0.0))
            bucket.spend(times[-1])

        assert times == pytest.approx([5.0, 5.5, 6.0])

    @pytest.mark.parametrize(("burst", "per_second"), [(0, 1.0), (1, 0.0), (1, -1.0), (1, True), (1, "1"), (1, 1e10)])
    def test_a_rate_that_lets_nothing_through_is_refused(self, burst: int, per_second: float) -> None:
        """A rate has a burst of at least one, and brings something."""
        with pytest.raises(ValueError, match="must be"):
            Rate(burst, per_second)


class TestProfiles:
    @pytest.mark.parametrize(
        ("rate", "seconds", "most"),
        [
            (ANDROID_FOREGROUND.device, 60, 240),
            (ANDROID_FOREGROUND.device, 3600, 5000),
            (ANDROID_BACKGROUND.device, 180, 21),
            (APNS_ALERT.device, 60, 5),
            (APNS_BACKGROUND.device, 3600, 4),
            (LIVE_ACTIVITY.device, 60, 8),
            (GENESYS, 60, 300),
        ],
    )
    def test_a_profile_keeps_the_vendor_s_limit(self, rate: Rate, seconds: float, most: int) -> None:
        """The vendors' numbers hold in any span, by arithmetic."""
        assert rate.burst + rate.per_second * seconds <= most

    @pytest.mark.parametrize(
        "fields", [{"device": 4}, {"device": GENESYS, "window": -1.0}, {"device": GENESYS, "visible": 1}]
    )
    def test_a_profile_is_checked(self, fields: dict[str, Any]) -> None:
        """What is no rate and no time is refused by its name."""
        with pytest.raises(InvalidArgument, match="must be"):
            Profile(**fields)


class TestRateLimits:
    def test_sinks_share_a_device_s_bucket(self) -> None:
        """Two relays to one phone spend from one bucket; a relay to another phone does not."""
        limits, rate = RateLimits(), Rate(1, 0.1)

        assert ask(limits.limiter(["phone"], rate), 0.0) == 0.0
        assert ask(limits.limiter(["phone"], rate), 0.0) == pytest.approx(10.0)
        assert ask(limits.limiter(["another"], rate), 0.0) == 0.0

    def test_every_sink_shares_the_credential_s_bucket(self) -> None:
        """The credential's rate counts all phones together."""
        limits = RateLimits(Rate(1, 0.1))

        assert ask(limits.limiter(["phone"]), 0.0) == 0.0
        assert ask(limits.limiter(["another"]), 0.0) == pytest.approx(10.0)

    def test_a_push_to_several_phones_waits_for_the_slowest(self) -> None:
        """One request goes to all of its targets, so all of their buckets must have a token."""
        limits, rate = RateLimits(), Rate(1, 0.1)
        ask(limits.limiter(["tired"], rate), 0.0)

        assert ask(limits.limiter(["fresh", "tired"], rate), 0.0) == pytest.approx(10.0)
        assert ask(limits.limiter(["tired"], rate), 0.0) == pytest.approx(20.0)

    def test_a_push_to_several_phones_leaves_the_fresh_ones_to_others(self) -> None:
        """Until its time the fresh phone may be sent other pushes, but none that would delay it."""
        limits, rate = RateLimits(), Rate(1, 0.1)
        ask(limits.limiter(["tired"], rate), 0.0)
        both = limits.limiter(["fresh", "tired"], rate).turn()
        assert both.request(0.0, final=True) == pytest.approx(10.0)

        assert ask(limits.limiter(["fresh"], rate), 0.0) == 0.0
        assert ask(limits.limiter(["fresh"], rate), 1.0) == pytest.approx(20.0)
        assert both.request(10.0, final=True) == 10.0

    def test_a_phone_that_is_named_twice_is_sent_one_push(self) -> None:
        """The same device counts once in a push, as its bucket may hold no more than one token."""
        limits, rate = RateLimits(), Rate(1, 0.1)

        assert ask(limits.limiter(["phone", "phone"], rate), 0.0) == 0.0
        assert ask(limits.limiter(["phone"], rate), 0.0) == pytest.approx(10.0)

    def test_without_rates_everything_goes_out_at_once(self) -> None:
        """No limit is a limit like any other."""
        limiter = RateLimits().limiter()

        assert [ask(limiter, 1.0, final=False) for _ in range(3)] == [1.0, 1.0, 1.0]

    def test_full_buckets_are_forgotten_once_there_are_many(self) -> None:
        """A million phones, one push each, do not stay in memory; those that are not full or have a queue do."""
        limits, rate = RateLimits(), Rate(1, 1.0)
        limits.limiter(["tired"], rate).block(5000.0, "device")
        limits.limiter(["slow"], Rate(1, 0.0001)).block(7000.0, "device")
        waits = limits.limiter(["fresh", "slow"], Rate(1, 0.0001)).turn()
        waits.request(0.0, final=True)
        for number in range(5000):
            ask(limits.limiter([f"phone {number}"], rate), float(number))

        assert len(limits._devices) < 2000
        assert ask(limits.limiter(["tired"], rate), 4999.0) >= 5000.0
        assert ("fresh", Rate(1, 0.0001)) in limits._devices

    def test_blocking_forgets_no_other_device(self) -> None:
        """The time of a block lies ahead, when the buckets of other devices will be full."""
        limits, rate = RateLimits(), Rate(1, 0.001)
        for number in range(module._SWEEP):
            ask(limits.limiter([f"phone {number}"], rate), 0.0)
        limits.limiter(["phone 1"], rate).block(1e6, "device")

        assert ask(limits.limiter(["phone 2"], rate), 1.0) == pytest.approx(1000.0)

    def test_requests_that_wait_for_no_turn_are_counted(self) -> None:
        """Others leave room for them, and a credential without a limit counts nothing."""
        limits = RateLimits(Rate(2, 0.1))
        limits.count(0.0)
        limits.count(0.0)
        RateLimits().count(0.0)

        assert ask(limits.limiter(), 0.0) == pytest.approx(10.0)

    def test_a_turn_that_nobody_uses_loses_its_place(self) -> None:
        """A relay that is gone without a word delays others by one place at the most, and not for long."""
        limits = RateLimits(Rate(1, 0.1))
        limiter = limits.limiter()
        ask(limiter, 0.0)
        gone, waits = limiter.turn(), limiter.turn()
        assert gone.request(0.0, final=False) == pytest.approx(10.0)
        assert waits.request(0.0, final=False) == pytest.approx(20.0)

        assert waits.request(12.0, final=False) == 12.0
        assert gone.request(12.0, final=False) == pytest.approx(22.0)

    def test_a_turn_that_comes_late_has_its_place_again(self) -> None:
        """As far as nobody has used it, so that not even two that are always late wait for each other for ever."""
        limits = RateLimits(Rate(1, 0.1))
        limiter = limits.limiter()
        ask(limiter, 0.0)
        late, waits = limiter.turn(), limiter.turn()
        late.request(0.0, final=False)
        waits.request(0.0, final=False)
        limiter.block(30.0, "credential")
        assert waits.request(2.0, final=False) == pytest.approx(40.0)

        assert late.request(12.0, final=False) == pytest.approx(30.0)
        assert late.request(30.0, final=False) == 30.0

    def test_a_cancelled_turn_leaves_its_place_to_others(self) -> None:
        """Cancelling once more, or what was never requested, changes nothing."""
        limiter = RateLimits(Rate(1, 0.1)).limiter()
        ask(limiter, 0.0)
        cancelled, waits = limiter.turn(), limiter.turn()
        cancelled.cancel()
        cancelled.request(0.0, final=False)
        waits.request(0.0, final=False)

        cancelled.cancel()
        cancelled.cancel()

        assert waits.request(10.0, final=False) == 10.0

    @pytest.mark.parametrize(
        ("make", "argument"),
        [
            (lambda: RateLimits(4.0), "credential"),  # type: ignore[arg-type]  # what is tested
            (lambda: RateLimits().limiter("phone"), "targets"),
            (lambda: RateLimits().limiter(["phone"], 4.0), "device"),  # type: ignore[arg-type]  # what is tested
        ],
    )
    def test_arguments_are_checked(self, make: Any, argument: str) -> None:
        """A string is no list of devices, and a number is no rate."""
        with pytest.raises(InvalidArgument) as caught:
            make()

        assert caught.value.argument == argument

    def test_reprs_show_no_device_tokens(self) -> None:
        """What they say is safe in a log."""
        limits = RateLimits(Rate(1, 0.5))
        limiter = limits.limiter(["secret-token"], Rate(2, 1.0))
        turn = limiter.turn()
        new = repr(turn)
        ask(limiter, 0.0)
        turn.request(0.0, final=False)

        assert repr(limits) == "<RateLimits credential=Rate(burst=1, per_second=0.5) devices=1>"
        assert repr(limiter) == "<Limiter device=Rate(burst=2, per_second=1.0) targets=1>"
        assert (new, repr(turn)) == ("<Turn>", "<Turn at=2.0 final=False>")
        assert repr(RateLimits()) == "<RateLimits credential=None devices=0>"


class Asked(NamedTuple):
    """One push, and how whoever wants it behaves."""

    start: float
    devices: tuple[str, ...]
    final_after: float | None
    """When it becomes final, in seconds after the first request; None for never."""
    cancel_after: float | None
    late: float
    """How much later than told it is asked for again."""


class Blocked(NamedTuple):
    """A 429 that a push to some devices met."""

    start: float
    devices: tuple[str, ...]
    scope: str
    seconds: float


def run(
    limits: RateLimits, device: Rate | None, asked: list[Asked], blocked: Sequence[Blocked] = ()
) -> dict[int, tuple[float, bool]]:
    """Let time pass until every turn is granted or cancelled; returns when each was, and whether as a final one."""
    turns = [limits.limiter(one.devices, device).turn() for one in asked]
    waiting: dict[int, bool] = {}
    granted: dict[int, tuple[float, bool]] = {}
    over: set[int] = set()
    events: list[tuple[float, int, int, str]] = []
    count = 0

    def later(at: float, index: int, what: str) -> None:
        nonlocal count
        count += 1
        heapq.heappush(events, (at, count, index, what))

    for i, block in enumerate(blocked):
        later(block.start, i, "block")
    for i, one in enumerate(asked):
        later(one.start, i, "ask")
        if one.cancel_after is not None:
            later(one.start + one.cancel_after, i, "cancel")
        if one.final_after is not None:
            later(one.start + one.final_after, i, "final")
    while events:
        now, _, i, what = heapq.heappop(events)
        assert count < 10_000, "it never ends"
        if what == "block":
            _, devices, scope, seconds = blocked[i]
            limits.limiter(devices, device).block(now + seconds, scope)
        elif i in over:
            continue
        elif what == "cancel":
            turns[i].cancel()
            over.add(i)
        else:
            waiting[i] = waiting.get(i, False) or what == "final"
            at = turns[i].request(now, final=waiting[i])
            assert isinstance(at, float)
            if at <= now:
                granted[i] = now, waiting[i]
                over.add(i)
            else:
                later(at + asked[i].late, i, "ask")
    return granted


some_devices = st.sets(st.sampled_from("abc"), min_size=1).map(lambda names: tuple(sorted(names)))
lateness = st.just(0.0) | st.floats(0, 5)
askings = st.lists(
    st.builds(
        Asked, st.floats(0, 20), some_devices, st.none() | st.floats(0, 9), st.none() | st.floats(0, 20), lateness
    ),
    min_size=1,
    max_size=14,
)
blockings = st.lists(
    st.builds(Blocked, st.floats(0, 20), some_devices, st.sampled_from(["", "device", "credential"]), st.floats(0, 20)),
    max_size=3,
)


class TestAnyRelays:
    @given(slow_rates | st.none(), slow_rates | st.none(), askings, blockings)
    def test_the_rates_hold_and_everybody_comes(
        self, credential: Rate | None, device: Rate | None, asked: list[Asked], blocked: list[Blocked]
    ) -> None:
        """No span sees more grants than the rates allow, none falls into a block, and all are granted in time."""
        granted = run(RateLimits(credential), device, asked, blocked)

        for rate, times in [
            (credential, [at for at, _ in granted.values()]),
            *((device, [at for i, (at, _) in granted.items() if name in asked[i].devices]) for name in "abc"),
        ]:
            if rate is not None:
                check_rate(rate, times)
        for block in blocked:
            for i, (at, _) in granted.items():
                mine = device is not None and set(block.devices) & set(asked[i].devices)
                if (block.scope != "credential" and mine) or (block.scope != "device" and credential is not None):
                    assert not block.start < at < block.start + block.seconds - 1e-6
        slowest = sum(1 / rate.per_second for rate in (credential, device) if rate is not None)
        each = slowest + max(one.late for one in asked) + module._LATE
        ends = [one.start + (one.final_after or 0) for one in asked] + [one.start + one.seconds for one in blocked]
        for i, one in enumerate(asked):
            assert i in granted or one.cancel_after is not None
            if i in granted:
                assert granted[i][0] <= max(ends) + 2 * (len(asked) + 1) * each

    @given(
        st.builds(Rate, st.integers(1, 4), st.floats(0.1, 5)),
        slow_rates,
        askings,
        st.lists(
            st.builds(Asked, st.floats(0, 20), st.just(("tired",)), st.none() | st.floats(0, 9), st.none(), lateness)
        ),
    )
    def test_a_device_that_waits_delays_no_other(
        self, credential: Rate, device: Rate, asked: list[Asked], tired: list[Asked]
    ) -> None:
        """Beside a device that may be sent nothing for a day, all others are granted their turns as without it."""
        limits = RateLimits(credential)
        limits.limiter(["tired"], device).block(86400.0, "device")

        granted = run(limits, device, [*tired, *asked])

        alone = run(RateLimits(credential), device, asked)
        assert {i - len(tired): grant for i, grant in granted.items() if i >= len(tired)} == alone
        assert all(granted[i][0] >= 86400.0 for i in range(len(tired)))

    @given(slow_rates, slow_rates | st.none(), askings, st.floats(0, 30), some_devices, st.booleans())
    def test_a_cancelled_turn_leaves_no_trace(
        self,
        credential: Rate,
        device: Rate | None,
        asked: list[Asked],
        at: float,
        devices: tuple[str, ...],
        final: bool,
    ) -> None:
        """What is requested, has to wait and is cancelled, before others ask, was never there."""
        cancelled = Asked(at, devices, 0.0 if final else None, 0.0, 0.0)

        granted = run(RateLimits(credential), device, [*asked, cancelled])

        assume(len(asked) not in granted)
        assert granted == run(RateLimits(credential), device, asked)

    @given(slow_rates, st.lists(st.tuples(st.floats(0, 9), st.floats(0, 1), st.booleans()), min_size=1, max_size=30))
    def test_the_rate_holds_in_any_order_of_times(
        self, credential: Rate, asked: list[tuple[float, float, bool]]
    ) -> None:
        """Threads read the clock before they wait for the lock."""
        limiter, times, now = RateLimits(credential).limiter(), [], 0.0
        turns = [limiter.turn() for _ in asked]
        for turn, (wait, back, final) in zip(turns, asked, strict=True):
            now += wait
            read = now - back
            if turn.request(read, final=final) <= read:  # type: ignore[operator]  # not awaitable
                times.append(read)

        check_rate(credential, times)

    def test_a_final_push_uses_the_reserve(self) -> None:
        """It does not wait behind those that may not use it, however many they are."""
        limiter = RateLimits(Rate(2, 0.1)).limiter()
        assert ask(limiter, 0.0, final=False) == 0.0
        waiting = [limiter.turn() for _ in range(3)]
        assert [turn.request(0.0, final=False) for turn in waiting] == pytest.approx([10.0, 20.0, 30.0])

        assert waiting[2].request(1.0, final=True) == 1.0
        assert [turn.request(10.0, final=False) for turn in waiting[:2]] == pytest.approx([20.0, 30.0])
        assert ask(limiter, 10.0) == 10.0


def state_of(limiter: Limiter) -> RelayState:
    channel = Channel(encode=lambda batch: batch.text.encode(), limiter=limiter)
    return RelayState(PassThrough(), stream_id="s", retry=RETRY, channel=channel)


def take(state: RelayState, now: float) -> Push | None:
    """Return the next push, if the limiter lets it go."""
    while isinstance(wanted := state.next(now), TurnRequest):
        at = wanted.turn.request(now, final=wanted.final)
        assert isinstance(at, float)
        state.turn_answered(at, now)
    return wanted


def took(push: Push | None) -> Push:
    assert push is not None
    return push


class TestRelayState:
    def test_one_token_is_kept_for_the_final_batch(self) -> None:
        """A stream that has spent its budget still ends at once."""
        state = state_of(RateLimits().limiter(["phone"], Rate(2, 0.01)))
        state.feed("one", 0.0)
        state.succeeded(took(take(state, 0.0)), None)

        state.feed(" two", 1.0)
        assert take(state, 1.0) is None
        assert state.due is not None
        assert state.due > 50.0
        state.feed(" three", 2.0)
        state.end(End("complete", 3.0))
        final = took(take(state, 3.0))

        assert final.batch.final
        assert final.batch.text == " two three"

    def test_what_waits_for_its_turn_goes_out_together_and_is_counted(self) -> None:
        """Text that arrives before the turn travels along; the report says for how long the limiter held it."""
        state = state_of(RateLimits().limiter(["phone"], Rate(2, 1.0)))
        texts = []
        for now in (0.0, 0.25, 0.5, 0.75, 1.0):
            state.feed(f"{now} ", now)
            push = take(state, now)
            if push is not None:
                texts.append(push.batch.text)
                state.succeeded(push, None)
        state.end(End("complete", 1.0))

        assert texts == ["0.0 ", "0.25 0.5 0.75 1.0 "]
        assert state.report(Completion()).paced_seconds == pytest.approx(0.75)

    def test_a_rate_limit_of_the_service_blocks_everybody(self) -> None:
        """What one relay is told, the others on the same credential need not find out."""
        limiter = RateLimits(Rate(10, 10.0)).limiter()
        state = state_of(limiter)
        state.feed("one", 0.0)
        push = took(take(state, 0.0))
        state.failed(push, RateLimited("slow down", status=429, retry_after=7.0), 0.0)

        assert ask(limiter, 0.0) >= 7.0

    @pytest.mark.parametrize(
        ("facts", "same_phone", "another_phone"),
        [
            ({}, 7.0, 7.0),
            ({"limit": {"key": "client.credentials.token.rate.per.minute"}}, 7.0, 7.0),
            ({"limit": {"namespace": "push.device", "key": "rate.per.minute"}}, 7.0, 0.0),
            ({"details": ({"violations": [{"subject": "device:fcm"}]},)}, 7.0, 0.0),
        ],
        ids=["unknown", "credential", "device", "FCM"],
    )
    def test_a_rate_limit_reaches_as_far_as_its_scope(
        self, facts: dict[str, Any], same_phone: float, another_phone: float
    ) -> None:
        """What one device cannot bear holds nobody else; what the credential may not do holds everybody."""
        limits, device = RateLimits(Rate(10, 10.0)), Rate(10, 10.0)
        state = state_of(limits.limiter(["phone"], device))
        state.feed("one", 0.0)
        push = took(take(state, 0.0))
        state.failed(push, RateLimited("slow down", status=429, retry_after=7.0, **facts), 0.0)

        assert ask(limits.limiter(["another"], device), 0.0) == another_phone
        assert ask(limits.limiter(["phone"], device), 0.0) >= same_phone

    def test_a_credential_s_limit_leaves_the_device_its_burst(self) -> None:
        """Which bucket is empty is known where the answer names the limit."""
        limits, device = RateLimits(Rate(10, 10.0)), Rate(10, 10.0)
        limiter = limits.limiter(["phone"], device)
        ask(limiter, 0.0, final=False)
        limiter.block(7.0, "credential")

        assert limits._devices["phone", device].earliest(0.0) == 0.0
        assert ask(limiter, 0.0) == 7.0

    def test_turns_from_before_a_rate_limit_are_worth_nothing(self) -> None:
        """A relay whose turn comes while another's Retry-After lasts does not run into the same 429."""
        limits = RateLimits(Rate(2, 0.5))
        told, waiting = (state_of(limits.limiter()) for _ in range(2))
        told.feed("one", 0.0)
        push = took(take(told, 0.0))
        waiting.feed("two", 0.0)
        assert take(waiting, 0.0) is None
        assert waiting.due == pytest.approx(2.0)
        told.failed(push, RateLimited("slow down", status=429, retry_after=30.0), 0.1)

        assert take(waiting, 2.0) is None

        assert waiting.due is not None
        assert waiting.due >= 30.1
        assert take(waiting, waiting.due) is not None

    def test_another_failure_leaves_the_limits_alone(self) -> None:
        """A service that is down says nothing about rates."""
        limits = RateLimits(Rate(10, 10.0))
        state = state_of(limits.limiter())
        state.feed("one", 0.0)
        push = took(take(state, 0.0))
        state.failed(push, ServiceUnavailable("down", status=503), 0.0)

        assert ask(limits.limiter(), 0.0) == 0.0

    @given(
        slow_rates | st.none(),
        slow_rates | st.none(),
        st.lists(st.tuples(st.floats(0, 3), st.floats(0, 9), st.sampled_from("ab")), min_size=1, max_size=12),
    )
    def test_streams_that_end_while_they_wait_for_their_turns_keep_the_rates(
        self, credential: Rate | None, device: Rate | None, streams: list[tuple[float, float, str]]
    ) -> None:
        """A push that becomes final comes forward only as far as the reserve allows."""
        limits = RateLimits(credential)
        states = [state_of(limits.limiter([phone], device)) for _, _, phone in streams]
        phones = [phone for _, _, phone in streams]
        events = [
            (at, i, ended)
            for i, (start, lasts, _) in enumerate(streams)
            for at, ended in ((start, False), (start + lasts / 2, False), (start + lasts, True))
        ]
        sent = run_states(states, events)

        assert all(state.finished for state in states)
        for rate, times in [
            (credential, [at for at, _, _ in sent]),
            *((device, [at for at, i, _ in sent if phones[i] == name]) for name in "ab"),
        ]:
            if rate is not None:
                check_rate(rate, times)

    def test_a_turn_that_is_not_needed_any_more_is_given_back(self) -> None:
        """A relay that gives up leaves its place to the others."""
        limits = RateLimits(Rate(2, 0.01))
        state = state_of(limits.limiter())
        ask(limits.limiter(), 0.0)
        state.feed("one", 0.0)
        assert take(state, 0.0) is None

        state.fail_remaining(RuntimeError("stop"))

        assert ask(limits.limiter(), 0.0) == 0.0

    def test_a_phone_that_waits_delays_no_other_phone(self) -> None:
        """Beside a phone whose burst is spent, three others of the credential are sent all that their rate allows."""
        limits, per_second = RateLimits(GENESYS), 10
        spent = limits.limiter(["slow"], APNS_ALERT.device)
        for _ in range(3):
            assert ask(spent, 0.0, final=False) == 0.0
        fast = Rate(20, 1.5)
        states = [state_of(spent), *(state_of(limits.limiter([f"fast {i}"], fast)) for i in range(3))]
        words = [(n / per_second, i, False) for n in range(8 * per_second) for i in range(4)]

        sent = run_states(states, sorted(words, key=lambda event: event[0]), until=8.0)

        to_fast = [at for at, i, _ in sent if i]
        assert [i for _, i, _ in sent if not i] == []
        # As many as the credential's rate lets out without the slow phone: 39 that it has left but for the reserve, of
        # which 3 are spent, and 4 a second.
        assert len(to_fast) >= 36 + 4 * 7

    def test_two_relays_on_one_sink_are_both_paced(self) -> None:
        """Together they stay within the rate."""
        rate = Rate(3, 1.0)
        limiter = RateLimits().limiter(["phone"], rate)
        states = [state_of(limiter), state_of(limiter)]
        words = [(n / 10, i, n == 99) for n in range(100) for i in range(2)]

        sent = run_states(states, words)

        check_rate(rate, [at for at, _, _ in sent])
        counts = [sum(i == which for _, i, _ in sent) for which in range(2)]
        assert abs(counts[0] - counts[1]) <= 2
        assert all(state.finished for state in states)


def run_states(
    states: list[RelayState], events: list[tuple[float, int, bool]], until: float = 1e6
) -> list[tuple[float, int, Batch]]:
    """Feed a word to a relay, or end it, at each event's time; returns the pushes with their times and relays."""
    sent: list[tuple[float, int, Batch]] = []
    clock = 0.0

    def run_until(now: float) -> None:
        nonlocal clock
        while (at := min([state.due for state in states if state.due is not None], default=now + 1)) <= now:
            clock = max(clock, at)
            for i, state in enumerate(states):
                if state.due is not None and state.due <= clock:
                    push = take(state, clock)
                    if push is not None:
                        sent.append((clock, i, push.batch))
                        state.succeeded(push, None)
        clock = now

    for at, i, ended in sorted(events, key=lambda event: event[0]):
        run_until(at)
        states[i].end(End("complete", at)) if ended else states[i].feed("text ", at)
    run_until(until)
    return sent
