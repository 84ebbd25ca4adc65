"""What holds for every strategy, and what each is for."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import regex
from attrs import frozen
from hypothesis import given, settings
from tests.core.virtual import run
from tests.strategies import deltas

from genesys_stream import (
    Batcher,
    Coalescer,
    FinalOnly,
    Idle,
    ImmediateFirst,
    JsonArtifact,
    Line,
    MarkdownBlock,
    Paced,
    Paragraph,
    PassThrough,
    Pattern,
    Sentence,
    TimeSize,
    WaitingText,
    Word,
    any_of,
    bounded,
)
from genesys_stream._core.relaying.queue import TextQueue
from genesys_stream._errors import InvalidArgument


@frozen
class Case:
    """A strategy and what it promises.

    `latency`: seconds that text may wait; `max_bytes`: of a batch; `fixed`: whether the batches depend on the text
    alone; `grace`: seconds after which an open cluster is sent, `latency` unless it is given; `chop`: of a strategy
    made of others, from which size on, in bytes, one of them may cut a cluster.
    """

    name: str
    make: Callable[[], Any]
    latency: float = math.inf
    max_bytes: float = math.inf
    fixed: bool = False
    grace: float | None = None
    chop: float | None = None


CASES = [
    Case("PassThrough", PassThrough, latency=0),
    Case("TimeSize", TimeSize, latency=0.2, max_bytes=500),
    Case("TimeSize small", partial(TimeSize, 0.25, 9), latency=0.25, max_bytes=9),
    Case("TimeSize tiny", partial(TimeSize, 3, 4), latency=3, max_bytes=4),
    Case("Paced", Paced, latency=0.5, max_bytes=3584, grace=0),
    Case("Paced small", partial(Paced, 0.3, 12), latency=0.3, max_bytes=12, grace=0),
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
    Case("FinalOnly", FinalOnly, fixed=True),
    Case("JsonArtifact value", partial(JsonArtifact, "value"), max_bytes=2**18),
    Case("JsonArtifact element", partial(JsonArtifact, "element", max_latency=0.3, max_bytes=9), 0.3, max_bytes=9),
    Case("JsonArtifact lines", partial(JsonArtifact, "ndjson", max_bytes=30), max_bytes=30, fixed=True),
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
]


every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
fixed_case = pytest.mark.parametrize("case", [c for c in CASES if c.fixed], ids=lambda case: case.name)


def clusters(text):
    return [match.end() for match in regex.finditer(r"\X", text)]


@every_case
@given(deltas=deltas())
def test_every_promise(case, deltas):
    """Joined batches are joined deltas; no cut is seen, no bound is passed, and the next stream is treated alike."""
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
    assert run(coalescer, deltas) == result


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

    assert whole.texts == pieces.texts


@every_case
@settings(max_examples=30)
@given(deltas=deltas(), others=deltas())
def test_one_instance_serves_several_streams_at_once(case, deltas, others):
    """What it remembers of one has no influence on another."""
    shared = case.make()
    one, other = Batcher(shared), Batcher(shared)
    said = [*((at, text, one) for text, at in deltas), *((at, text, other) for text, at in others)]
    sent = {id(one): [], id(other): []}
    for at, text, batcher in sorted(said, key=lambda delta: delta[0]):
        for now in (batcher.due, at):
            if now is not None and now <= at:
                sent[id(batcher)] += batcher.tick(now)
        sent[id(batcher)] += batcher.feed(text, at)
    for batcher, alone in ((one, deltas), (other, others)):
        expected = separately(case.make(), alone)
        assert sent[id(batcher)] + batcher.close(1e9) == expected


def separately(coalescer, deltas):
    """The batches of a strategy that serves nobody else."""
    batcher = Batcher(coalescer)
    sent = []
    for text, at in deltas:
        for now in (batcher.due, at):
            if now is not None and now <= at:
                sent += batcher.tick(now)
        sent += batcher.feed(text, at)
    return sent + batcher.close(1e9)


@frozen
class AskedTwice:
    """Asks another strategy twice, and uses its second answer."""

    inner: Any

    def cut(self, waiting, now):
        self.inner.cut(waiting, now)
        return self.inner.cut(waiting, now)

    def due(self, waiting):
        self.inner.due(waiting)
        return self.inner.due(waiting)


@every_case
@settings(max_examples=30)
@given(deltas=deltas())
def test_an_answer_may_go_unused(case, deltas):
    """A strategy that is asked twice answers the same."""
    assert run(AskedTwice(case.make()), deltas) == run(case.make(), deltas)


class CountingText(WaitingText):
    """Counts the characters that a strategy looks at."""

    __slots__ = ("looked_at",)

    def __init__(self):
        super().__init__()
        self.looked_at = 0

    def peek(self, n):
        found = super().peek(n)
        self.looked_at += len(found)
        return found

    def since(self, position):
        found = super().since(position)
        self.looked_at += len(found)
        return found


MIB = 2**20
LONG = 10.0**9
LARGE: dict[str, Any] = {
    "PassThrough": PassThrough(),
    "TimeSize": TimeSize(LONG, 2 * MIB),
    "Paced": Paced(LONG, 2 * MIB),
    "FinalOnly": FinalOnly(),
    "Word": Word(2 * MIB, LONG, 2 * MIB),
    "Sentence": Sentence(2 * MIB, LONG, 2 * MIB),
    "Line": Line(LONG, 2 * MIB),
    "Paragraph": Paragraph(LONG, 2 * MIB),
    "MarkdownBlock": MarkdownBlock(LONG, 2 * MIB),
    "Pattern": Pattern("x+", max_latency=LONG, max_bytes=2 * MIB),
    "JsonArtifact": JsonArtifact("value", max_bytes=2 * MIB),
    "ImmediateFirst": ImmediateFirst(FinalOnly()),
    "Idle": Idle(idle=LONG, max_wait=LONG),
    "any_of": any_of(Line(LONG, 2 * MIB), Word(2 * MIB, LONG, 2 * MIB)),
    "bounded": bounded(Line(LONG, 2 * MIB), max_latency=LONG, max_bytes=2 * MIB, min_interval=1.0),
}
SMALL: dict[str, Any] = {
    "TimeSize": TimeSize(),
    "Paced": Paced(),
    "Word": Word(),
    "Sentence": Sentence(),
    "Line": Line(),
    "Paragraph": Paragraph(),
    "MarkdownBlock": MarkdownBlock(),
    "Pattern": Pattern("x+"),
    "Pattern fn": Pattern(lambda text: text.find(",") + 1),
    "JsonArtifact": JsonArtifact("value", max_bytes=500),
    "bounded": bounded(FinalOnly(), max_bytes=500),
    "any_of": any_of(Word(), TimeSize()),
}


def looked_at(coalescer, *pieces):
    """How many characters a strategy looks at, and how many batches it makes, without the last."""
    queue = TextQueue(coalescer)
    queue.waiting = waiting = CountingText()
    for piece in pieces:
        queue.feed(piece, 0.0)
    return waiting.looked_at, len(queue.ready)


@pytest.mark.parametrize("coalescer", LARGE.values(), ids=LARGE)
def test_text_that_waits_is_looked_at_once(coalescer):
    """However much waits: each character of a mebibyte that comes in pieces is looked at once or twice."""
    pieces = ["[ some words, "] + ["more of them, "] * (MIB // 14)
    looked, _ = looked_at(coalescer, *pieces)

    assert looked <= 2.1 * MIB


@pytest.mark.parametrize("coalescer", SMALL.values(), ids=SMALL)
def test_a_large_delta_is_looked_at_in_proportion(coalescer):
    """Four times the text makes four times the batches, and takes four times as many looks."""
    paragraph = "some words, more of them. \n\n"
    quarter, fewer = looked_at(coalescer, paragraph * (MIB // 4 // len(paragraph)))
    whole, more = looked_at(coalescer, paragraph * (MIB // len(paragraph)))

    assert whole <= 4.1 * quarter + 10_000
    assert more == pytest.approx(4 * fewer, rel=0.02)


def texts(coalescer, *pieces):
    """The batches of pieces fed at once, and what is left at the end, apart."""
    batcher = Batcher(coalescer)
    sent = [batch.text for piece in pieces for batch in batcher.feed(piece, 0)]
    return sent, "".join(batch.text for batch in batcher.close(0))


def test_the_window_opens_with_the_first_text():
    """It is no ticker that runs on its own, and it closes for the next text anew."""
    result = run(TimeSize(0.2, 500), [("a", 1.0), ("b", 1.1), ("c", 1.5)], end=9.0)

    assert result.timed == [(1.2, "ab"), (1.7, "c")]


def test_what_is_full_goes_at_once():
    """A delta that is larger than a batch is split, and the rest waits."""
    result = run(TimeSize(1, 5), [("12", 0.0), ("345", 0.1), ("6789abcdefgh", 0.2)], end=0.3)

    assert result.texts == ["12345", "6789a", "bcdef", "gh"]
    assert [sent.at for sent in result.sent] == [0.1, 0.2, 0.2, 0.3]


def test_a_late_tick_is_no_harm():
    """A feed after the window sends what is there, and an early tick sends nothing."""
    batcher = Batcher(TimeSize(0.2))
    early = [*batcher.feed("a", 0.0), *batcher.tick(0.1)]
    late = [batch.text for batch in batcher.feed("b", 0.7)]

    assert (early, late, batcher.due) == ([], ["ab"], None)


def test_pass_through():
    """Every delta, but never half a character."""
    result = run(PassThrough(), [("He", 0), ("llo \ud83d", 1), ("", 1), ("\ude00", 2), ("\ud83d", 3)])

    assert result.texts == ["He", "llo ", "\U0001f600", "\ufffd"]
    assert not Batcher(PassThrough()).tick(1.0)


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
        ("「はい。」No. 5 lives. So", ["「はい。」", "No. 5 lives. "]),
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
    assert result.timed == [(1.5, "To be or not "), (2.0, "to be")]


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
        (Pattern(r"\d*"), "a1b22c333", ["a1", "b22"]),
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


def test_the_first_text_that_shows_goes_at_once():
    """White space alone does not; afterwards the other strategy decides, by its own clock."""
    result = run(ImmediateFirst(TimeSize(0.5)), [("\n", 0.0), ("Hi", 0.1), (" you", 0.3), ("!", 0.4)], end=9.0)
    open_cluster = run(ImmediateFirst(FinalOnly()), [("\U0001f469", 0), ("!", 1)])
    behind_white_space = run(ImmediateFirst(FinalOnly()), [("\n\u00e9", 0), ("!", 1)])

    assert result.timed == [(0.1, "\nHi"), (0.8, " you!")]
    assert open_cluster.texts == ["\U0001f469", "!"]
    assert behind_white_space.texts == ["\n\u00e9", "!"]


def test_silence_sends():
    """And so does a model that is never silent for long."""
    deltas = [("a", 0.0), ("b", 0.1), ("c", 0.5), *((".", 1 + i / 10) for i in range(12))]
    sent = [(round(at, 6), text) for at, text in run(Idle(), deltas).timed]

    assert sent == [(0.25, "ab"), (0.65, "c"), (2.0, "." * 10), (2.1, "..")]


def test_the_earliest_wins():
    """`any_of` cuts wherever one of its members would."""
    both = any_of(TimeSize(0.5, 100), Line(9.0))
    result = run(both, [("a\nb", 0.0), ("c\n", 0.2), ("d", 0.3)], end=2.0)

    assert result.timed == [(0.0, "a\n"), (0.2, "bc\n"), (0.8, "d")]


def test_bounds():
    """They hold for a strategy that knows none, and with an interval between sends what gathers goes out as one."""
    large = run(bounded(FinalOnly(), max_bytes=4), [("abcdefghij", 0), ("\ud83d", 1)])
    slow = run(bounded(PassThrough(), min_interval=1.0), [(char, i / 4) for i, char in enumerate("abcdefgh")], end=9.0)
    never = run(bounded(FinalOnly()), [("a", 0)], end=9.0)

    assert large.texts == ["abcd", "efgh", "ij", "\ufffd"]
    assert slow.timed == [(0.0, "a"), (1.0, "bcd"), (1.0, "e"), (2.0, "fgh")]
    assert never.timed == [(9.0, "a")]


def test_an_interval_holds_full_batches_too():
    """They go out together when it is over."""
    coalescer = bounded(Line(9.0), max_bytes=4, min_interval=1.0)
    result = run(coalescer, [("a\n", 0.0), ("bcdefghijk", 0.5)], end=2.0)

    assert result.timed == [(0, "a\n"), (1, "bcde"), (1, "fghi"), (2, "jk")]


def test_several_strategies_that_would_cut():
    """The shortest piece goes first, and what a strategy would have cut besides is asked for again."""
    result = run(any_of(PassThrough(), Line(), Word()), [("one two\nthree", 0.0)])

    assert result.texts == ["one ", "two\n", "three"]


def test_what_is_said_while_a_push_waits_goes_along():
    """Whole characters, that is: one that may still grow takes the next."""
    queue = TextQueue(Paced(0.5))
    for now, text in [(0.0, "one "), (0.1, "two "), (0.2, "\U0001f469")]:
        queue.feed(text, now)
    assert [piece.text for piece in queue.ready] == ["one ", "two "]
    queue.take_ready()
    for now, text in [(0.3, "!"), (0.4, "three ")]:
        queue.feed(text, now)
    assert (queue.ready, queue.due) == ([], 0.7)
    queue.tick(0.7)

    assert [piece.text for piece in queue.ready] == ["\U0001f469!three "]


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
        (lambda: ImmediateFirst(TimeSize), "inner"),
        (lambda: Idle(7), "inner"),
        (lambda: Idle(idle=-1), "idle"),
        (lambda: bounded(None), "inner"),
        (lambda: bounded(Line(), max_bytes=1), "max_bytes"),
        (lambda: bounded(Line(), max_latency=1, min_interval=2), "min_interval"),
        (lambda: JsonArtifact("value", max_latency=-1), "max_latency"),
        (lambda: JsonArtifact("values"), "mode"),
        (any_of, "coalescers"),
        (lambda: any_of(Line(), Line), r"coalescers\[1\]"),
    ],
)
def test_bad_arguments_are_named(make, argument):
    """When the strategy is made, not when the stream has begun."""
    with pytest.raises(InvalidArgument, match=f"^{argument} must "):
        make()
