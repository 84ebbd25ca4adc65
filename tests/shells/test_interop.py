"""Other people's clients at our fake, and our client at other people's addresses."""

from __future__ import annotations

import asyncio

import pytest

from genesys_stream import Batch, Client, CompletionChunk, RelayReport, relay
from genesys_stream.testing import FakeGenesys

openai = pytest.importorskip("openai", reason="it does not go with our oldest dependencies")

MESSAGES = [{"role": "user", "content": "Hi"}]


def test_openai_python_streams_from_the_fake() -> None:
    """The alias speaks the OpenAI format well enough for OpenAI's own client."""
    fake = FakeGenesys()
    fake.completions.say("Hello, world.", times=None)

    with fake.serve() as server, openai.OpenAI(api_key="sk-test", base_url=f"{server.base_url}/v1") as client:
        chunks = list(client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True))  # type: ignore[call-overload]  # its messages are typed dictionaries of its own
        whole = client.chat.completions.create(model="gpt-4o", messages=MESSAGES)  # type: ignore[call-overload]  # as above

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Hello, world."
    assert whole.choices[0].message.content == "Hello, world."


def test_our_client_streams_from_an_openai_compatible_address() -> None:
    """A key, an address and a path are all that another gateway needs."""
    fake = FakeGenesys()
    fake.completions.say("Hello, world.", times=None)

    with (
        fake.serve() as server,
        Client(access_token="sk-test", base_url=server.base_url, completions_path="/v1/chat/completions") as client,
    ):
        said = client.completions.stream(model="gpt-4o", messages=MESSAGES).result()
        whole = client.completions.create(model="gpt-4o", messages=MESSAGES)

    assert said.text == whole.text == "Hello, world."
    assert {entry.path for entry in fake.request_log} == {"/v1/chat/completions"}


def test_a_stream_of_openai_is_relayed_with_its_finish_reason_and_usage() -> None:
    """As the page about other libraries' streams says: `to_dict()` keeps all that a chunk holds."""
    fake = FakeGenesys()
    fake.completions.say("Hello, world.", times=None)
    batches: list[Batch] = []

    with fake.serve() as server, openai.OpenAI(api_key="sk-test", base_url=f"{server.base_url}/v1") as client:
        theirs = client.chat.completions.create(
            model="gpt-4o", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        report = relay((CompletionChunk(chunk.to_dict()) for chunk in theirs), batches.append)

    assert "Hello, world." == report.completion.text == report.delivered_text
    assert "stop" == report.completion.finish_reason == batches[-1].finish_reason
    assert report.completion.usage is not None


def test_an_async_stream_of_openai_is_relayed_likewise() -> None:
    """The same with `AsyncOpenAI`."""
    fake = FakeGenesys()
    fake.completions.say("Hello, world.", times=None)

    async def relayed(url: str) -> RelayReport:
        async with openai.AsyncOpenAI(api_key="sk-test", base_url=url) as client:
            theirs = await client.chat.completions.create(
                model="gpt-4o", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
            )
            return await relay((CompletionChunk(chunk.to_dict()) async for chunk in theirs), lambda batch: None)

    with fake.serve() as server:
        report = asyncio.run(relayed(f"{server.base_url}/v1"))

    assert "Hello, world." == report.completion.text == report.delivered_text
    assert report.completion.finish_reason == "stop"
    assert report.completion.usage is not None
