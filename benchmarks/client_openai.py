"""openai-python, as its documentation says; over aiohttp with the client that it has for that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import openai
from measure import ASK, PUSH_PATH, Run, at_once, main, resident
from openai.types.chat import ChatCompletionChunk


def options(run: Run) -> dict[str, Any]:
    return {"base_url": f"{run.base_url}/v1", "api_key": run.token, "max_retries": 0}


def client_of(run: Run) -> openai.AsyncOpenAI:
    http = openai.DefaultAioHttpClient() if run.transport == "aiohttp" else None
    return openai.AsyncOpenAI(**options(run), http_client=http)


def said(chunk: ChatCompletionChunk) -> int:
    return len(chunk.choices[0].delta.content or "") if chunk.choices else 0


class Body:
    """A response's body that is there already."""

    def __init__(self, reads: list[bytes]) -> None:
        self.reads = reads

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.reads)


def decode(run: Run) -> None:
    import httpx2 as http  # the HTTP library that openai's own client is made of

    body = run.reads()
    answer = lambda _: http.Response(200, headers={"content-type": "text/event-stream"}, content=Body(body))  # noqa: E731
    client = openai.OpenAI(
        base_url="http://in.memory/v1", api_key="sk-test", http_client=http.Client(transport=http.MockTransport(answer))
    )
    with run.counted():
        for chunk in client.chat.completions.create(**ASK, stream=True):
            run.characters += said(chunk)


def sync(run: Run) -> None:
    with openai.OpenAI(**options(run)) as client:
        for _ in range(run.count):
            with run.counted():
                for chunk in client.chat.completions.create(**ASK, stream=True):
                    run.characters += said(chunk)


async def read(client: openai.AsyncOpenAI, run: Run) -> None:
    async for chunk in await client.chat.completions.create(**ASK, stream=True):
        run.characters += said(chunk)


async def paced(run: Run) -> None:
    async with client_of(run) as client:
        with run.counted():
            await asyncio.gather(*(read(client, run) for _ in range(run.count)))


async def row(run: Run) -> None:
    async with client_of(run) as client:
        await read(client, run)
        for _ in range(run.count - 1):
            with run.counted():
                stream = await client.chat.completions.create(**ASK, stream=True)
                while not (characters := said(await anext(stream))):
                    pass
            run.characters += characters
            async for chunk in stream:
                run.characters += said(chunk)


async def idle(run: Run) -> None:
    """Streams that have said one token each, and now nothing."""
    async with client_of(run) as client:
        before = resident()
        streams = [await client.chat.completions.create(**ASK, stream=True) for _ in range(run.count)]
        for stream in streams:
            while not (characters := said(await anext(stream))):
                pass
            run.characters += characters
        run.found["KiB"] = (resident() - before) / run.count
        for stream in streams:
            await stream.close()


async def relays(run: Run) -> None:
    """Relays as their users write them: text is gathered for 200 ms, and then posted."""

    async def one(device: str) -> int:
        characters, text, last = 0, "", 0.0

        async def push() -> None:
            nonlocal characters, text, last
            last = time.monotonic()
            data = {"llm_response": text, "stream_id": device}
            body = f"Received {len(text)} characters"
            characters, text = characters + len(text), ""
            await post({"targets": [device], "title": "LLM Stream Update", "body": body, "data": data})

        async for chunk in await client.chat.completions.create(**ASK, stream=True, user=device, max_tokens=run.tokens):
            if chunk.choices and (said := chunk.choices[0].delta.content):
                text += said
                if time.monotonic() - last >= 0.2:
                    await push()
        await push()
        return characters

    async with client_of(run) as client, poster(run) as post:
        await at_once(run, one)


@asynccontextmanager
async def poster(run: Run) -> AsyncIterator[Callable[[object], Awaitable[None]]]:
    """What posts a push over httpx or aiohttp."""
    if run.transport == "aiohttp":
        import aiohttp

        connector = aiohttp.TCPConnector(limit=1000)
        async with aiohttp.ClientSession(run.base_url, headers=run.bearer, connector=connector) as session:

            async def post(payload: object) -> None:
                async with session.post(PUSH_PATH, json=payload) as response:
                    response.raise_for_status()
                    await response.json()

            yield post
        return
    import httpx

    limits = httpx.Limits(max_connections=1000, max_keepalive_connections=1000)
    async with httpx.AsyncClient(base_url=run.base_url, headers=run.bearer, limits=limits) as client:

        async def post(payload: object) -> None:
            (await client.post(PUSH_PATH, json=payload)).raise_for_status().json()

        yield post


if __name__ == "__main__":
    main(decode=decode, sync=sync, paced=paced, row=row, idle=idle, relays=relays)
