"""The least that a relay can cost in Python: asyncio's protocols, an SSE splitter and HTTP by hand, and `json.loads`.

It pushes as the library does by default: the first text at once, then what gathers in each window.
The transport is asyncio or uvloop.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

from measure import ASK, COMPLETIONS_PATH, PUSH_PATH, Run, at_once, main

WINDOW = 0.5


class Connection(asyncio.Protocol):
    """A kept connection for pushes."""

    relay: Relay
    transport: Any
    received = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        if found and len(body) == int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]):
            self.received = b""
            json.loads(body)
            self.relay.pushed(self)


class Relay(asyncio.Protocol):
    """One stream, and the pushes that its text becomes."""

    def __init__(self, floor: Floor, device: str) -> None:
        self.floor, self.device = floor, device
        self.loop = floor.loop
        self.finished = self.loop.create_future()
        self.transport: Any = None
        self.rest, self.text = b"", ""
        self.characters = self.seq = 0
        self.sending = self.ended = False
        self.due: float | None = None
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        body = {**ASK, "stream": True, "user": self.device, "max_tokens": self.floor.run.tokens}
        transport.write(self.floor.request(COMPLETIONS_PATH, body))

    def data_received(self, data: bytes) -> None:
        *events, self.rest = (self.rest + data).split(b"\n\n")
        for event in events:
            said = event[event.index(b"data: ") + 6 :]
            if said == b"[DONE]":
                self.ended = True
                self.transport.close()
                self.send()
            elif text := json.loads(said)["choices"][0]["delta"].get("content"):
                self.heard(text)

    def heard(self, text: str) -> None:
        first = not self.text
        self.text += text
        if not self.seq:
            self.send()
        elif first and self.due is None:
            self.wait()

    def wait(self) -> None:
        self.due = self.loop.time() + WINDOW
        self.timer = self.loop.call_at(self.due, self.send)

    def send(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.sending:
            return
        self.due = None
        self.sending = True
        self.seq += 1
        if self.seq == 1:
            self.wait()
        data = {"llm_response": self.text, "stream_id": self.device, "chunk_id": f"{self.seq}", "v": "1"}
        title, body = "LLM Stream Update", f"Received {len(self.text)} characters"
        payload = {"targets": [self.device], "title": title, "body": body, "data": data}
        self.characters += len(self.text)
        self.text = ""
        self.was_last = self.ended
        self.floor.push(self, self.floor.request(PUSH_PATH, payload))

    def pushed(self, connection: Connection) -> None:
        self.floor.kept.append(connection)
        self.sending = False
        if self.was_last:
            self.finished.set_result(None)
        elif self.ended or (self.due is not None and self.due <= self.loop.time()):
            self.send()


class Floor:
    """What all relays share: where to send, and the kept connections."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.loop = asyncio.get_running_loop()
        where = urlsplit(run.base_url)
        self.where = where.hostname, where.port
        self.head = f"Host: {where.netloc}\r\nAuthorization: Bearer {run.token}\r\nContent-Type: application/json\r\n"
        self.kept: list[Connection] = []
        self.opening: set[asyncio.Task[None]] = set()

    def request(self, path: str, body: object) -> bytes:
        content = json.dumps(body).encode()
        return f"POST {path} HTTP/1.1\r\n{self.head}Content-Length: {len(content)}\r\n\r\n".encode() + content

    def push(self, relay: Relay, request: bytes) -> None:
        if self.kept:
            self.write(self.kept.pop(), relay, request)
        else:
            task = self.loop.create_task(self.open(relay, request))
            self.opening.add(task)
            task.add_done_callback(self.opening.discard)

    async def open(self, relay: Relay, request: bytes) -> None:
        _, connection = await self.loop.create_connection(Connection, *self.where)
        self.write(connection, relay, request)

    def write(self, connection: Connection, relay: Relay, request: bytes) -> None:
        connection.relay = relay
        connection.transport.write(request)

    async def one(self, device: str) -> int:
        _, relay = await self.loop.create_connection(lambda: Relay(self, device), *self.where)
        await relay.finished
        return relay.characters


async def relays(run: Run) -> None:
    floor = Floor(run)
    await at_once(run, floor.one)
    for connection in floor.kept:
        connection.transport.close()


if __name__ == "__main__":
    main(relays=relays)
