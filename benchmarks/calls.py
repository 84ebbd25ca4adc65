"""How many calls of the library's own functions one token costs in the default relay, in memory.

A token goes from the bytes of a response to a push sink; pushes are answered at once, and their calls count as well.
Counted are the starts of functions and the resumptions of generators and coroutines, as `sys.setprofile` reports them.

    python benchmarks/calls.py [--tokens 2000] [--list]
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Self

import httpx

import genesys_stream
from genesys_stream import AsyncClient, Client, relay

ROOT = str(Path(genesys_stream.__file__).parent)
OPTIONS: dict[str, Any] = {"access_token": "token", "base_url": "https://api.example.com"}
QUESTION = [{"role": "user", "content": "Hi"}]
LIMIT = 20
"""The most calls per token that the library may cost."""


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A response's body: one event in each piece, and a turn of the event loop before each."""

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens

    def __iter__(self) -> Iterator[bytes]:
        for number in range(self._tokens):
            yield event({"content": f"token{number} "}, None)
        yield event({}, "stop") + b"data: [DONE]\n\n"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            await asyncio.sleep(0)
            yield piece


def event(delta: dict[str, str], finish_reason: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


class Counter:
    """Counts the library's own calls in all threads, while it is entered."""

    def __init__(self) -> None:
        self.calls: collections.Counter[str] = collections.Counter()

    def _profile(self, frame: FrameType, what: str, _: object) -> None:
        code = frame.f_code
        if what == "call" and code.co_filename.startswith(ROOT):
            self.calls[f"{code.co_filename.removeprefix(ROOT)[1:]} {code.co_qualname}"] += 1

    def __enter__(self) -> Self:
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)


def transport(tokens: int) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("completions"):
            return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, stream=Body(tokens))
        return httpx.Response(202, json={"id": "1", "status": "queued"})

    return httpx.MockTransport(answer)


def blocking(tokens: int) -> Counter:
    with (
        httpx.Client(transport=transport(tokens)) as http,
        Client(**OPTIONS, http_client=http) as client,
    ):
        stream = client.completions.stream(model="m", messages=QUESTION)
        sink = client.push.to("device")
        with Counter() as counter:
            relay(stream, sink, strict=True)
    return counter


async def awaited(tokens: int) -> Counter:
    async with (
        httpx.AsyncClient(transport=transport(tokens)) as http,
        AsyncClient(**OPTIONS, http_client=http) as client,
    ):
        stream = client.completions.stream(model="m", messages=QUESTION)
        sink = client.push.to("device")
        with Counter() as counter:
            await relay(stream, sink, strict=True)
    return counter


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=2000)
    parser.add_argument("--list", action="store_true", help="name the functions")
    arguments = parser.parse_args()
    too_many = False
    for name, counter in (
        ("sync", blocking(arguments.tokens)),
        ("async", asyncio.run(awaited(arguments.tokens))),
    ):
        per_token = counter.calls.total() / arguments.tokens
        too_many = too_many or per_token > LIMIT
        print(f"{name}: {per_token:.1f} calls per token, of at most {LIMIT}")
        for function, count in counter.calls.most_common(30) if arguments.list else ():
            print(f"  {count / arguments.tokens:5.2f}  {function}")
    return int(too_many)


if __name__ == "__main__":
    sys.exit(main())
