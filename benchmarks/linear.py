"""Decoding costs the same per byte however much comes at once, and however it is cut."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from measure import EVENT

from genesys_stream import EventDecoder

MEBI = 2**20


def per_byte(runs: int) -> dict[str, float]:
    """Nanoseconds of CPU time per byte, the median of so many runs, for each shape."""
    many = EVENT * 100_000
    big = b"data: " + b"x" * (16 * MEBI - 64) + b"\n\n"
    few = EVENT * 2_000
    shapes = {
        "ordinary": (many, 16384),
        "an event of 16 MiB in reads of 1 KiB": (big, 1024),
        "100,000 events in one read": (many, len(many)),
        "one byte per read": (few, 1),
    }
    seen: dict[str, list[float]] = {name: [] for name in shapes}
    for _ in range(runs):
        for name, (body, size) in shapes.items():
            reads = list(cut(body, size))
            decoder = EventDecoder()
            feed = decoder.feed
            began = time.process_time()
            for data in reads:
                feed(data)
            seen[name].append((time.process_time() - began) / len(body) * 1e9)
    return {name: statistics.median(costs) for name, costs in seen.items()}


def cut(body: bytes, size: int) -> Iterator[bytes]:
    return (body[at : at + size] for at in range(0, len(body), size))
