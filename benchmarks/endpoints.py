"""The model's endpoint and the push endpoint of the relays that are measured, in a process of their own.

A raw asyncio protocol, so that they cost little where a client takes one core and they share the other.
A completion says ` word` as often as its `max_tokens`, a token each `--every` seconds; its `user` is the device that it
is relayed to, the first target of each push.
They print where they are, and then for each line that they are sent, the window in seconds or 0, what became of the
pushes since the line before; see `late`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from measure import COMPLETIONS_PATH, EVENT, WARM_UP, WORD

TOKEN = "a-token"  # noqa: S105 - nobody checks it
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = EVENT.replace(b'{"content":" word"}', b"{}").replace(b'"finish_reason":null', b'"finish_reason":"stop"')
RECEIPT = b'{"id":"push_0a1b2c3d","status":"queued","targets_count":1}'
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


TOKEN_CHUNK, END_CHUNKS = chunk(EVENT), chunk(LAST) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
PUSH_ANSWER = ACCEPTED % (len(RECEIPT), RECEIPT)


@dataclass
class Log:
    """When which token was sent, and when which push arrived, by the clock of this process.

    Attributes:
        said: The times of each device's tokens, and of the end of its stream.
        pushed: The pushes, as they came.
        connections: How many there have been.
    """

    said: dict[str, list[float]] = field(default_factory=dict)
    pushed: list[tuple[float, bytes]] = field(default_factory=list)
    connections: int = 0


class Server(asyncio.Protocol):
    """One connection."""

    def __init__(self, log: Log, tokens: int, every: float) -> None:
        self.log, self.tokens, self.every = log, tokens, every
        self.received = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.log.connections += 1

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        self.received += data
        head, found, rest = self.received.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(rest) < length:
            return
        self.received = rest[length:]
        if head.split(b" ", 2)[1] != COMPLETIONS_PATH.encode():
            self.log.pushed.append((now, rest[:length]))
            self.transport.write(PUSH_ANSWER)
            return
        asked = json.loads(rest[:length])
        self.said = self.log.said.setdefault(asked.get("user", ""), [])
        self.left: int = asked.get("max_tokens", self.tokens)
        self.transport.write(STREAM_HEAD)
        self.loop = asyncio.get_running_loop()
        self.next_at = self.loop.time()
        self.say()

    def say(self) -> None:
        if self.transport.is_closing():
            return
        self.left -= 1
        self.said.append(time.monotonic())
        self.transport.write(TOKEN_CHUNK if self.left >= 0 else END_CHUNKS)
        if self.left >= 0:
            self.next_at += self.every
            self.loop.call_at(self.next_at, self.say)


def late(log: Log, window: float) -> Iterator[float]:
    """How many seconds each push came after it was due, and that nothing was lost.

    It is due at once with the first token; then at the end of the window, which opens with the first token that the
    push brings (and the second window with the first push); at the end of the stream at the latest.
    With a window of 0 the client looks at its buffer when a token comes, and a push is due with its last token.
    """
    seen = dict.fromkeys(log.said, 0)
    for at, body in log.pushed:
        payload = json.loads(body)
        device = payload["targets"][0]
        said, first = log.said[device], seen[device]
        after = seen[device] = first + len(payload["data"]["llm_response"]) // len(WORD)
        if device.startswith(WARM_UP):
            continue
        if window == 0 or first == 0:
            due = said[max(after - 1, 0)]
        elif first == 1:
            due = said[0] + window
        else:
            due = said[min(first, len(said) - 1)] + window
        yield at - min(due, said[-1])
    for device, count in seen.items():
        if count != len(log.said[device]) - 1:
            sys.exit(f"{device} was said {len(log.said[device]) - 1} tokens and got {count}")


def account(log: Log, window: float) -> dict[str, float]:
    lateness = list(late(log, window))
    cuts = statistics.quantiles(lateness, n=100) if len(lateness) > 1 else [0.0] * 99
    return {"pushes": len(lateness), "p50": cuts[49] * 1e3, "p99": cuts[98] * 1e3, "connections": log.connections}


async def serve(tokens: int, every: float) -> None:
    loop, log = asyncio.get_running_loop(), Log()
    server = await loop.create_server(lambda: Server(log, tokens, every), "127.0.0.1", 0, backlog=2048)
    port = server.sockets[0].getsockname()[1]
    print(json.dumps({"base_url": f"http://127.0.0.1:{port}", "token": TOKEN}), flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(account(log, float(line))), flush=True)
        log.said, log.pushed, log.connections = {}, [], 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=1, help="of a completion that asks for no number (%(default)s)")
    parser.add_argument("--every", type=float, default=0.05, help="seconds between two tokens (default: %(default)s)")
    args = parser.parse_args()
    asyncio.run(serve(args.tokens, args.every))


if __name__ == "__main__":
    main()
