"""httpx-sse, whose events are read with `json`."""

from __future__ import annotations

import asyncio

import httpx
from client_bare import BODY, client_of
from httpx_sse import EventSource, ServerSentEvent, aconnect_sse, connect_sse
from measure import COMPLETIONS_PATH, Run, main


def said(event: ServerSentEvent) -> int:
    return 0 if event.data == "[DONE]" else len(event.json()["choices"][0]["delta"].get("content") or "")


def decode(run: Run) -> None:
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=iter(run.reads()))
    with run.counted():
        for event in EventSource(response).iter_sse():
            run.characters += said(event)


def sync(run: Run) -> None:
    with httpx.Client(base_url=run.base_url, headers=run.bearer, timeout=60) as client:
        for _ in range(run.count):
            with run.counted(), connect_sse(client, "POST", COMPLETIONS_PATH, json=BODY) as source:
                for event in source.iter_sse():
                    run.characters += said(event)


async def read(client: httpx.AsyncClient, run: Run) -> None:
    async with aconnect_sse(client, "POST", COMPLETIONS_PATH, json=BODY) as source:
        async for event in source.aiter_sse():
            run.characters += said(event)


async def paced(run: Run) -> None:
    async with client_of(run) as client:
        with run.counted():
            await asyncio.gather(*(read(client, run) for _ in range(run.count)))


if __name__ == "__main__":
    main(decode=decode, sync=sync, paced=paced)
