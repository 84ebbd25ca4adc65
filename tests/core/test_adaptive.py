"""The strategies that learn: what they take from an outcome, and what they forget."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from genesys_stream._core.http.retry import Retry
from genesys_stream._core.relaying.coalescers import Adaptive, Coalescer, ImmediateFirst, InFlight, LearnsFromDelivery
from genesys_stream._core.relaying.limits import Budget, Ledger
from genesys_stream._core.relaying.relay import Desk
from genesys_stream._errors import BadRequest, RateLimited, ServiceUnavailable

THROTTLED = RateLimited("slow down", status=429, retry_after=1.0)
DOWN = ServiceUnavailable("down", status=503)
REFUSED = BadRequest("no", status=400)


def windows(adaptive: Adaptive, *outcomes: object) -> list[float]:
    """The interval after each outcome."""
    found = []
    for outcome in outcomes:
        adaptive.feedback(outcome, 0.0)
        found.append(round(adaptive.window, 6))
    return found


class TestAdaptive:
    def test_it_is_a_coalescer_that_learns(self) -> None:
        """`relay` finds out by the method alone."""
        assert isinstance(Adaptive(), Coalescer)
        assert isinstance(Adaptive(), LearnsFromDelivery)
        assert repr(Adaptive()) == "Adaptive(window=0.25, max_bytes=3000, minimum=0.2, initial=0.25, maximum=10.0)"

    def test_a_refusal_for_the_rate_doubles_the_interval_up_to_the_maximum(self) -> None:
        """Each of them, so that a service that is asked too often is soon left alone."""
        assert windows(Adaptive(), *[THROTTLED] * 7) == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]

    def test_eight_successes_in_a_row_take_a_tenth_of_the_first_interval_off(self) -> None:
        """Down to the minimum."""
        adaptive = Adaptive(1.0, minimum=0.85)

        assert windows(adaptive, *["sent"] * 8) == [1.0] * 7 + [0.9]
        assert windows(adaptive, *["sent"] * 8)[-1] == 0.85
        assert windows(adaptive, *["sent"] * 8)[-1] == 0.85

    @pytest.mark.parametrize(("failure", "window"), [(THROTTLED, 2.0), (DOWN, 1.0), (REFUSED, 1.0)])
    def test_a_failure_ends_the_row(self, failure: Exception, window: float) -> None:
        """And only one that is about the rate changes the interval."""
        adaptive = Adaptive(1.0)

        assert windows(adaptive, *["sent"] * 7, failure)[-1] == window
        assert windows(adaptive, *["sent"] * 7)[-1] == window
        assert windows(adaptive, "sent")[-1] == window - 0.1

    def test_the_interval_leaves_room_for_a_slow_sink(self) -> None:
        """It is never shorter than 1.2 times what a send takes on average, and only what was sent is averaged."""
        adaptive = Adaptive()
        assert adaptive.feed("a" * 3000, 10.0)
        assert adaptive.feed("a" * 3000, 10.1)  # the same wait for an answer
        adaptive.feedback("sent", 11.0)
        assert adaptive.window == pytest.approx(1.2)

        adaptive.feedback("sent", 99.0)  # nothing that was given is answered by this
        assert adaptive.window == pytest.approx(1.2)

        adaptive.feed("b", 100.0)
        assert adaptive.due == pytest.approx(101.2)
        assert adaptive.tick(101.3)
        adaptive.feedback("sent", 104.3)
        assert adaptive.window == pytest.approx(1.2 * (1.0 + 0.25 * 2.0))

    def test_the_maximum_is_a_promise_even_for_a_slow_sink(self) -> None:
        """No text waits longer for the strategy, however long the sink takes."""
        adaptive = Adaptive(0.25, 0.2, 2.0)
        adaptive.feed("a" * 3000, 0.0)
        adaptive.feedback("sent", 60.0)

        assert adaptive.window == 2.0

    def test_text_that_waits_follows_the_interval(self) -> None:
        """It goes out later when the interval grows, and at once when it is over."""
        adaptive = Adaptive()
        adaptive.feed("a", 1.0)
        assert adaptive.due == 1.25
        adaptive.feedback(THROTTLED, 1.1)

        assert adaptive.due == 1.5
        assert not adaptive.tick(1.25)
        assert [batch.text for batch in adaptive.tick(1.5)] == ["a"]

    def test_the_next_stream_begins_anew(self) -> None:
        """A closed strategy is as new."""
        adaptive = Adaptive()
        adaptive.feed("a" * 3000, 0.0)
        adaptive.feedback("sent", 60.0)
        adaptive.feedback(THROTTLED, 60.0)
        adaptive.close(61.0)

        assert adaptive.window == 0.25
        assert windows(adaptive, *["sent"] * 8)[-1] == 0.225

    @given(st.lists(st.sampled_from(["sent", THROTTLED, DOWN]), max_size=80), st.lists(st.floats(0, 5), max_size=80))
    def test_the_interval_stays_within_its_bounds(self, outcomes: list[object], waits: list[float]) -> None:
        """Whatever happens."""
        adaptive, now = Adaptive(), 0.0
        for outcome, wait in zip(outcomes, waits, strict=False):
            adaptive.feed("text", now)
            adaptive.tick(now)
            now += wait
            adaptive.feedback(outcome, now)

            assert 0.2 <= adaptive.window <= 10.0

    def test_a_desk_whose_sink_is_throttled_sends_less(self) -> None:
        """The outcome reaches the strategy, also inside another, and the interval widens."""
        adaptive = Adaptive()
        desk = Desk(ImmediateFirst(adaptive), stream_id="s", retry=Retry(jitter=lambda _: 0.0), budget=Budget(Ledger()))
        desk.arrive("one ", 0.0)
        batch = desk.take(0.0)
        assert batch is not None
        desk.failed(batch, THROTTLED, 0.1)

        assert adaptive.window == 0.5


class TestInFlight:
    def test_it_is_a_coalescer_that_learns(self) -> None:
        """`relay` finds out by the method alone."""
        assert isinstance(InFlight(), Coalescer)
        assert isinstance(InFlight(), LearnsFromDelivery)

    def test_text_waits_while_a_batch_is_on_its_way(self) -> None:
        """And goes out together, as soon as there is word of it."""
        strategy = InFlight()
        assert [batch.text for batch in strategy.feed("a", 0.0)] == ["a"]
        assert not strategy.feed("b", 0.1)
        assert not strategy.feed("c", 0.2)
        assert strategy.due == pytest.approx(1.1)

        strategy.feedback("sent", 0.3)

        assert strategy.due is not None
        assert strategy.due <= 0.3
        assert [batch.text for batch in strategy.tick(0.3)] == ["bc"]
        assert strategy.due is None

    def test_a_batch_that_will_be_sent_again_is_still_on_its_way(self) -> None:
        """One that was refused for good is not."""
        strategy = InFlight()
        strategy.feed("a", 0.0)
        strategy.feed("b", 0.1)

        strategy.feedback(DOWN, 0.2)
        assert not strategy.tick(0.2)
        strategy.feedback(REFUSED, 0.3)
        assert [batch.text for batch in strategy.tick(0.3)] == ["b"]

    def test_where_no_word_comes_the_clock_decides(self) -> None:
        """Whoever calls it without feedback gets all of the text as well, in time."""
        strategy = InFlight(0.5)
        strategy.feed("a", 0.0)
        strategy.feed("b", 0.1)

        assert not strategy.tick(0.5)
        assert [batch.text for batch in strategy.tick(0.6)] == ["b"]
        strategy.feed("c", 0.7)
        assert [batch.text for batch in strategy.close(0.8)] == ["c"]
        assert [batch.text for batch in strategy.feed("d", 0.9)] == ["d"]

    def test_a_desk_tells_it(self) -> None:
        """What gathers while a push is under way goes out when it has come through."""
        desk = Desk(InFlight(60.0), stream_id="s", retry=Retry())
        desk.arrive("one ", 0.0)
        first = desk.take(0.0)
        assert first is not None
        desk.arrive("two ", 0.1)
        desk.arrive("three ", 0.2)
        desk.delivered(first, None, 0.3)
        second = desk.take(0.3)

        assert second is not None
        assert second.text == "two three "
