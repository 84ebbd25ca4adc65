"""What holds for every strategy, and what each is for."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import regex
from attrs import frozen
from hypothesis import given
from texts import deltas
from virtual import run

from genesys_stream._core.coalesce import (
    Coalescer,
    FinalOnly,
    Idle,
    ImmediateFirst,
    Line,
    MarkdownBlock,
    Milestones,
    Paragraph,
    PassThrough,
    Pattern,
    Schedule,
    Sentence,
    TimeSize,
    Word,
    any_of,
    bounded,
    switch,
    then,
)
from genesys_stream._errors import InvalidArgument


@frozen
class Case:
    """A strategy and what it promises.

    `latency`: seconds that text may wait; `max_bytes`: of a batch; `fixed`: whether the batches depend on the text
    alone; `grace`: seconds after which an open cluster is sent, `latency` unless it is given; `repeats`: whether the
    next stream is treated like the first.
    """

    name: str
    make: Callable[[], Any]
    latency: float = math.inf
    max_bytes: float = math.inf
    fixed: bool = False
    grace: float | None = None
    repeats: bool = True


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
    Case("Milestones", partial(Milestones, 1, 9, 30)),
    Case("ImmediateFirst", lambda: ImmediateFirst(TimeSize(0.4, 20)), latency=0.4, max_bytes=math.inf, grace=0),
    Case("Idle", partial(Idle, idle=0.04, max_wait=0.5), latency=0.5, grace=0.04),
    Case("Idle around", lambda: Idle(Sentence(5, 9.0, 60), idle=0.3), latency=1, max_bytes=60, grace=0.3),
    Case("any_of", lambda: any_of(TimeSize(0.3, 60), Sentence(2, 9.0, 50)), latency=0.3, max_bytes=50),
    Case("any_of fixed", lambda: any_of(Line(), Sentence(2, 9.0, 50)), latency=2, max_bytes=50, fixed=True),
    Case("bounded", lambda: bounded(Line(9.0), max_latency=0.3, max_bytes=20), latency=0.3, max_bytes=20),
    Case("unbounded", lambda: bounded(Line(9.0)), latency=9, fixed=True),
    Case("bounded rate", lambda: bounded(PassThrough(), max_latency=0.3, min_interval=0.3), latency=0.3, grace=0),
    Case(
        "bounded all",
        lambda: bounded(Word(), max_latency=0.6, max_bytes=30, min_interval=0.2),
        latency=0.6,
        max_bytes=30,
        grace=0.5,
    ),
    Case("then", lambda: then(PassThrough(), 2, TimeSize(0.2, 20)), latency=0.2, grace=0),
    Case("then then", lambda: then(Word(), 1, then(Line(1.0), 2, Sentence(4))), latency=1.5, grace=0.5),
    Case(
        "switch",
        lambda: switch(Taking("abb"), a=TimeSize(0.2, 20), b=Sentence(4)),
        latency=1.5,
        grace=0.2,
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
    if end in inside:
        return
    start = max(n for n in inside if n < end)
    over = min(n for n in inside if n > end)
    nothing_follows = sent.known == end
    letter = result.text[end - 1].isascii() and result.text[end - 1] != "\r"
    waited = sent.at - result.arrivals[start] >= (case.latency if case.grace is None else case.grace) - 1e-6
    too_large = start == begin and len(result.text[start:over].encode()) > case.max_bytes
    assert too_large or (nothing_follows and (letter or waited))


@fixed_case
@given(deltas=deltas())
def test_cuts_into_deltas_do_not_matter(case, deltas):
    """The same text makes the same batches, however it was cut."""
    whole = run(case.make(), [("".join(text for text, _ in deltas), 0)])
    pieces = run(case.make(), [(text, 0) for text, _ in deltas])

    assert (whole.texts, whole.reasons) == (pieces.texts, pieces.reasons)
