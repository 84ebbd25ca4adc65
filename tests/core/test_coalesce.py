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

from genesys_stream._core.coalesce import Coalescer, PassThrough, Pattern, Sentence, TimeSize
from genesys_stream._errors import InvalidArgument


@frozen
class Case:
    """A strategy and what it promises.

    `latency`: seconds that text may wait; `max_bytes`: of a batch; `fixed`: whether the batches depend on the text
    alone; `grace`: seconds after which an open cluster is sent, `latency` unless it is given.
    """

    name: str
    make: Callable[[], Any]
    latency: float = math.inf
    max_bytes: float = math.inf
    fixed: bool = False
    grace: float | None = None


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
]
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
    assert result == run(coalescer, deltas)


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
