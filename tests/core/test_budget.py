"""Budgets: no span of time sees more pushes than its rate allows, and nobody waits without a turn."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from genesys_stream._core.http.retry import Retry
from genesys_stream._core.relaying.coalescers import PassThrough
from genesys_stream._core.relaying.limits import (
    ANDROID_BACKGROUND,
    ANDROID_FOREGROUND,
    APNS_ALERT,
    APNS_BACKGROUND,
    GENESYS,
    LIVE_ACTIVITY,
    Budget,
    Ledger,
    Rate,
    TokenBucket,
)
from genesys_stream._core.relaying.relay import Desk
from genesys_stream._errors import RateLimited, ServiceUnavailable

rates = st.builds(Rate, st.integers(1, 20), st.floats(0.05, 20))
gaps = st.lists(st.floats(0, 3), min_size=1, max_size=60)
RETRY = Retry(jitter=lambda bound: 0.0)


def most_in_any_span(times: list[float], span: float) -> int:
    """Count the pushes of the fullest span, wherever it begins."""
    return max(sum(at <= other < at + span for other in times) for at in times)


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
            bucket.book(at)
            times.append(at)

        assert most_in_any_span(times, span) <= rate.burst + span * rate.per_second + 1e-6

    @given(rates, gaps)
    def test_bookings_take_turns(self, rate: Rate, waits: list[float]) -> None:
        """Whoever books later never comes earlier, and never waits longer than the rate asks for."""
        bucket, now, last = TokenBucket(rate), 0.0, 0.0
        for count, wait in enumerate(waits, 1):
            now += wait
            at = bucket.earliest(now)
            bucket.book(at)

            assert at >= last
            assert at - now <= max(0.0, (count - rate.burst) / rate.per_second) + 1e-6
            last = at

    def test_a_refund_is_as_if_nothing_had_been_booked(self) -> None:
        """What is given back can be spent at once."""
        bucket = TokenBucket(Rate(1, 0.1))
        before = bucket.book(bucket.earliest(0.0))
        assert bucket.earliest(0.0) == pytest.approx(10.0)

        bucket.refund(0.0, before)

        assert bucket.earliest(0.0) == 0.0

    def test_a_refund_of_a_turn_that_others_stand_behind_moves_nobody(self) -> None:
        """A place in the middle cannot be given away again without two pushes in the place of the last one."""
        bucket = TokenBucket(Rate(1, 0.1))
        before = bucket.book(bucket.earliest(0.0))
        bucket.book(bucket.earliest(0.0))

        bucket.refund(0.0, before)

        assert bucket.earliest(0.0) == pytest.approx(20.0)

    def test_an_emptied_bucket_has_no_burst_afterwards(self) -> None:
        """After a 429 pushes go out one at a time."""
        bucket = TokenBucket(Rate(10, 2.0))
        bucket.empty_until(5.0)

        times = []
        for _ in range(3):
            times.append(bucket.earliest(0.0))
            bucket.book(times[-1])

        assert times == pytest.approx([5.0, 5.5, 6.0])

    @pytest.mark.parametrize(("burst", "per_second"), [(0, 1.0), (1, 0.0), (1, -1.0)])
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


class TestLedger:
    def test_sinks_share_a_device_s_bucket(self) -> None:
        """Two relays to one phone spend from one bucket; a relay to another phone does not."""
        ledger, rate = Ledger(), Rate(1, 0.1)

        assert Budget(ledger, ["phone"], rate).book(0.0, final=True) == 0.0
        assert Budget(ledger, ["phone"], rate).book(0.0, final=True) == pytest.approx(10.0)
        assert Budget(ledger, ["another"], rate).book(0.0, final=True) == 0.0

    def test_every_sink_shares_the_credential_s_bucket(self) -> None:
        """The credential's rate counts all phones together."""
        ledger = Ledger(Rate(1, 0.1))

        assert Budget(ledger, ["phone"]).book(0.0, final=True) == 0.0
        assert Budget(ledger, ["another"]).book(0.0, final=True) == pytest.approx(10.0)

    def test_a_push_to_several_phones_waits_for_the_slowest(self) -> None:
        """One request goes to all of its targets, so all of their buckets must have a token."""
        ledger, rate = Ledger(), Rate(1, 0.1)
        Budget(ledger, ["tired"], rate).book(0.0, final=True)

        assert Budget(ledger, ["fresh", "tired"], rate).book(0.0, final=True) == pytest.approx(10.0)
        assert Budget(ledger, ["fresh"], rate).book(0.0, final=True) == pytest.approx(20.0)

    def test_without_rates_everything_goes_out_at_once(self) -> None:
        """No limit is a limit like any other."""
        budget = Budget(Ledger())

        assert [budget.book(1.0, final=False) for _ in range(3)] == [1.0, 1.0, 1.0]

    def test_full_buckets_are_forgotten_once_there_are_many(self) -> None:
        """A million phones, one push each, do not stay in memory; a phone that is still paying does."""
        ledger, rate = Ledger(), Rate(1, 1.0)
        ledger.buckets(["tired"], rate, 0.0)[0].book(5000.0)
        for number in range(5000):
            Budget(ledger, [f"phone {number}"], rate).book(float(number), final=True)

        assert len(ledger._devices) < 2000
        assert Budget(ledger, ["tired"], rate).book(5000.0, final=True) > 5000.0


class TestDesk:
    def test_one_token_is_kept_for_the_final_batch(self) -> None:
        """A stream that has spent its budget still ends at once."""
        desk = Desk(PassThrough(), stream_id="s", retry=RETRY, budget=Budget(Ledger(), ["phone"], Rate(2, 0.01)))
        desk.arrive("one", 0.0)
        first = desk.take(0.0)
        assert first is not None
        desk.delivered(first, None, 0.0)

        desk.arrive(" two", 1.0)
        assert desk.take(1.0) is None
        assert desk.due is not None
        assert desk.due > 50.0
        desk.arrive(" three", 2.0)
        desk.end("complete", 3.0)
        final = desk.take(3.0)

        assert final is not None
        assert final.final
        assert final.text == " two three"

    def test_what_waits_for_its_turn_goes_out_together_and_is_counted(self) -> None:
        """Text that arrives before the booked time travels along; the report says for how long the budget held it."""
        desk = Desk(PassThrough(), stream_id="s", retry=RETRY, budget=Budget(Ledger(), ["phone"], Rate(2, 1.0)))
        texts = []
        for now in (0.0, 0.25, 0.5, 0.75, 1.0):
            desk.arrive(f"{now} ", now)
            batch = desk.take(now)
            if batch is not None:
                texts.append(batch.text)
                desk.delivered(batch, None, now)
        desk.end("complete", 1.0)

        assert texts == ["0.0 ", "0.25 0.5 0.75 1.0 "]
        assert desk.report(None).paced_seconds == pytest.approx(0.75)  # type: ignore[arg-type]  # not looked at

    def test_a_rate_limit_of_the_service_empties_the_budget_for_everybody(self) -> None:
        """What one relay is told, the others on the same credential need not find out."""
        ledger = Ledger(Rate(10, 10.0))
        desk = Desk(PassThrough(), stream_id="s", retry=RETRY, budget=Budget(ledger))
        desk.arrive("one", 0.0)
        batch = desk.take(0.0)
        assert batch is not None
        desk.failed(batch, RateLimited("slow down", status=429, retry_after=7.0), 0.0)

        assert Budget(ledger).book(0.0, final=True) >= 7.0

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
        ledger, device = Ledger(Rate(10, 10.0)), Rate(10, 10.0)
        desk = Desk(PassThrough(), stream_id="s", retry=RETRY, budget=Budget(ledger, ["phone"], device))
        desk.arrive("one", 0.0)
        batch = desk.take(0.0)
        assert batch is not None
        desk.failed(batch, RateLimited("slow down", status=429, retry_after=7.0, **facts), 0.0)

        assert Budget(ledger, ["another"], device).book(0.0, final=True) == another_phone
        assert Budget(ledger, ["phone"], device).book(0.0, final=True) >= same_phone

    def test_a_credential_s_limit_leaves_the_device_its_burst(self) -> None:
        """Which bucket is empty is known where the answer names the limit."""
        ledger, device = Ledger(Rate(10, 10.0)), Rate(10, 10.0)
        budget = Budget(ledger, ["phone"], device)
        budget.book(0.0, final=False)
        budget.empty_until(7.0, "credential")

        _, phone = ledger.buckets(["phone"], device, 0.0)

        assert phone.earliest(0.0) == 0.0

    def test_turns_from_before_a_rate_limit_are_worth_nothing(self) -> None:
        """A relay whose turn comes while another's Retry-After lasts does not run into the same 429."""
        ledger = Ledger(Rate(2, 0.5))
        told, waiting = (Desk(PassThrough(), stream_id="s", retry=RETRY, budget=Budget(ledger)) for _ in range(2))
        told.arrive("one", 0.0)
        batch = told.take(0.0)
        assert batch is not None
        waiting.arrive("two", 0.0)
        assert waiting.take(0.0) is None
        assert waiting.due == pytest.approx(2.0)
        told.failed(batch, RateLimited("slow down", status=429, retry_after=30.0), 0.1)

        assert waiting.take(2.0) is None

        assert waiting.due is not None
        assert waiting.due >= 30.1
        assert waiting.take(waiting.due) is not None

    def test_another_failure_leaves_the_budget_alone(self) -> None:
        """A service that is down says nothing about rates."""
        ledger = Ledger(Rate(10, 10.0))
        desk = Desk(PassThrough(), stream_id="s", retry=RETRY, budget=Budget(ledger))
        desk.arrive("one", 0.0)
        batch = desk.take(0.0)
        assert batch is not None
        desk.failed(batch, ServiceUnavailable("down", status=503), 0.0)

        assert Budget(ledger).book(0.0, final=True) == 0.0

    @given(
        st.builds(Rate, st.integers(1, 4), st.floats(0.1, 5)) | st.none(),
        st.builds(Rate, st.integers(1, 4), st.floats(0.1, 5)) | st.none(),
        st.lists(st.tuples(st.floats(0, 3), st.floats(0, 9), st.sampled_from("ab")), min_size=1, max_size=12),
        st.floats(0.1, 60),
    )
    def test_streams_that_end_while_they_wait_for_their_turns_keep_the_rates(
        self, credential: Rate | None, device: Rate | None, streams: list[tuple[float, float, str]], span: float
    ) -> None:
        """A final push comes forward by one place at the most, whoever else stands in the queue."""
        ledger = Ledger(credential)
        desks = [
            Desk(PassThrough(), stream_id="s", retry=RETRY, budget=Budget(ledger, [phone], device))
            for _, _, phone in streams
        ]
        sent: list[tuple[float, str]] = []

        def run_until(now: float) -> None:
            while (at := min(desk.due if desk.due is not None else now + 1 for desk in desks)) <= now:
                for desk, (_, _, phone) in zip(desks, streams, strict=True):
                    if desk.due is not None and desk.due <= at:
                        batch = desk.take(max(at, clock))
                        if batch is not None:
                            sent.append((max(at, clock), phone))
                            desk.delivered(batch, None, max(at, clock))

        clock = 0.0
        events = [
            (at, desk, ended)
            for desk, (at, lasts, _) in zip(desks, streams, strict=True)
            for at, ended in ((at, False), (at + lasts / 2, False), (at + lasts, True))
        ]
        for at, desk, ended in sorted(events, key=lambda event: event[0]):
            run_until(at)
            clock = at
            desk.end("complete", at) if ended else desk.arrive("text ", at)
        run_until(1e6)

        assert all(desk.done for desk in desks)
        for rate, times in [
            (credential, [at for at, _ in sent]),
            *((device, [at for at, to in sent if to == phone]) for phone in "ab"),
        ]:
            if rate is not None and times:
                assert most_in_any_span(times, span) <= rate.burst + span * rate.per_second + 1e-6

    def test_a_turn_that_is_not_needed_any_more_is_given_back(self) -> None:
        """A relay that gives up leaves its place to the others."""
        ledger = Ledger(Rate(2, 0.01))
        desk = Desk(PassThrough(), stream_id="s", retry=RETRY, budget=Budget(ledger))
        Budget(ledger).book(0.0, final=True)
        desk.arrive("one", 0.0)
        assert desk.take(0.0) is None

        desk.abandon(RuntimeError("stop"))

        assert Budget(ledger).book(0.0, final=True) == 0.0
