"""Other people's clients at our fake, and our client at other people's addresses."""

from __future__ import annotations

import pytest

from genesys_stream import Client
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
