"""Traces: when a model says what; made from a seed, or recorded.

A trace is a list of replies, and a reply a list of (seconds, text), in order of time.
"""

from __future__ import annotations

import csv
import json
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

Reply: TypeAlias = list[tuple[float, str]]
Trace: TypeAlias = list[Reply]

_WORDS = (
    *("the", "of", "and", "to", "in", "is", "that", "for", "it", "as", "with", "on", "be", "by", "this", "are", "from"),
    *("at", "or", "have", "not", "which", "an", "we", "can", "all", "their", "has", "there", "more", "when", "who"),
    *("will", "time", "stream", "token", "reader", "message", "buffer", "window", "server", "client", "connection"),
    *("request", "response", "between", "another", "however", "different", "important", "something", "understand"),
)


def tokens(rng: random.Random) -> Iterator[str]:
    """Words in sentences, in paragraphs: about five characters to a token, as models have it."""
    left = rng.randint(6, 18)
    first, sentences = True, rng.randint(2, 5)
    while True:
        word = rng.choice(_WORDS)
        word = word.capitalize() if first else " " + word
        first = False
        left -= 1
        if len(word) > 9 and rng.random() < 0.7:
            yield word[:5]
            word = word[5:]
        yield word
        if left:
            if rng.random() < 0.08:
                yield ","
            continue
        left, first, sentences = rng.randint(6, 18), True, sentences - 1
        if sentences:
            yield ". "
        else:
            sentences = rng.randint(2, 5)
            yield ".\n\n"


def _steady(rng: random.Random, rate: float) -> Iterator[float]:  # noqa: ARG001 - the others need the dice
    while True:
        yield 1 / rate


def _jittery(rng: random.Random, rate: float) -> Iterator[float]:
    """Lognormal gaps: one in six is longer than 1.6 times the usual one, and one in forty than 2.7 times."""
    sigma = 0.5
    usual = 1 / rate / math.exp(sigma * sigma / 2)
    while True:
        yield usual * rng.lognormvariate(0, sigma)


def _bursty(rng: random.Random, rate: float) -> Iterator[float]:
    """A proxy gathers some tokens and passes them on together."""
    while True:
        count = rng.randint(8, 40)
        yield count / rate
        for _ in range(count - 1):
            yield 0.0002


def _stalled(rng: random.Random, rate: float) -> Iterator[float]:
    """Jittery, one gap in fifty ten times as long, and about once in 300 tokens nothing for one to four seconds."""
    for gap in _jittery(rng, rate):
        longer = gap * (10 if rng.random() < 1 / 50 else 1)
        yield longer + (rng.uniform(1, 4) if rng.random() < 1 / 300 else 0.0)


def _speculative(rng: random.Random, rate: float) -> Iterator[float]:
    """Speculative decoding: one to five tokens at once."""
    while True:
        count = rng.choice((1, 2, 3, 4, 5))
        yield count / rate
        for _ in range(count - 1):
            yield 0.0


KINDS: dict[str, Callable[[random.Random, float], Iterator[float]]] = {
    "steady": _steady,
    "jittery": _jittery,
    "bursty": _bursty,
    "stalled": _stalled,
    "speculative": _speculative,
}


def reply(kind: str, *, count: int, rate: float = 80.0, start: float = 0.0, seed: int = 1) -> Reply:
    """One reply of `count` tokens, at `rate` tokens a second on average."""
    rng = random.Random(f"{kind} {seed}")  # noqa: S311 - dice, not secrets
    gaps, texts = KINDS[kind](rng, rate), tokens(random.Random(f"text {seed}"))  # noqa: S311 - same
    at, said = start, []
    for number in range(count):
        at += next(gaps) if number else 0.0
        said.append((round(at, 6), next(texts)))
    return said


def conversation(kind: str, *, seconds: float, count: int = 600, rate: float = 80.0, pause: float = 5.0) -> Trace:
    """Replies, each `pause` seconds after the one before, for as long as they end within `seconds`."""
    replies: Trace = []
    start = 0.0
    while True:
        next_one = reply(kind, count=count, rate=rate, start=start, seed=len(replies) + 1)
        if replies and next_one[-1][0] > seconds:
            return replies
        replies.append(next_one)
        start = next_one[-1][0] + pause


def recorded(path: Path) -> Trace:
    """A trace from a file: CSV lines of time,text, or JSON lines of {"time": ..., "text": ...} or [time, text].

    Times are seconds from any zero.
    """
    said: Reply = []
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            rows = [row for row in csv.reader(file) if row and row[0] != "time"]
            said = [(float(at), text) for at, text in rows]
        else:
            for line in filter(str.strip, file):
                item = json.loads(line)
                at, text = (item["time"], item["text"]) if isinstance(item, dict) else item
                said.append((float(at), str(text)))
    if not said:
        msg = f"{path} has no tokens"
        raise ValueError(msg)
    said.sort(key=lambda token: token[0])
    zero = said[0][0]
    return [[(round(at - zero, 6), text) for at, text in said]]
