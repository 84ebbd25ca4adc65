"""genesys-stream, used as its documentation says."""

from __future__ import annotations

import asyncio
from typing import Any

from measure import ASK, COMPLETIONS_PATH, PUSH, WARM, Run, at_once, in_threads, main, resident

from genesys_stream import AsyncClient, Client, PassThrough, relay


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
    from genesys_stream._core.http.exchange import Reply
    from genesys_stream._core.reading.chunks import ChunkDecoder

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
        report = await relay(client.completions.stream(**ASK), lambda _: None)
        run.characters += sum(len(delivery.batch.text) for delivery in report.pushes)

    async with client_of(run) as client:
        with run.counted():
            await asyncio.gather(*(one() for _ in range(run.count)))


def pushing(run: Run, max_connections: int = 1000) -> AsyncClient:
    transport = {} if run.transport == "httpx" else {"transport": run.transport}
    return AsyncClient(**options(run), **transport, max_connections=max_connections, push_rate=None)


async def relays(run: Run, max_connections: int = 1000) -> None:
    """Relays to devices, with the default strategy."""

    async def one(device: str) -> int:
        stream = client.completions.stream(**ASK, user=device, max_tokens=run.tokens)
        report = await relay(stream, client.push.to(device))
        return sum(len(delivery.batch.text) for delivery in report.pushes)

    async with pushing(run, max_connections) as client:
        await at_once(run, one)


async def full(run: Run) -> None:
    """The same, where there may be a hundred streams."""
    await relays(run, 100)


def blocking(run: Run) -> None:
    """The same, each in a thread."""

    def one(device: str) -> int:
        report = relay(client.completions.stream(**ASK, user=device, max_tokens=run.tokens), client.push.to(device))
        return sum(len(delivery.batch.text) for delivery in report.pushes)

    with Client(**options(run), push_rate=None) as client:
        in_threads(run, one)


def blocking_reading(run: Run) -> None:
    def one(device: str) -> int:
        return sum(len(chunk.text) for chunk in client.completions.stream(**ASK, user=device, max_tokens=run.tokens))

    with Client(**options(run)) as client:
        in_threads(run, one)


async def idle(run: Run) -> None:
    """Streams that have said one token each, and now nothing."""
    async with client_of(run) as client:
        before = resident()
        streams = [client.completions.stream(**ASK) for _ in range(run.count)]
        for stream in streams:
            while not (said := (await anext(stream)).text):
                pass
            run.characters += len(said)
        run.found["KiB"] = (resident() - before) / run.count
        for stream in streams:
            await stream.aclose()


async def idle_relay(run: Run) -> None:
    """The same, with a relay for each."""
    said = asyncio.Semaphore(0)
    async with client_of(run) as client:
        before = resident()
        relays = []
        for _ in range(run.count):
            one = relay(client.completions.stream(**ASK), lambda _: said.release(), coalescer=PassThrough(), grace=0.0)
            relays.append(asyncio.ensure_future(one))
            await said.acquire()
        run.found["KiB"] = (resident() - before) / run.count
        run.characters = run.count * len(" word")
        for task in relays:
            task.cancel()
        await asyncio.gather(*relays, return_exceptions=True)


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
        for _ in range(WARM):
            client.push.send(**PUSH)
        with run.counted():
            for _ in range(run.count):
                client.push.send(**PUSH)


async def push(run: Run) -> None:
    async with client_of(run) as client:
        for _ in range(WARM):
            await client.push.send(**PUSH)
        with run.counted():
            for _ in range(run.count):
                await client.push.send(**PUSH)


if __name__ == "__main__":
    main(
        decode=decode,
        sync=sync,
        paced=paced,
        relays=relays,
        relayed=relayed,
        full=full,
        blocking=blocking,
        blocking_reading=blocking_reading,
        row=row,
        idle=idle,
        idle_relay=idle_relay,
        push=push,
        push_sync=push_sync,
    )
