"""Sinks: what a channel bears, and what a relay does with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, strategies as st

from genesys_stream import _errors
from genesys_stream._core.http.retry import Retry
from genesys_stream._core.relaying.coalescers.basic import FinalOnly, Paced, PassThrough, TimeSize
from genesys_stream._core.relaying.coalescers.prose import Sentence
from genesys_stream._core.relaying.delivery import End, Push
from genesys_stream._core.relaying.limits import Rate, RateLimits
from genesys_stream._core.relaying.payload import MAX_PAYLOAD_BYTES, Envelope
from genesys_stream._core.relaying.relay import RelayState
from genesys_stream._core.relaying.sink import AsyncSink, Channel, Sink
from genesys_stream._errors import InvalidArgument
from genesys_stream._values import Batch, Completion


def encode(batch: Batch) -> bytes:
    return batch.text.encode()


def send(content: bytes, batch: Batch) -> int:
    return len(content)


class TestArguments:
    @pytest.mark.parametrize("make", [Sink, AsyncSink])
    @pytest.mark.parametrize(
        ("argument", "value"),
        [
            ("encode", None),
            ("send", "https://example.com"),
            ("max_bytes", 0),
            ("max_bytes", "3584"),
            ("repeat", -1),
            ("window", -1.0),
            ("window", "1"),
            ("final_only", 1),
            ("max_chars", 1),
            ("coalescer", 0.5),
            ("at_most_once", None),
            ("name", None),
            ("limiter", Rate(1, 1.0)),
            ("limiter", RateLimits()),
        ],
    )
    def test_what_is_wrong_is_refused_by_name(self, make: Callable[..., Any], argument: str, value: object) -> None:
        """The error names the argument, before anything is read or sent."""
        with pytest.raises(InvalidArgument) as caught:
            make(**{"encode": encode, "send": send, argument: value})

        assert caught.value.argument == argument

    def test_a_sink_has_the_defaults_of_a_callable(self) -> None:
        """Nothing is limited, repeated or waited for."""
        sink = Sink(encode=encode, send=send)

        assert (sink.max_bytes, sink.repeat, sink.window, sink.final_only, sink.limiter) == (None, 0, None, False, None)

    def test_wrapping_keeps_everything_else(self) -> None:
        """A sink around another one is made in one line, which cannot forget anything."""
        limiter = RateLimits(Rate(1, 1.0)).limiter()
        fields = {"max_bytes": 99, "repeat": 9, "window": 1.0, "final_only": True, "limiter": limiter, "name": "mine"}
        sink = Sink(encode=encode, send=send, **fields)  # type: ignore[arg-type]  # each is of its kind
        sent: list[str] = []

        def keep_and_send(content: bytes, batch: Batch) -> object:
            sent.append(batch.text)
            return sink.send(content, batch)

        wrapped = evolve(sink, send=keep_and_send)

        assert {name: getattr(wrapped, name) for name in fields} == fields
        assert wrapped.encode is encode
        assert wrapped.send(b"four", Batch("text")) == 4
        assert sent == ["text"]

    def test_reprs_show_what_a_sink_is(self) -> None:
        """They have its name and its limits, and no function, which may show tokens or text."""
        envelope = Envelope(["secret-device"], title="secret title")
        limiter = RateLimits().limiter(["secret-device"], Rate(1, 1.0))
        sink = Sink(name="push to 1 target", encode=envelope.encode, send=send, limiter=limiter, max_bytes=3584)

        assert repr(sink) == (
            "Sink(name='push to 1 target', max_bytes=3584, max_chars=None, repeat=0, window=None, final_only=False, "
            "at_most_once=False)"
        )


class TestDefaultCoalescer:
    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({}, TimeSize()),
            ({"max_bytes": 99}, TimeSize()),
            ({"window": 2.0}, Paced(2.0, MAX_PAYLOAD_BYTES)),
            ({"window": 2.0, "max_bytes": 500}, Paced(2.0, 500)),
            ({"window": 2.0, "max_bytes": 1}, Paced(2.0, 4)),
            ({"window": 2.0, "final_only": True}, FinalOnly()),
            ({"window": 2.0, "final_only": True, "coalescer": Sentence()}, Sentence()),
        ],
    )
    def test_it_follows_from_the_channel(self, fields: dict[str, Any], expected: object) -> None:
        """What the channel bears says how text is gathered for it."""
        assert Channel(encode=encode, **fields).default_coalescer() == expected


class Encoder:
    """Encodes, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def __call__(self, batch: Batch) -> bytes:
        self.batches.append(batch)
        return encode(batch)


def pushes_of(channel: Channel, *texts: str, finish: bool = True) -> list[Push]:
    """Run a relay whose sink takes everything at once."""
    state = RelayState(PassThrough(), stream_id="s", retry=Retry(), channel=channel)
    pushes: list[Push] = []

    def send_all(now: float) -> None:
        while isinstance(push := state.next(now), Push):
            pushes.append(push)
            state.succeeded(push, None)

    for text in texts:
        state.feed(text, 0.0)
        send_all(0.0)
    if finish:
        state.end(End("complete", 1.0))
        send_all(1.0)
    assert state.report(Completion()).undelivered == ()
    return pushes


class TestEncode:
    def test_what_fits_is_encoded_once(self) -> None:
        """What was encoded to be measured is what is sent."""
        encoder = Encoder()
        pushes = pushes_of(Channel(encode=encoder, max_bytes=10), "one ", "two ", "three")

        assert [push.content for push in pushes] == [b"one ", b"two ", b"three", b""]
        assert encoder.batches == [push.batch for push in pushes]

    def test_the_last_push_is_encoded_twice_at_the_most(self) -> None:
        """Once as the final one, and where that does not fit, as one before it."""
        encoder = Encoder()

        def longer_at_the_end(batch: Batch) -> bytes:
            return encoder(batch) + b"." * (4 * batch.final)

        state = RelayState(
            PassThrough(), stream_id="s", retry=Retry(), channel=Channel(encode=longer_at_the_end, max_bytes=10)
        )
        state.feed("12345678", 0.0)
        state.end(End("complete", 0.0))
        first = state.next(0.0)
        assert isinstance(first, Push)
        assert len(encoder.batches) == 2
        state.succeeded(first, None)
        last = state.next(0.0)
        assert isinstance(last, Push)

        assert [push.content for push in (first, last)] == [b"12345678", b"...."]
        assert len(encoder.batches) == 3

    def test_what_is_too_large_is_cut(self) -> None:
        """No payload is larger than `max_bytes`, and none is missing."""
        pushes = pushes_of(Channel(encode=encode, max_bytes=4), "one two three")

        assert b"".join(push.content for push in pushes) == b"one two three"
        assert max(len(push.content) for push in pushes) == 4

    def test_text_before_is_repeated(self) -> None:
        """As many characters as the channel asks for."""
        pushes = pushes_of(Channel(encode=encode, repeat=3), "one", "two", "x")

        assert [push.batch.before for push in pushes[:3]] == ["", "one", "two"]


class TestAtMostOnce:
    @pytest.mark.parametrize(
        "error",
        [
            _errors.AmbiguousDelivery("lost"),
            _errors.ConnectionLost("lost"),
            _errors.TransportIdleTimeout("slow"),
            _errors.ServiceUnavailable("no", status=503),
        ],
    )
    def test_what_may_have_been_delivered_is_not_sent_again(self, error: Exception) -> None:
        """It is listed as ambiguous, and what follows is sent."""
        state = relay_to(at_most_once=True)
        state.feed("one", 0.0)
        push = state.next(0.0)
        assert isinstance(push, Push)
        lost = state.failed(push, error, 0.0)
        state.feed("two", 0.0)
        following = state.next(0.0)

        assert lost is not None
        assert (lost.text, lost.ambiguous) == ("one", True)
        assert isinstance(following, Push)
        assert (following.batch.text, following.batch.seq, following.batch.offset) == ("two", 2, 3)

    @pytest.mark.parametrize("error", [_errors.RateLimited("slow down", status=429), _errors.ConnectFailed("no")])
    def test_what_was_surely_not_delivered_is(self, error: Exception) -> None:
        """Together with what came in the meantime."""
        state = relay_to(at_most_once=True)
        state.feed("one", 0.0)
        push = state.next(0.0)
        assert isinstance(push, Push)
        assert state.failed(push, error, 0.0) is None
        state.feed("two", 0.0)
        again = state.next(9.0)

        assert isinstance(again, Push)
        assert again.batch.text == "onetwo"


class TestMaxChars:
    @given(
        st.lists(st.text(st.sampled_from("ab \n\U0001f600\u0301e"), min_size=1), min_size=1, max_size=20),
        st.integers(2, 12),
    )
    def test_no_payload_has_more_than_any_limit(self, pieces: list[str], most: int) -> None:
        """Whole pieces go together as far as they fit; a longer one is cut; all of the text is sent, in order."""
        state = relay_to(max_chars=most)
        for piece in pieces:
            state.feed(piece, 0.0)
        state.end(End("complete", 0.0))
        sent = []
        while not state.finished:
            push = state.next(0.0)
            assert isinstance(push, Push)
            sent.append(push.batch)
            state.succeeded(push, None)

        texts = [batch.text for batch in sent]
        assert "".join(texts) == "".join(pieces)
        assert all(len(text.encode("utf-16-le")) <= 2 * most for text in texts)
        assert [batch.final for batch in sent] == [False] * (len(sent) - 1) + [True]

    def test_pieces_stay_whole(self) -> None:
        """A sentence is not cut where it can be sent later as a whole."""
        state = relay_to(max_chars=12)
        for piece in ("One. ", "Two. ", "Three. ", "Twelve. "):
            state.feed(piece, 0.0)
        state.end(End("complete", 0.0))
        texts = []
        while not state.finished:
            push = state.next(0.0)
            assert isinstance(push, Push)
            texts.append(push.batch.text)
            state.succeeded(push, None)

        assert texts == ["One. Two. ", "Three. ", "Twelve. "]


def relay_to(**channel: Any) -> RelayState:
    channel = {"encode": encode, **channel}
    return RelayState(PassThrough(), stream_id="s", retry=Retry(), channel=Channel(**channel))


class TestMeasure:
    def test_a_service_may_count_other_bytes(self) -> None:
        """What is cut, and what fits, follows from what the service counts."""

        def twice(content: bytes) -> int:
            return 2 * len(content)

        pushes = pushes_of(Channel(encode=encode, max_bytes=10, measure=twice), "123456789")

        assert [push.content for push in pushes] == [b"12345", b"6789", b""]
