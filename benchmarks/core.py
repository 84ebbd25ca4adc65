"""What a relay's core costs per token beside parsing the chunk that the token came in.

The text of a reply goes through `RelayState.feed`, `next` and `succeeded`, to a sink that takes each batch at once:
queued, cut, numbered and summed up, but not encoded and not sent. `json.loads` of one chunk is measured in turn with
them, so that a busy machine hurts both alike; only the ratio means something on another machine.

    python benchmarks/core.py              every strategy, tokens that come at 80 a second, and a mebibyte that waits
    python benchmarks/core.py --runs 15    the best of more runs
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence

from genesys_stream import (
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
    Retry,
    Sentence,
    TimeSize,
    Word,
    any_of,
    bounded,
)
from genesys_stream._core.relaying.delivery import End, Push
from genesys_stream._core.relaying.relay import RelayState

STRATEGIES: dict[str, Coalescer] = {
    "Paced, the default of a push sink": Paced(),
    "TimeSize, the default of any other": TimeSize(),
    "FinalOnly": FinalOnly(),
    "Idle": Idle(),
    "ImmediateFirst": ImmediateFirst(TimeSize(0.5)),
    "Line": Line(),
    "MarkdownBlock": MarkdownBlock(),
    "Paragraph": Paragraph(),
    "Pattern": Pattern(r"[,.]\s"),
    "Sentence": Sentence(),
    "Word": Word(),
    "JsonArtifact": JsonArtifact("element", "items"),
    "any_of": any_of(Line(), TimeSize(1.0)),
    "bounded": bounded(Sentence(), max_latency=1.0, min_interval=0.6),
    "PassThrough": PassThrough(),
}
LONG, LARGE = 1e9, 2**21
WAITING: dict[str, Coalescer] = {
    "Paced": Paced(LONG, LARGE),
    "TimeSize": TimeSize(LONG, LARGE),
    "Word": Word(LARGE, LONG, LARGE),
    "Sentence": Sentence(LARGE, LONG, LARGE),
    "Line": Line(LONG, LARGE),
    "MarkdownBlock": MarkdownBlock(LONG, LARGE),
    "Pattern": Pattern("=+", max_latency=LONG, max_bytes=LARGE),
    "JsonArtifact": JsonArtifact("element", "items", max_bytes=LARGE),
}
EVERY = 1 / 80
RETRY = Retry()
CHUNK = json.dumps(
    {
        "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
        "object": "chat.completion.chunk",
        "created": 1741569952,
        "model": "gpt-4o-2024-08-06",
        "system_fingerprint": "fp_50cad350e4",
        "choices": [{"index": 0, "delta": {"content": " streaming"}, "logprobs": None, "finish_reason": None}],
    }
)


def prose(count: int) -> list[str]:
    """Tokens of a reply: words of four letters on average, sentences, and paragraphs."""
    dice = random.Random(1)  # noqa: S311 - it makes a text, and no secret
    tokens = []
    for number in range(count):
        token = " " + "".join(dice.choices("etaoinshrdlu", k=dice.choice((1, 2, 3, 4, 5, 7))))
        end = ".\n\n" if number % 60 == 59 else "." if number % 12 == 11 else "," if number % 7 == 6 else ""
        tokens.append(token + end)
    return tokens


def records(count: int) -> list[str]:
    """Tokens of a JSON text, of about four characters."""
    text = json.dumps({"items": [{"id": number, "name": "a fine name", "tags": ["a", 2]} for number in range(count)]})
    return [text[at : at + 4] for at in range(0, len(text), 4)][:count]


def relayed(coalescer: Coalescer, tokens: Sequence[str], every: float) -> float:
    """Relay the tokens; returns seconds of CPU time for each."""
    state = RelayState(coalescer, stream_id="01JBENCHMARK0000000000000", retry=RETRY)
    feed, get_next, succeeded = state.feed, state.next, state.succeeded
    now = 0.0
    begun = time.process_time()
    for token in tokens:
        now += every
        due = state.due
        if due is not None and due <= now:
            while isinstance(push := get_next(now), Push):
                succeeded(push, None)
        if feed(token, now):
            while isinstance(push := get_next(now), Push):
                succeeded(push, None)
    taken = time.process_time() - begun
    state.end(End("complete", now))
    return taken / len(tokens)


def parsed(count: int) -> float:
    """Parse one chunk so many times; returns seconds of CPU time for each."""
    loads = json.loads
    begun = time.process_time()
    for _ in range(count):
        loads(CHUNK)
    return (time.process_time() - begun) / count


def best(runs: int, cases: dict[str, Callable[[], float]]) -> dict[str, float]:
    """The best of so many runs of each case, which take turns."""
    found = dict.fromkeys(cases, float("inf"))
    for _ in range(runs):
        for name, measure in cases.items():
            found[name] = min(found[name], measure())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, help="how often each is measured (%(default)s)")
    runs = parser.parse_args().runs
    said, items = prose(5000), records(5000)
    large_said, large_items = prose(2**20 // 5), records(2**18)

    def case(coalescer: Coalescer, *, large: bool) -> Callable[[], float]:
        is_json = isinstance(coalescer, JsonArtifact)
        tokens = (large_items if is_json else large_said) if large else items if is_json else said
        return lambda: relayed(coalescer, tokens, 0.0 if large else EVERY)

    cases: dict[str, Callable[[], float]] = {"json.loads of a chunk": lambda: parsed(5000)}
    cases |= {name: case(coalescer, large=False) for name, coalescer in STRATEGIES.items()}
    show("80 tokens a second", best(runs, cases))
    cases = {"json.loads of a chunk": lambda: parsed(5000)}
    cases |= {name: case(coalescer, large=True) for name, coalescer in WAITING.items()}
    show("a mebibyte of text that waits", best(2, cases))


def show(title: str, found: dict[str, float]) -> None:
    """Print a table in Markdown."""
    loads = next(iter(found.values()))
    print(f"| {title:36} | µs per token | of json.loads |\n| :{'-' * 35} | -----------: | ------------: |")
    for name, seconds in found.items():
        print(f"| {name:36} | {seconds * 1e6:12.2f} | {seconds / loads:13.2f} |")
    print()


if __name__ == "__main__":
    main()
