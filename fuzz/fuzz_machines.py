"""Fuzz the pure machines: whatever comes in, the documented errors are the only way out but the ordinary one.

`python fuzz/fuzz_machines.py decoder -max_total_time=60`; the targets are decoder, chunks, accumulator, scanner and
assembler, and what follows the target goes to libFuzzer.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import atheris

with atheris.instrument_imports(include=["genesys_stream"]):
    from genesys_stream import (
        ArtifactScanner,
        CompletionAccumulator,
        CompletionChunk,
        EventDecoder,
        EventTooLarge,
        InvalidArgument,
        MalformedEvent,
        StreamAssembler,
    )
    from genesys_stream._core.http.exchange import Reply
    from genesys_stream._core.reading.chunks import ChunkDecoder

LIMIT = 4096
CODINGS = ("", "gzip", "deflate", "br")
TYPES = ("text/event-stream", "application/json", "text/plain", "text/html", "")


def pieces(data: atheris.FuzzedDataProvider) -> list[bytes]:
    """Bytes, cut anywhere."""
    return [data.ConsumeBytes(data.ConsumeIntInRange(0, 64)) for _ in range(data.ConsumeIntInRange(1, 16))]


def decoder(data: atheris.FuzzedDataProvider) -> None:
    """Any cuts give the same events, and then the same error or none."""
    cut = pieces(data)
    outcomes = []
    for feeds in (cut, [b"".join(cut)]):
        events: list[object] = []
        machine, failed = EventDecoder(max_event_bytes=LIMIT), False
        try:
            for feed in feeds:
                events += machine.feed(feed)
            machine.close()
        except EventTooLarge:
            failed = True
        outcomes.append((events, failed))
    assert outcomes[0] == outcomes[1], outcomes


def chunks(data: atheris.FuzzedDataProvider) -> None:
    """Nothing raises: what goes wrong is told."""
    headers = {
        "content-type": data.PickValueInList(list(TYPES)),
        "content-encoding": data.PickValueInList(list(CODINGS)),
    }
    machine = ChunkDecoder(Reply(200, headers), max_event_bytes=LIMIT)
    for feed in pieces(data):
        for chunk in machine.feed(feed):
            assert isinstance(chunk.text, str)
    machine.close()


def accumulator(data: atheris.FuzzedDataProvider) -> None:
    """A chunk is added, or refused as malformed, and then nothing of it was added."""
    machine = CompletionAccumulator()
    for _ in range(data.ConsumeIntInRange(1, 8)):
        before = machine.completion
        try:
            machine.add(CompletionChunk(value(data, 4)))
        except MalformedEvent:
            assert machine.completion == before
        except InvalidArgument:
            continue


def scanner(data: atheris.FuzzedDataProvider) -> None:
    """Any cuts give the same artifacts."""
    mode = data.PickValueInList(["value", "element", "ndjson"])
    cut = [data.ConsumeUnicode(32) for _ in range(data.ConsumeIntInRange(1, 16))]
    outcomes = []
    for feeds in (cut, ["".join(cut)]):
        machine = ArtifactScanner(mode)
        found = [artifact for feed in feeds for artifact in machine.feed(feed)]
        outcomes.append([artifact.text for artifact in [*found, *machine.close()]])
    assert outcomes[0] == outcomes[1], outcomes


def assembler(data: atheris.FuzzedDataProvider) -> None:
    """A payload is taken, or refused by its field, and then nothing has changed."""
    machine = StreamAssembler()
    for _ in range(data.ConsumeIntInRange(1, 8)):
        before = machine.text, machine.complete, machine.missing, machine.suspect
        text = data.ConsumeUnicode(8)
        payload = {
            "llm_response": text,
            "v": "1",
            "stream_id": "s",
            "mode": "delta",
            "crc": "00000000",
            "epoch": "1",
            "seq": str(data.ConsumeIntInRange(0, 9)),
            "offset": str(data.ConsumeIntInRange(0, 24)),
            "state": data.PickValueInList(["streaming", "complete", "error", "x"]),
            "total": str(data.ConsumeIntInRange(0, 32)),
            "reason": "",
        }
        if data.ConsumeBool():
            payload[data.PickValueInList(list(payload))] = value(data, 2)
        try:
            machine.receive(payload)
        except InvalidArgument:
            assert before == (machine.text, machine.complete, machine.missing, machine.suspect)


NAMES = ["choices", "index", "delta", "content", "role", "tool_calls", "function", "arguments", "name", "id", "usage"]


def value(data: atheris.FuzzedDataProvider, depth: int) -> Any:
    """JSON, with the field names that matter."""
    kind = data.ConsumeIntInRange(0, 7 if depth else 5)
    if kind == 6:
        return [value(data, depth - 1) for _ in range(data.ConsumeIntInRange(0, 3))]
    if kind == 7:
        return {data.PickValueInList(NAMES): value(data, depth - 1) for _ in range(data.ConsumeIntInRange(0, 4))}
    scalars: list[Callable[[], Any]] = [
        lambda: None,
        data.ConsumeBool,
        lambda: data.ConsumeInt(4),
        data.ConsumeFloat,
        lambda: data.ConsumeUnicode(8),
        lambda: json.loads(json.dumps(data.ConsumeUnicode(4))),
    ]
    return scalars[kind]()


TARGETS = {one.__name__: one for one in (decoder, chunks, accumulator, scanner, assembler)}


def main() -> None:
    """Run the target that the first argument names."""
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, lambda raw: target(atheris.FuzzedDataProvider(raw)))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
