"""The coalescer that a push sink gets by default: within its budget, close to the best possible, and nothing lost.

Relays run in virtual time, in the simulator of the benchmark; see benchmarks/replay.py.
"""

from __future__ import annotations

import itertools
import random
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from genesys_stream._core.relaying.coalescers.basic import FinalOnly, Paced, TimeSize
from genesys_stream._core.relaying.limits import (
    ANDROID_BACKGROUND,
    ANDROID_FOREGROUND,
    APNS_ALERT,
    GENESYS,
    Profile,
    Rate,
    RateLimits,
)
from genesys_stream._core.relaying.sink import Channel

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import coalescing
from optimum import least_waiting
from replay import Service, channel_of, figures, most_within, relayed, waits
from traces import KINDS, conversation, recorded, reply


def by_default(trace, profile=ANDROID_FOREGROUND, credential=None, **options):
    """Relay a trace to one device as `relay` does, each reply by a relay of its own."""
    limits = RateLimits(credential)
    return relayed(trace, lambda: (None, channel_of(limits, profile)), **options)


def pushes(lines):
    return sorted(at for line in lines for at, _ in line.sent)


def assert_delivered(lines):
    """Every character went out once, in order, and the last payload says that it is."""
    for line in lines:
        assert "".join(batch.text for _, batch in line.sent) == "".join(text for _, text in line.said)
        assert [batch.final for _, batch in line.sent] == [False] * (len(line.sent) - 1) + [True]
        assert not line.state.report(None).undelivered


gaps = st.sampled_from([0.0, 0.001, 0.0125, 0.05, 0.3, 0.6, 1.0, 10.0, 60.0])
runs = st.tuples(gaps, st.integers(1, 120), st.sampled_from(["a", "word ", "你好", "\n", "x" * 2000]))


@st.composite
def traces(draw):
    """Replies of any timing: runs of tokens, each with a gap of its own."""
    now, trace = 0.0, []
    for pieces in draw(st.lists(st.lists(runs, min_size=1, max_size=6), min_size=1, max_size=6)):
        said = []
        for gap, count, text in pieces:
            for _ in range(count):
                now += gap
                said.append((now, text))
        trace.append(said)
    return trace


class TestWithinTheBudget:
    @settings(deadline=None, max_examples=60)
    @given(traces(), st.sampled_from([0.0, 0.05, 1.0]))
    def test_no_trace_makes_it_exceed_what_a_phone_may_get(self, trace, round_trip):
        """FCM: 240 pushes in any 60 s and 5,000 in any hour to one device; and all of the text arrives."""
        lines = by_default(trace, round_trip=round_trip)

        assert_delivered(lines)
        assert most_within(pushes(lines), 60.0) <= 240
        assert most_within(pushes(lines), 3600.0) <= 5000

    @pytest.mark.parametrize("kind", ["steady", "jittery"])
    def test_two_hours_of_speech(self, kind):
        """A model that never stops, as two phones' worth of questions would make it, spends the budget, and no more."""
        replies = [reply(kind, count=1500, rate=5.0, start=300.0 * n, seed=n) for n in range(24)]
        lines = by_default([*replies, *replies])

        assert_delivered(lines)
        assert most_within(pushes(lines), 60.0) <= 240
        assert 4900 <= most_within(pushes(lines), 3600.0) <= 5000

    def test_short_answers_without_end(self):
        """Final payloads pay as well: one-word replies, four a second for twenty minutes."""
        lines = by_default([[(number / 4, "Yes. ")] for number in range(4800)])

        assert_delivered(lines)
        assert most_within(pushes(lines), 60.0) <= 240
        assert most_within(pushes(lines), 3600.0) <= 5000


REPLIES = {(kind, rate): conversation(kind, seconds=300.0, rate=rate) for kind in KINDS for rate in (40, 80, 150)}


class TestCloseToTheOptimum:
    @pytest.mark.parametrize("rate", [40, 80, 150])
    @pytest.mark.parametrize("kind", ["steady", "jittery"])
    def test_replies_of_600_tokens(self, kind, rate):
        """Text waits at most 1.25 times as long as the best partition into as many pushes would have it wait.

        At 150 tokens a second a reply is over after nine pushes, of which the first, for a single token, is an eighth
        of what the others could do: there it is 1.26.
        """
        of = figures(by_default(REPLIES[kind, rate]))

        assert of.first == 0.0
        assert of.ratio is not None
        assert of.ratio <= (1.26 if rate == 150 else 1.25)

    @pytest.mark.parametrize("kind", ["steady", "jittery"])
    def test_ten_minutes_without_a_pause(self, kind):
        """Also where the budget is spent and sets the pace: no push leaves text behind that it could carry."""
        of = figures(by_default([reply(kind, count=24000, rate=40.0)]))

        assert of.ratio is not None
        assert of.ratio <= 1.25

    @pytest.mark.parametrize("kind", ["steady", "jittery"])
    def test_no_strategy_is_fresher_for_as_many_pushes(self, kind):
        """On replies within the burst some are fresher, and spend more; with as few pushes none is."""
        spent, mean = (every := pushes_and_means(conversation(kind, seconds=60.0))).pop(coalescing.DEFAULT)

        assert not [name for name, (count, wait) in every.items() if count <= spent and wait < mean * 0.999]

    @pytest.mark.parametrize("kind", ["steady", "jittery"])
    def test_no_strategy_is_fresher_where_the_budget_is_what_is_scarce(self, kind):
        """Ten minutes of speech: those that send at once what they have wait longer later on."""
        every = pushes_and_means([reply(kind, count=12000, rate=20.0)])

        assert min(every.values(), key=lambda of: of[1]) == every[coalescing.DEFAULT]


def pushes_and_means(trace):
    """How many pushes each strategy makes within the same budget, and how long a character waits on average."""
    found = {}
    for strategy in [coalescing.DEFAULT, *coalescing.STRATEGIES]:
        lines = coalescing.lines_of(trace, strategy, coalescing.BUDGETS["android"])
        waited = waits(lines)
        mean = sum(wait * count for wait, count in waited) / sum(count for _, count in waited)
        found[strategy] = (len(pushes(lines)), mean)
    return found


class TestOneCredential:
    @pytest.mark.parametrize("start", [float(second) for second in range(-59, 1, 14)])
    def test_ten_relays_share_300_requests_a_minute(self, start):
        """Nothing is lost, and nothing refused, wherever the service's windows begin; tokens and completions count."""
        service = Service(300, start=start)
        limits = RateLimits(GENESYS)
        phones = iter(range(10))

        def make():
            return None, channel_of(limits, ANDROID_FOREGROUND, f"phone {next(phones)}")

        said = [reply("jittery", count=3600, rate=30.0, seed=number) for number in range(10)]
        for _ in range(1 + 10):  # a token, and a completion for each
            service.ask(0.0)
        lines = relayed(said, make, service=service)

        assert_delivered(lines)
        assert service.refused == []
        assert max(line.sent[-1][0] - line.said[-1][0] for line in lines) < 5.0
        assert most_within(service.asked, 60.0) <= 300

    def test_a_service_that_allows_less_than_it_says(self):
        """Refusals empty the budget for everybody, and cost time, not text."""
        service = Service(100)
        limits = RateLimits(GENESYS)
        phones = iter(range(10))
        said = [reply("jittery", count=1600, rate=80.0, seed=number) for number in range(10)]
        lines = relayed(
            said, lambda: (None, channel_of(limits, Profile(Rate(10**6, 1e6)), f"{next(phones)}")), service=service
        )

        assert_delivered(lines)
        assert service.refused
        assert sum(line.state.report(None).held_seconds for line in lines) > 0


def channel(**options):
    return Channel(encode=lambda batch: batch.text.encode(), **options)


class TestTheDefault:
    def test_a_sink_without_a_window_gets_the_tutorial_s_contract(self):
        """200 ms or 500 bytes."""
        coalescer = channel(limiter=RateLimits(GENESYS).limiter()).default_coalescer()

        assert coalescer == TimeSize(0.2, 500)
        assert type(coalescer) is TimeSize

    def test_a_sleeping_phone_gets_the_final_payload(self):
        """Whatever its window."""
        assert channel_of(RateLimits(), ANDROID_BACKGROUND).default_coalescer() == FinalOnly()
        assert channel(final_only=True).default_coalescer() == FinalOnly()

    @pytest.mark.parametrize(("max_bytes", "expected"), [(None, 3584), (1000, 1000), (2, 4)])
    def test_a_window_and_a_size(self, max_bytes, expected):
        """The first text at once, then what gathers in the window, up to what a payload may hold."""
        coalescer = channel(window=15.0, max_bytes=max_bytes).default_coalescer()

        assert coalescer == Paced(15.0, expected)

    def test_a_profile_without_a_limiter(self):
        """There is no turn to wait for: the window alone makes the pace."""
        said = [[(second / 2, "word ") for second in range(40)]]
        lines = relayed(said, lambda: (None, channel(window=APNS_ALERT.window)))

        assert_delivered(lines)
        assert pushes(lines) == [0.0, 15.0, 19.5]

    def test_what_is_said_while_a_push_waits_for_its_turn_goes_along(self):
        """Whole characters, that is: one that may still grow takes the next."""
        profile = Profile(Rate(1, 1.0), window=0.5)
        times = [(0.0, "one "), (0.1, "two "), (0.7, "three "), (0.9, "four "), (1.9, "👩"), (1.95, "!"), (9.0, "end")]
        (line,) = relayed([times], lambda: (None, channel_of(RateLimits(), profile)), round_trip=0.0)

        sent = [(round(at, 3), batch.text) for at, batch in line.sent]
        assert sent[0] == (0.0, "one ")
        assert next(text for _, text in sent[1:]) == "two three four "
        assert_delivered([line])


def by_brute_force(arrivals, count):
    """The least waiting over every partition into at most `count` pushes."""
    best = float("inf")
    for parts in range(1, min(count, len(arrivals)) + 1):
        for cuts in itertools.combinations(range(1, len(arrivals)), parts - 1):
            ends = itertools.pairwise([0, *cuts, len(arrivals)])
            cost = sum((arrivals[end - 1][0] - at) * n for begin, end in ends for at, n in arrivals[begin:end])
            best = min(best, cost)
    return best


class TestTheBenchmark:
    @settings(deadline=None)
    @given(
        st.lists(st.tuples(st.integers(0, 40) | st.integers(0, 10**6), st.integers(1, 9)), min_size=1, max_size=8),
        st.integers(1, 9),
    )
    def test_the_optimum_is_that_of_brute_force(self, tokens, count):
        """For every small trace, with tokens of the same instant, too."""
        arrivals = sorted((at / 1000, n) for at, n in tokens)

        assert least_waiting(arrivals, count) == pytest.approx(by_brute_force(arrivals, count), abs=1e-9)

    def test_more_pushes_never_wait_longer(self):
        """The optimum falls, and ever more slowly, to nothing."""
        dice = random.Random(7)
        arrivals = sorted((dice.uniform(0, 60), dice.randint(1, 9)) for _ in range(120))
        costs = [least_waiting(arrivals, count) for count in range(1, 121)]
        gains = [a - b for a, b in itertools.pairwise(costs)]

        assert costs[-1] == 0.0
        assert all(gain >= 0 for gain in gains)
        assert all(a >= b - 1e-6 for a, b in itertools.pairwise(gains))

    @pytest.mark.parametrize("kind", KINDS)
    def test_traces_are_seeded(self, kind):
        """The same one every time, in order of time, and about as fast as was asked for."""
        said = reply(kind, count=3000, rate=50.0)

        assert said == reply(kind, count=3000, rate=50.0)
        assert said == sorted(said, key=lambda token: token[0])
        assert said[-1][0] == pytest.approx(60.0, rel=1.0)

    @pytest.mark.parametrize(
        ("name", "lines"),
        [
            ("a.csv", 'time,text\n5.0,Hello\n5.25,", world"\n'),
            ("a.jsonl", '{"time": 5.0, "text": "Hello"}\n\n[5.25, ", world"]\n'),
        ],
    )
    def test_recorded_traces(self, tmp_path, name, lines):
        """CSV, or JSON lines; the clock's zero does not matter."""
        path = tmp_path / name
        path.write_text(lines)

        assert recorded(path) == [[(0.0, "Hello"), (0.25, ", world")]]


class TestThePage:
    PAGE = (Path(__file__).parents[2] / "docs" / "coalescing.md").read_text(encoding="utf-8")

    def test_its_table_is_what_the_benchmark_prints(self):
        """Every strategy, and its figures."""
        trace = coalescing.SHAPES["reply"]("jittery", 80.0)
        every = [coalescing.DEFAULT, *coalescing.STRATEGIES]

        assert coalescing.table(list(coalescing.measured(trace, every, coalescing.BUDGETS["android"]))) in self.PAGE

    def test_an_hour_is_as_the_page_says(self):
        """The default stays within the hour's limit, and is as fresh as ever."""
        lines = by_default(coalescing.SHAPES["hour"]("steady", 80.0))
        (row,) = [line for line in self.PAGE.splitlines() if line.startswith("| the default") and "4608" in line]
        mean = sum(wait * count for wait, count in waits(lines)) / sum(len(text) for of in lines for _, text in of.said)

        assert len(pushes(lines)) == 4608
        assert f" {mean:.2f} " in row

    def test_its_picture_is_what_the_benchmark_draws(self):
        """Stroke by stroke."""
        names = ["PassThrough", "TimeSize", "Word", "Sentence", "Line", "Idle", "bounded", "FinalOnly"]
        trace = coalescing.SHAPES["reply"]("jittery", 80.0)
        drawn = coalescing.picture(trace, [coalescing.DEFAULT, *names], coalescing.BUDGETS["android"])

        assert drawn == (Path(__file__).parents[2] / "docs" / "coalescing.svg").read_text(encoding="utf-8")
