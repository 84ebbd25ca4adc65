"""openai-python, as its documentation says; over aiohttp with the client that it has for that."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
from measure import ASK, Run, main
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


if __name__ == "__main__":
    main(decode=decode, sync=sync, paced=paced, row=row)
