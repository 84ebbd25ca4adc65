"""Sinks and limiters of one's own, in the relay that they fit and in the one that they do not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest

from genesys_stream import APNS_ALERT, AsyncSink, Batch, Client, InvalidArgument, RelayReport, Sink, relay


def encode(batch: Batch) -> bytes:
    return batch.text.encode()


def send(content: bytes, batch: Batch) -> int:
    return len(content)


async def send_async(content: bytes, batch: Batch) -> int:
    return len(content)


class TestAlert:
    @pytest.mark.parametrize(
        ("options", "titled"),
        [
            ({}, False),
            ({"profile": None}, False),
            ({"profile": APNS_ALERT}, True),
            ({"profile": APNS_ALERT, "alert": "final"}, False),
            ({"alert": "all"}, True),
        ],
    )
    def test_the_profile_says_which_payloads_show_a_notification(self, options: dict[str, Any], titled: bool) -> None:
        """A profile for visible notifications gives every payload a title, unless `alert` says otherwise."""
        sink = Client("id", "secret").push.to("device", title="Title", **options)

        assert (json.loads(sink.encode(Batch("text")))["title"] == "Title") is titled


class TestColour:
    def test_a_blocking_sink_is_refused_by_an_async_relay(self) -> None:
        """It would stop the event loop."""
        with pytest.raises(InvalidArgument, match="sink is blocking, and would stop the event loop"):
            relay(async_words(), Sink(encode=encode, send=send))  # type: ignore[call-overload]  # as the overloads say

    def test_an_async_sink_is_refused_by_a_blocking_relay(self) -> None:
        """Nobody there could await it."""
        with pytest.raises(InvalidArgument, match="sink must not be async where the source is not"):
            relay(["text"], AsyncSink(encode=encode, send=send_async))  # type: ignore[call-overload]  # as above


async def async_words() -> AsyncIterator[str]:
    for text in words():
        yield text


def words() -> Iterator[str]:
    yield "one "
    yield "two"


class AwaitableTurn:
    """A turn at a limiter in another process."""

    def __init__(self, limiter: AwaitableLimiter) -> None:
        self.limiter = limiter

    async def request(self, now: float, *, final: bool) -> float:
        await anyio.sleep(0)
        self.limiter.requested.append(final)
        return now if len(self.limiter.requested) % 2 == 0 else now + 0.001

    def cancel(self) -> None:
        """There is nothing to give back."""


class AwaitableLimiter:
    def __init__(self) -> None:
        self.requested: list[bool] = []

    def turn(self) -> AwaitableTurn:
        return AwaitableTurn(self)

    def block(self, until: float, scope: str) -> None:
        """Nothing is ever refused here."""


class TestAwaitableLimiter:
    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_an_async_relay_waits_for_it(self, backend: str) -> None:
        """A limiter that many processes share has coroutines; each push waits for what they answer."""
        limiter = AwaitableLimiter()
        sink = AsyncSink(encode=encode, send=send_async, limiter=limiter)

        async def scenario() -> RelayReport:
            return await relay(async_words(), sink)

        report = anyio.run(scenario, backend=backend)

        assert report.delivered_text == "one two"
        assert limiter.requested[-2:] == [True, True]
        assert len(limiter.requested) == 2 * len(report.pushes)

    def test_a_blocking_relay_refuses_it(self) -> None:
        """With an error that says what is wrong; the text is listed as undelivered."""
        sink = Sink(encode=encode, send=send, limiter=AwaitableLimiter())

        with pytest.raises(InvalidArgument, match=r"limiter must answer with a time .* not with coroutine") as caught:
            relay(words(), sink)

        assert caught.value.report is not None
        assert caught.value.report.delivered_text == ""
