"""Test an app without a network: `pytest examples/test_your_app.py`.

`FakeGenesys` is a Genesys Cloud in memory: scripts say what it answers, and a request log holds what it was asked.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from genesys_stream import Client, NetworkError, RelayReport, Retry, StreamAssembler, TimeSize, relay
from genesys_stream.testing import FakeGenesys

# The app: it asks, and relays the answer to a phone.


def answer(client: Client, question: str, device: str) -> RelayReport:
    messages = [{"role": "system", "content": "You are brief."}, {"role": "user", "content": question}]
    stream = client.completions.stream(model="gpt-4o", messages=messages, temperature=0.0)
    return relay(
        stream, client.push.to(device), coalescer=TimeSize(0.05, 200), retry=Retry(attempts=3, wait_initial=0.01)
    )


# Its tests.


@pytest.fixture
def fake() -> FakeGenesys:
    return FakeGenesys()


@pytest.fixture
def client(fake: FakeGenesys) -> Iterator[Client]:
    with httpx.Client(transport=fake.transport) as http:
        yield Client(**fake.client_options(), http_client=http, retry=Retry(attempts=3, wait_initial=0.01))


def test_the_phone_gets_the_answer(fake: FakeGenesys, client: Client) -> None:
    fake.completions.say("Goroutines are cheap. Channels connect them.", every=0.005)

    report = answer(client, "What is a goroutine?", "device-1")

    phone = StreamAssembler()
    for push in fake.pushes:
        assert push["targets"] == ["device-1"]
        phone.receive(push)
    assert phone.complete
    assert phone.text == report.completion.text == "Goroutines are cheap. Channels connect them."


def test_the_question_reaches_the_model(fake: FakeGenesys, client: Client) -> None:
    answer(client, "What is a goroutine?", "device-1")

    (request,) = fake.completions.requests
    assert request.json["messages"][-1]["content"] == "What is a goroutine?"
    assert request.json["temperature"] == 0.0


def test_a_rate_limit_loses_nothing(fake: FakeGenesys, client: Client) -> None:
    fake.completions.say("Patience is a virtue, and so is a retry policy.", every=0.005)
    fake.push.rate_limit(retry_after=0.1, times=2)

    report = answer(client, "How do you handle 429?", "device-1")

    assert not report.undelivered
    assert report.delivered_text == report.completion.text


def test_an_answer_that_breaks_off_is_marked_on_the_phone(fake: FakeGenesys, client: Client) -> None:
    fake.completions.drop(after_events=4, text="This will never be said to its end.")

    with pytest.raises(NetworkError) as caught:
        answer(client, "Tell me more.", "device-1")

    assert caught.value.report is not None
    assert caught.value.report.state == "error"
    assert fake.pushes[-1]["data"]["state"] == "error"


def test_an_expired_token_is_replaced(fake: FakeGenesys, client: Client) -> None:
    answer(client, "One?", "device-1")
    fake.revoke_tokens()
    answer(client, "Two?", "device-1")

    assert len(fake.issued_tokens) == 2
    assert fake.pushes[-1]["data"]["state"] == "complete"
