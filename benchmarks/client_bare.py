"""The floor: httpx alone, with `split` and `json.loads`, and no care for anything that may go wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import httpx
from measure import ASK, COMPLETIONS_PATH, PUSH, PUSH_PATH, WARM, Run, in_threads, main, resident

BODY = {**ASK, "stream": True}


def splitter() -> Callable[[bytes], int]:
    """Make a function from bytes to how many characters they say."""
    rest = b""

    def feed(data: bytes) -> int:
        nonlocal rest
        *events, rest = (rest + data).split(b"\n\n")
        said = 0
        for event in events:
            if event != b"data: [DONE]":
                said += len(json.loads(event[6:])["choices"][0]["delta"].get("content") or "")
        return said

    return feed


def client_of(run: Run) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=1000, max_keepalive_connections=100)
    transport = None
    if run.transport == "aiohttp":
        from httpx_aiohttp import AiohttpTransport

        transport = AiohttpTransport(limits=limits)
    return httpx.AsyncClient(base_url=run.base_url, headers=run.bearer, limits=limits, transport=transport, timeout=60)


def decode(run: Run) -> None:
    reads, feed = run.reads(), splitter()
    with run.counted():
        for data in reads:
            run.characters += feed(data)


def sync(run: Run) -> None:
    with httpx.Client(base_url=run.base_url, headers=run.bearer, timeout=60) as client:
        for _ in range(run.count):
            feed = splitter()
            with run.counted(), client.stream("POST", COMPLETIONS_PATH, json=BODY) as response:
                for data in response.iter_bytes():
                    run.characters += feed(data)


async def read(client: httpx.AsyncClient, run: Run) -> None:
    feed = splitter()
    async with client.stream("POST", COMPLETIONS_PATH, json=BODY) as response:
        async for data in response.aiter_bytes():
            run.characters += feed(data)


async def paced(run: Run) -> None:
    async with client_of(run) as client:
        with run.counted():
            await asyncio.gather(*(read(client, run) for _ in range(run.count)))


async def row(run: Run) -> None:
    async with client_of(run) as client:
        await read(client, run)
        for _ in range(run.count - 1):
            feed = splitter()
            with run.counted():
                request = client.build_request("POST", COMPLETIONS_PATH, json=BODY)
                response = await client.send(request, stream=True)
                pieces = response.aiter_bytes()
                while not (said := feed(await anext(pieces))):
                    pass
            run.characters += said
            async for data in pieces:
                run.characters += feed(data)
            await response.aclose()


async def idle(run: Run) -> None:
    """Streams that have said one token each, and now nothing."""
    async with client_of(run) as client:
        before = resident()
        open_ = []
        for _ in range(run.count):
            response = await client.send(client.build_request("POST", COMPLETIONS_PATH, json=BODY), stream=True)
            pieces, feed = response.aiter_bytes(), splitter()
            while not (said := feed(await anext(pieces))):
                pass
            run.characters += said
            open_.append((response, pieces, feed))
        run.found["KiB"] = (resident() - before) / run.count
        for response, _, _ in open_:
            await response.aclose()


def push_sync(run: Run) -> None:
    with httpx.Client(base_url=run.base_url, headers=run.bearer, timeout=60) as client:
        for _ in range(WARM):
            client.post(PUSH_PATH, json=PUSH)
        with run.counted():
            for _ in range(run.count):
                client.post(PUSH_PATH, json=PUSH).json()


async def push(run: Run) -> None:
    async with client_of(run) as client:
        for _ in range(WARM):
            await client.post(PUSH_PATH, json=PUSH)
        with run.counted():
            for _ in range(run.count):
                (await client.post(PUSH_PATH, json=PUSH)).json()


async def push_aiohttp(run: Run) -> None:
    import aiohttp

    async with aiohttp.ClientSession(run.base_url, headers=run.bearer) as session:

        async def post() -> None:
            async with session.post(PUSH_PATH, json=PUSH) as response:
                await response.json()

        for _ in range(WARM):
            await post()
        with run.counted():
            for _ in range(run.count):
                await post()


def blocking_reading(run: Run) -> None:
    """Streams that are read in threads."""

    def one(device: str) -> int:
        feed, body = splitter(), {**BODY, "user": device, "max_tokens": run.tokens}
        with client.stream("POST", COMPLETIONS_PATH, json=body) as response:
            return sum(feed(data) for data in response.iter_bytes())

    limits = httpx.Limits(max_connections=1000, max_keepalive_connections=100)
    with httpx.Client(base_url=run.base_url, headers=run.bearer, limits=limits, timeout=60) as client:
        in_threads(run, one)


if __name__ == "__main__":
    main(
        decode=decode,
        sync=sync,
        paced=paced,
        row=row,
        idle=idle,
        push=push,
        push_sync=push_sync,
        push_aiohttp=push_aiohttp,
        blocking_reading=blocking_reading,
    )
