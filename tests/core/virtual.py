"""A clock for the core's tests: deltas are fed at their times, and `tick` is called exactly when it is due."""

from __future__ import annotations

from attrs import frozen

from genesys_stream._core.relaying.batcher import Batcher
from genesys_stream._values import Batch
from genesys_stream._wire import join_surrogates


@frozen
class Sent:
    batch: Batch
    at: float
    known: int
    """How many characters of the whole text had arrived."""


@frozen
class Run:
    text: str
    arrivals: tuple[float, ...]
    """One for each character."""
    sent: tuple[Sent, ...]

    @property
    def texts(self):
        return [sent.batch.text for sent in self.sent]

    @property
    def timed(self):
        return [(sent.at, sent.batch.text) for sent in self.sent]


def run(coalescer, deltas, *, end=0.0):
    """Feed (text, time) pairs, call tick when due, and close at `end` or with the last delta, whichever is later."""
    batcher = Batcher(coalescer)
    arrivals: list[float] = []
    sent: list[Sent] = []
    half = ""
    now = 0.0

    def note(batches):
        sent.extend(Sent(batch, now, len(arrivals)) for batch in batches)

    def tick_until(time):
        nonlocal now
        while (due := batcher.due) is not None and due <= time:
            now = max(now, due)
            note(batcher.tick(now))
            assert batcher.due is None or batcher.due > now, "tick changed nothing"

    for text, at in deltas:
        tick_until(at)
        now = at
        text_ = half + text
        half = text_[-1:] if "\ud800" <= text_[-1:] <= "\udbff" else ""
        arrivals += [at] * len(join_surrogates(text_[: len(text_) - len(half)]))
        note(batcher.feed(text, at))
    end = max(end, now)
    tick_until(end)
    now = end
    arrivals += [now] * len(half)
    note(batcher.close(now))
    assert not batcher.close(now), "close is idempotent"
    assert batcher.due is None
    whole = join_surrogates("".join(text for text, _ in deltas))
    return Run(whole, tuple(arrivals), tuple(sent))
