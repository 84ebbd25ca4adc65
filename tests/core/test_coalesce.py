"""What holds for every strategy, and what each is for."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import regex
from attrs import frozen
from hypothesis import given
from tests.core.virtual import run
from tests.strategies import deltas

from genesys_stream._core.relaying.coalescers import (
    Adaptive,
    Coalescer,
    FinalOnly,
    Idle,
    ImmediateFirst,
    InFlight,
    JsonArtifact,
    Line,
    MarkdownBlock,
    Milestones,
    Paragraph,
    PassThrough,
    Pattern,
    RateBudget,
    Schedule,
    Sentence,
    TimeSize,
    Word,
    any_of,
    bounded,
    switch,
    then,
)
from genesys_stream._core.relaying.limits import Rate
from genesys_stream._errors import InvalidArgument


@frozen
class Case:
    """A strategy and what it promises.

    `latency`: seconds that text may wait; `max_bytes`: of a batch; `fixed`: whether the batches depend on the text
    alone; `grace`: seconds after which an open cluster is sent, `latency` unless it is given; `repeats`: whether the
    next stream is treated like the first; `chop`: of a strategy made of others, from which size on, in bytes, one of
    them may cut a cluster.
    """

    name: str
    make: Callable[[], Any]
    latency: float = math.inf
    max_bytes: float = math.inf
    fixed: bool = False
    grace: float | None = None
    repeats: bool = True
    chop: float | None = None


CASES = [
    Case("PassThrough", PassThrough, latency=0),
    Case("TimeSize", TimeSize, latency=0.2, max_bytes=500),
    Case("TimeSize small", partial(TimeSize, 0.25, 9), latency=0.25, max_bytes=9),
    Case("TimeSize tiny", partial(TimeSize, 3, 4), latency=3, max_bytes=4),
    Case("TimeSize at once", partial(TimeSize, 0, 12), latency=0, max_bytes=12),
    Case("Sentence", Sentence, latency=1.5, max_bytes=900, fixed=True),
    Case("Sentence short", partial(Sentence, 1, 5.0, 900), latency=5, max_bytes=900, fixed=True),
    Case("Sentence small", partial(Sentence, 8, 0.4, 30), latency=0.4, max_bytes=30, fixed=True),
    Case("Pattern", partial(Pattern, r"\s+"), latency=1, max_bytes=900, fixed=True),
    Case("Pattern fn", partial(Pattern, lambda t: t.find("o") + 1, max_bytes=10), latency=1, max_bytes=10, fixed=True),
    Case("Word", Word, latency=0.5, max_bytes=500, fixed=True),
    Case("Word small", partial(Word, 5, 0.2, 12), latency=0.2, max_bytes=12, fixed=True),
    Case("Line", Line, latency=2, max_bytes=1200, fixed=True),
    Case("Paragraph", Paragraph, latency=2, max_bytes=1200, fixed=True),
    Case("MarkdownBlock", MarkdownBlock, latency=2, max_bytes=1200, fixed=True),
    Case("MarkdownBlock small", partial(MarkdownBlock, 0.3, 25), latency=0.3, max_bytes=25, fixed=True),
    Case("Schedule", partial(Schedule, [0.1, 0.5, 2.0], 40), latency=2, max_bytes=40, grace=0.1),
    Case("FinalOnly", FinalOnly, fixed=True),
    Case("Adaptive", Adaptive, latency=0.25, max_bytes=3000),
    Case("Adaptive small", partial(Adaptive, 0.3, 0.1, 0.5, 9), latency=0.3, max_bytes=9),
    Case("RateBudget", lambda: RateBudget(Rate(3, 2.0), Rate(9, 0.5)), grace=0, repeats=False),
    Case("InFlight", InFlight, latency=1, grace=0),
    Case("JsonArtifact value", partial(JsonArtifact, "value"), max_bytes=2**18),
    Case("JsonArtifact element", partial(JsonArtifact, "element", max_latency=0.3, max_bytes=9), 0.3, max_bytes=9),
    Case("JsonArtifact lines", partial(JsonArtifact, "ndjson", max_bytes=30), max_bytes=30, fixed=True),
    Case("Milestones", partial(Milestones, 1, 9, 30)),
    Case("ImmediateFirst", lambda: ImmediateFirst(TimeSize(0.4, 20)), latency=0.4, max_bytes=20, grace=0, chop=20),
    Case("Idle", partial(Idle, idle=0.04, max_wait=0.5), latency=0.5, grace=0.04),
    Case("Idle around", lambda: Idle(Sentence(5, 9.0, 60), idle=0.3), latency=1, max_bytes=60, grace=0.3, chop=60),
    Case("any_of", lambda: any_of(TimeSize(0.3, 60), Sentence(2, 9.0, 50)), latency=0.3, max_bytes=50, chop=50),
    Case("any_of fixed", lambda: any_of(Line(), Sentence(2, 9.0, 50)), latency=2, max_bytes=50, fixed=True, chop=50),
    Case("bounded", lambda: bounded(Line(9.0), max_latency=0.3, max_bytes=20), latency=0.3, max_bytes=20, chop=20),
    Case("unbounded", lambda: bounded(Line(9.0)), latency=9, fixed=True, chop=1200),
    Case("bounded rate", lambda: bounded(PassThrough(), max_latency=0.3, min_interval=0.3), latency=0.3, grace=0),
    Case(
        "bounded all",
        lambda: bounded(Word(), max_latency=0.6, max_bytes=30, min_interval=0.2),
        latency=0.6,
        max_bytes=30,
        grace=0.4,
        chop=30,
    ),
    Case("then", lambda: then(PassThrough(), 2, TimeSize(0.2, 20)), latency=0.2, grace=0, chop=20),
    Case("then then", lambda: then(Word(), 1, then(Line(1.0), 2, Sentence(4))), latency=1.5, grace=0.5, chop=500),
    Case(
        "switch",
        lambda: switch(Taking("abb"), a=TimeSize(0.2, 20), b=Sentence(4)),
        latency=1.5,
        grace=0.2,
        chop=20,
        repeats=False,
    ),
]


class Taking:
    """Chooses each name in its turn."""

    def __init__(self, names):
        self.names = names
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return self.names[self.calls % len(self.names)]


every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
fixed_case = pytest.mark.parametrize("case", [c for c in CASES if c.fixed], ids=lambda case: case.name)


def clusters(text):
    return [match.end() for match in regex.finditer(r"\X", text)]


@every_case
@given(deltas=deltas())
def test_every_promise(case, deltas):
    """Joined batches are joined deltas; no cut is seen, no bound is passed, and a closed strategy is as new."""
    coalescer = case.make()
    result = run(coalescer, deltas)

    assert isinstance(coalescer, Coalescer)
    assert result.text == "".join(result.texts)
    begin = 0
    for sent in result.sent:
        batch, end = sent.batch, begin + len(sent.batch.text)
        assert batch.text
        assert len(batch.text.encode()) <= case.max_bytes
        assert sent.at - result.arrivals[begin] <= case.latency + 1e-6
        assert (batch.first_at, batch.last_at) == (result.arrivals[begin], result.arrivals[end - 1])
        assert 1 <= batch.deltas <= len(deltas) + 1  # half a character that stays alone counts as one
        assert_legal_cut(case, result, sent, begin, end)
        begin = end
    again = run(coalescer, deltas)
    assert again == result or not case.repeats


def assert_legal_cut(case, result, sent, begin, end):
    inside = [begin, *(begin + n for n in clusters(result.text[begin:]))]
    everywhere = [0, *clusters(result.text)]
    if end in inside or (case.chop is not None and end in everywhere):
        return
    start = max(n for n in inside if n < end)
    over = min(n for n in inside if n > end)
    nothing_follows = sent.known == end
    letter = result.text[end - 1].isascii() and result.text[end - 1] != "\r"
    waited = sent.at - result.arrivals[start] >= (case.latency if case.grace is None else case.grace) - 1e-6
    if case.chop is None:
        too_large = start == begin and len(result.text[start:over].encode()) > case.max_bytes
    else:
        start, over = max(n for n in everywhere if n < end), min(n for n in everywhere if n > end)
        too_large = len(result.text[start:over].encode()) > case.chop
    assert too_large or (nothing_follows and (letter or waited))


@fixed_case
@given(deltas=deltas())
def test_cuts_into_deltas_do_not_matter(case, deltas):
    """The same text makes the same batches, however it was cut."""
    whole = run(case.make(), [("".join(text for text, _ in deltas), 0)])
    pieces = run(case.make(), [(text, 0) for text, _ in deltas])

    assert (whole.texts, whole.reasons) == (pieces.texts, pieces.reasons)


def texts(coalescer, *pieces):
    """The batches of pieces fed at once, and what is left at the end, apart."""
    sent = [batch.text for piece in pieces for batch in coalescer.feed(piece, 0)]
    return sent, "".join(batch.text for batch in coalescer.close(0))


def test_the_window_opens_with_the_first_text():
    """It is no ticker that runs on its own, and it closes for the next text anew."""
    result = run(TimeSize(0.2, 500), [("a", 1.0), ("b", 1.1), ("c", 1.5)], end=9.0)

    assert [(sent.at, sent.batch.text, sent.batch.reason) for sent in result.sent] == [
        (1.2, "ab", "time"),
        (1.7, "c", "time"),
    ]


def test_what_is_full_goes_at_once():
    """A delta that is larger than a batch is split, and the rest waits."""
    result = run(TimeSize(1, 5), [("12", 0.0), ("345", 0.1), ("6789abcdefgh", 0.2)], end=0.3)

    assert result.texts == ["12345", "6789a", "bcdef", "gh"]
    assert result.reasons == ["size", "size", "size", "final"]
    assert [sent.at for sent in result.sent] == [0.1, 0.2, 0.2, 0.3]


def test_a_late_tick_is_no_harm():
    """A feed after the window sends what is there, and an early tick sends nothing."""
    coalescer = TimeSize(0.2)
    early = [*coalescer.feed("a", 0.0), *coalescer.tick(0.1)]
    late = [batch.text for batch in coalescer.feed("b", 0.7)]

    assert (early, late, coalescer.due) == ([], ["ab"], None)


def test_pass_through():
    """Every delta, but never half a character."""
    result = run(PassThrough(), [("He", 0), ("llo \ud83d", 1), ("", 1), ("\ude00", 2), ("\ud83d", 3)])

    assert result.texts == ["He", "llo ", "\U0001f600", "\ufffd"]
    assert not PassThrough().tick(1.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello Dr. Smith. How are you? X", ["Hello Dr. Smith. ", "How are you? "]),
        ("Pi is 3.14. No. 5 is alive! I said no. So", ["Pi is 3.14. ", "No. 5 is alive! ", "I said no. "]),
        ("1. First one.\n2. Second.\n\nx", ["1. First one.\n", "2. Second.\n\n"]),
        ('He left. "Then" she... did. x', ["He left. "]),
        ('"Stop!" she said. (Really?) **Yes.** X', ['"Stop!" she said. ', "(Really?) ", "**Yes.** "]),
        ("Wait... What?! Well… Yes. x", ["Wait... ", "What?! ", "Well… "]),
        ("U.S. law, e.g. this, J. Smith. Then x", ["U.S. law, e.g. this, J. Smith. "]),
        ("Am 3. Mai kam z. B. Hr. Maier. Ja. X", ["Am 3. Mai kam z. B. Hr. ", "Maier. ", "Ja. "]),
        ("Ça va ! » Oui. « Bien ? » Non. x", ["Ça va ! » ", "Oui. ", "« Bien ? » "]),
        ("¿Qué tal? ¡Bien! Sr. Pérez. El x", ["¿Qué tal? ", "¡Bien! ", "Sr. Pérez. "]),
        ("你好。「我是谁？！」他说……好！x", ["你好。", "「我是谁？！」", "他说……好！"]),
        ("はい。そうです！３．５％", ["はい。", "そうです！"]),
        ("मैं ठीक हूँ। आप कैसे हैं? न", ["मैं ठीक हूँ। ", "आप कैसे हैं? "]),
        ("هل أنت بخير؟ نعم. ش", ["هل أنت بخير؟ ", "نعم. "]),
        ("\n\nno stop\nnext", ["\n\nno stop\n"]),
        ("see www.example.com. Then 10.5.2024, v1.2. X", ["see www.example.com. ", "Then 10.5.2024, v1.2. "]),
    ],
)
def test_sentences(text, expected):
    """Full stops of many scripts, and those that end nothing."""
    sent, left = texts(Sentence(1), text)

    assert sent == expected
    assert "".join([*sent, left]) == text


def test_sentences_are_gathered():
    """A short one waits for the next; in the end the clock decides, and it leaves words whole if they may wait."""
    sent, left = texts(Sentence(10), "Yes. No. Maybe so. I do not know. x")
    result = run(Sentence(), [("To be or ", 0.0), ("not to", 1.4), (" be", 1.6)], end=2.0)

    assert (sent, left) == (["Yes. No. Maybe so. "], "I do not know. x")
    assert [(sent.at, sent.batch.text) for sent in result.sent] == [(1.5, "To be or not "), (2.0, "to be")]


def test_a_bound_sends_whole_words_unless_they_are_long():
    """A batch that is full ends behind a word, but not if that left it half empty."""
    sent, _ = texts(Sentence(1, 9.0, 12), "some words are longer", "thanothersareinthislanguage")

    assert sent == ["some words ", "are longerth", "anothersarei", "nthislanguag"]


@pytest.mark.parametrize(
    ("coalescer", "text", "expected"),
    [
        (
            Word(),
            "The quick 你好「はい」ok 한국어 foo-bar  x",
            ["The ", "quick ", "你", "好", "「は", "い」", "ok ", "한국어 ", "foo-bar  "],
        ),
        (Word(10), "The quick brown fox", ["The quick "]),
        (Line(), "\n\na\nb\n\nc\nd", ["\n\na\n", "b\n", "\nc\n"]),
        (Paragraph(), "\n\none\ntwo\n \n\n  three\n\nfour", ["\n\none\ntwo\n \n\n", "  three\n\n"]),
        (MarkdownBlock(), "# T\ntext\n\n\n- a\n- b\n\nx", ["# T\ntext\n\n", "\n- a\n- b\n\n"]),
        (
            MarkdownBlock(),
            "say\n```py\nx\n\ny\n```\n| a |\n|--|\n## H\n\n",
            ["say\n", "```py\nx\n\ny\n```\n", "| a |\n|--|\n", "## H\n\n"],
        ),
        (MarkdownBlock(), "$$\nx\n\n$$\n~~~\n```\n\n~~~~\n$$ x $$ y\nz", ["$$\nx\n\n$$\n", "~~~\n```\n\n~~~~\n"]),
        (Pattern(r"\d+"), "a1b22c333", ["a1", "b22"]),
        (Pattern(len), "caf\u00e9", ["caf"]),
    ],
)
def test_boundaries(coalescer, text, expected):
    """What each strategy takes for a piece, whether it comes at once or character by character."""
    assert texts(coalescer, text)[0] == expected
    if not isinstance(coalescer, Pattern) or type(coalescer) is not Pattern:
        assert texts(coalescer, *text)[0] == expected


def test_a_fence_that_a_bound_cut_is_still_known():
    """An empty line in its second half ends nothing, and what closes it opens nothing."""
    text = "```python\n" + "x = 1\n" * 6 + "\ny = 2\n```\nafter it\n\nnext\n\n"
    sent, _ = texts(MarkdownBlock(9.0, 30), text)

    assert sent[-2:] == ["after it\n\n", "next\n\n"]
    assert sent[-3].endswith("y = 2\n```\n")


def test_a_schedule_grows():
    """Each send waits longer than the one before; the last interval stays, and the next stream begins anew."""
    schedule = Schedule([0.1, 0.3, 1.0])
    deltas = [("x ", i / 10) for i in range(50)]
    for _ in range(2):
        times = [round(sent.at, 6) for sent in run(schedule, deltas).sent]
        assert times[:5] == [0.1, 0.4, 1.4, 2.4, 3.4]


def test_a_rate_budget_takes_all_that_waits_and_keeps_one_push_for_the_end():
    """No span of time sees more than its rates let through, over streams that follow each other, too."""
    strategy = RateBudget(Rate(2, 1.0), Rate(3, 0.5))
    said = [("a", 0.0), ("b", 0.1), ("c", 0.2), ("d", 1.5), ("e", 1.6)]
    result = run(strategy, said)

    assert [(sent.at, sent.batch.text, sent.batch.reason) for sent in result.sent] == [
        (0.0, "a", "budget"),
        (1.0, "bc", "budget"),
        (1.6, "de", "final"),
    ]
    assert [sent.at for sent in run(strategy, [("f", 1.7)], end=9.0).sent] == [pytest.approx(4.0)]
    assert repr(strategy) == "RateBudget(Rate(burst=2, per_second=1.0), Rate(burst=3, per_second=0.5))"


def test_milestones():
    """At the first text, at each mark, and at the end; a delta that passes two marks is one batch."""
    result = run(Milestones(1, 10, 12), [("abc", 0), ("defg", 1), ("hijklmn", 2), ("op", 3)])

    assert result.texts == ["abc", "defghijklmn", "op"]
    assert repr(Milestones(9, 1)) == "Milestones(1, 9)"
    assert repr(FinalOnly()) == "FinalOnly()"
    assert run(Milestones(1), [("你", 0), ("好", 1), ("吗", 2)]).texts == ["你", "好吗"]
    assert not Milestones(1).tick(0.0)


def test_the_first_text_that_shows_goes_at_once():
    """White space alone does not; afterwards the other strategy decides, by its own clock."""
    result = run(ImmediateFirst(TimeSize(0.5)), [("\n", 0.0), ("Hi", 0.1), (" you", 0.3), ("!", 0.4)], end=9.0)
    waiting = run(ImmediateFirst(FinalOnly(), min_chars=3), [("H e", 0), ("y \U0001f469", 1)])
    open_cluster = run(ImmediateFirst(FinalOnly()), [("\U0001f469", 0), ("!", 1)])

    assert [(sent.at, sent.batch.text, sent.batch.reason) for sent in result.sent] == [
        (0.1, "\nHi", "first"),
        (0.5, " you!", "time"),
    ]
    assert waiting.texts == ["H ey ", "\U0001f469"]
    assert open_cluster.texts == ["\U0001f469", "!"]


def test_silence_sends():
    """And so does a model that is never silent for long."""
    deltas = [("a", 0.0), ("b", 0.1), ("c", 0.5), *((".", 1 + i / 10) for i in range(12))]
    sent = [(round(s.at, 6), s.batch.text, s.batch.reason) for s in run(Idle(), deltas).sent]

    assert sent == [(0.25, "ab", "idle"), (0.65, "c", "idle"), (2.0, "." * 10, "idle"), (2.1, "..", "final")]


def test_the_earliest_wins():
    """`any_of` cuts wherever one of its members would."""
    both = any_of(TimeSize(0.5, 100), Line(9.0))
    result = run(both, [("a\nb", 0.0), ("c\n", 0.2), ("d", 0.3)], end=2.0)

    assert [(sent.at, sent.batch.text) for sent in result.sent] == [(0.0, "a\n"), (0.2, "bc\n"), (0.5, "d")]


def test_bounds():
    """They hold for a strategy that knows none, and with an interval between sends what gathers goes out as one."""
    large = run(bounded(FinalOnly(), max_bytes=4), [("abcdefghij", 0), ("\ud83d", 1)])
    slow = run(bounded(PassThrough(), min_interval=1.0), [(char, i / 4) for i, char in enumerate("abcdefgh")], end=9.0)
    never = run(bounded(FinalOnly()), [("a", 0)], end=9.0)

    assert large.texts == ["abcd", "efgh", "ij", "\ufffd"]
    assert [(sent.at, sent.batch.text) for sent in slow.sent] == [(0.0, "a"), (1.0, "bcd"), (2.0, "efgh")]
    assert never.reasons == ["final"]


def test_an_interval_holds_full_batches_too():
    """They go out together when it is over."""
    coalescer = bounded(Line(9.0), max_bytes=4, min_interval=1.0)
    result = run(coalescer, [("a\n", 0.0), ("bcdefghijk", 0.5)], end=2.0)

    assert [(sent.at, sent.batch.text) for sent in result.sent] == [(0, "a\n"), (1, "bcde"), (1, "fghi"), (2, "jk")]


def test_one_after_the_other():
    """The second takes over the text that waits, with its age."""
    coalescer = then(Line(9.0), 1, TimeSize(0.5))
    for _ in range(2):
        result = run(coalescer, [("a\nb\nc", 0.0), ("d", 0.3), ("e", 1.0)], end=2.0)
        assert [(sent.at, sent.batch.text) for sent in result.sent] == [(0, "a\n"), (0.5, "b\ncd"), (1.5, "e")]


def test_one_at_a_time():
    """The choice is made at each delta, and the text that waits goes along."""
    where = ["background"]
    coalescer = switch(lambda: where[0], foreground=TimeSize(0.2), background=FinalOnly())
    before = [*coalescer.feed("a", 0.0), *coalescer.feed("b", 1.0)]
    where[0] = "foreground"
    brought = [batch.text for batch in coalescer.feed("c", 1.1)]
    where[0] = "elsewhere"

    assert (before, brought) == ([], ["abc"])
    with pytest.raises(InvalidArgument, match="choose must return one of foreground, background, got 'elsewhere'"):
        coalescer.feed("d", 1.2)


class Learner(TimeSize):
    def __init__(self):
        super().__init__()
        self.outcomes = []

    def feedback(self, outcome, now):
        self.outcomes.append((outcome, now))


def test_composites_hand_outcomes_on():
    """To those of their members that learn."""
    learners = [Learner() for _ in range(3)]
    for coalescer in (ImmediateFirst(learners[0]), any_of(PassThrough(), learners[1]), then(learners[2], 1, Line())):
        coalescer.feedback("delivered", 2.0)
    ImmediateFirst(TimeSize()).feedback("delivered", 2.0)

    assert [learner.outcomes for learner in learners] == [[("delivered", 2.0)]] * 3


class Forgetful:
    """A strategy of somebody's own that keeps its last words to itself."""

    due = None

    def feed(self, text, now):
        return []

    tick = close = lambda self, *args: []


def test_a_members_mistake_loses_no_text():
    """What a member keeps for itself the composite sends at the end."""
    for coalescer in (any_of(Forgetful()), ImmediateFirst(Forgetful()), bounded(Forgetful(), max_latency=1.0)):
        assert run(coalescer, [("ab", 0), ("cd", 0)]).text == "abcd"
        assert "".join(run(coalescer, [("ab", 0), ("cd", 0)]).texts) == "abcd"


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: TimeSize(-0.1), "window"),
        (lambda: TimeSize(math.nan), "window"),
        (lambda: TimeSize(math.inf), "window"),
        (lambda: TimeSize(True), "window"),
        (lambda: TimeSize("0.2"), "window"),
        (lambda: TimeSize(0.2, 3), "max_bytes"),
        (lambda: TimeSize(0.2, 500.0), "max_bytes"),
        (lambda: TimeSize(0.2, True), "max_bytes"),
        (lambda: Sentence(0), "min_chars"),
        (lambda: Sentence(40, None), "max_latency"),
        (lambda: Word(max_bytes=2), "max_bytes"),
        (lambda: Pattern(7), "find"),
        (lambda: Pattern("("), "find"),
        (lambda: Schedule([]), "intervals"),
        (lambda: Schedule(0.2), "intervals"),
        (lambda: Schedule([0.2, "x"]), "intervals"),
        (RateBudget, "rates"),
        (lambda: RateBudget(Rate(2, 1.0), 3), r"rates\[1\]"),
        (lambda: Milestones(0), "marks"),
        (lambda: Milestones(True), "marks"),
        (lambda: Adaptive("0.25"), "initial"),
        (lambda: Adaptive(0.1), "initial"),
        (lambda: Adaptive(minimum=-1), "minimum"),
        (lambda: Adaptive(0.5, 0.2, 0.4), "maximum"),
        (lambda: Adaptive(max_bytes=3), "max_bytes"),
        (lambda: InFlight(math.nan), "max_latency"),
        (lambda: ImmediateFirst(TimeSize), "inner"),
        (lambda: ImmediateFirst(TimeSize(), 0), "min_chars"),
        (lambda: Idle(7), "inner"),
        (lambda: Idle(idle=-1), "idle"),
        (lambda: bounded(None), "inner"),
        (lambda: bounded(Line(), max_bytes=1), "max_bytes"),
        (lambda: bounded(Line(), max_latency=1, min_interval=2), "min_interval"),
        (any_of, "coalescers"),
        (lambda: any_of(Line(), Line), r"coalescers\[1\]"),
        (lambda: then(Line(), 0, Line()), "after"),
        (lambda: then(Line(), 1, None), "second"),
        (lambda: switch("foreground", a=Line()), "choose"),
        (lambda: switch(lambda: "a"), "coalescers"),
        (lambda: switch(lambda: "a", a=Line), "a"),
    ],
)
def test_bad_arguments_are_named(make, argument):
    """When the strategy is made, not when the stream has begun."""
    with pytest.raises(InvalidArgument, match=f"^{argument} must "):
        make()
