"""genesys-stream, used as its documentation says."""

from __future__ import annotations

import asyncio
from typing import Any

from measure import ASK, COMPLETIONS_PATH, PUSH, Run, main

from genesys_stream import AsyncClient, Client, TimeSize, relay


def options(run: Run) -> dict[str, Any]:
    return {"base_url": run.base_url, "access_token": run.token, "completions_path": COMPLETIONS_PATH}


def client_of(run: Run) -> AsyncClient:
    return (
        AsyncClient(**options(run), transport=run.transport)
        if run.transport != "httpx"
        else AsyncClient(**options(run))
    )


def decode(run: Run) -> None:
    # The machines that a stream of ours is read through; there is no shorter way from bytes to chunks.
    from genesys_stream._core.chunks import ChunkDecoder
    from genesys_stream._core.exchange import Reply

    decoder = ChunkDecoder(Reply(200, {"content-type": "text/event-stream"}, b""), max_event_bytes=2**24)
    reads = run.reads()
    with run.counted():
        for data in reads:
            for chunk in decoder.feed(data):
                run.characters += len(chunk.text)


def sync(run: Run) -> None:
    with Client(**options(run)) as client:
        for _ in range(run.count):
            with run.counted():
                for chunk in client.completions.stream(**ASK):
                    run.characters += len(chunk.text)


async def read(client: AsyncClient, run: Run) -> None:
    async for chunk in client.completions.stream(**ASK):
        run.characters += len(chunk.text)


async def paced(run: Run) -> None:
    async with client_of(run) as client:
        with run.counted():
            await asyncio.gather(*(read(client, run) for _ in range(run.count)))


async def relayed(run: Run) -> None:
    async def one() -> None:
        report = await relay(client.completions.stream(**ASK), lambda _: None, coalescer=TimeSize(0.2, 500))
        run.characters += sum(len(delivery.batch.text) for delivery in report.pushes)

    async with client_of(run) as client:
        with run.counted():
            await asyncio.gather(*(one() for _ in range(run.count)))


async def row(run: Run) -> None:
    async with client_of(run) as client:
        await read(client, run)
        for _ in range(run.count - 1):
            with run.counted():
                stream = client.completions.stream(**ASK)
                while not (said := (await anext(stream)).text):
                    pass
            run.characters += len(said)
            async for chunk in stream:
                run.characters += len(chunk.text)


def push_sync(run: Run) -> None:
    with Client(**options(run)) as client:
        client.push.send(**PUSH)
        with run.counted():
            for _ in range(run.count):
                client.push.send(**PUSH)


async def push(run: Run) -> None:
    async with client_of(run) as client:
        await client.push.send(**PUSH)
        with run.counted():
            for _ in range(run.count):
                await client.push.send(**PUSH)


if __name__ == "__main__":
    main(decode=decode, sync=sync, paced=paced, relayed=relayed, row=row, push=push, push_sync=push_sync)
