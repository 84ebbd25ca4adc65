"""Bodies to chunks: what an event means, whichever way the body is cut, and when it is over."""

import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from tests.strategies import chunk_json, cuts

from genesys_stream import _errors
from genesys_stream._core.http.exchange import Reply
from genesys_stream._core.reading.accumulate import CompletionAccumulator
from genesys_stream._core.reading.chunks import (
    ChunkDecoder,
    completion_as_chunk,
    is_event_stream,
    precompile,
    read_completion,
    read_event,
)
from genesys_stream._values import CompletionChunk, ServerSentEvent

at_leisure = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

LIMIT = 10_000
STREAM = "text/event-stream"
DONE = b"data: [DONE]\n\n"
HELLO = {"choices": [{"index": 0, "delta": {"content": "Hello"}}]}
WHOLE = {
    "id": "chatcmpl-1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"total_tokens": 3},
}
ERROR = {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}


def event(payload, name=None):
    head = b"" if name is None else f"event: {name}\n".encode()
    data = payload if isinstance(payload, str) else json.dumps(payload)
    return head + b"".join(b"data: %s\n" % line.encode() for line in data.split("\n")) + b"\n"


def decode(pieces, content_type=STREAM, *, limit=LIMIT, **headers):
    """Feed pieces and close; returns the chunks and the decoder."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    if content_type is not None:
        headers["content-type"] = content_type
    decoder = ChunkDecoder(Reply(200, headers), max_event_bytes=limit)
    chunks = [chunk for piece in pieces for chunk in decoder.feed(piece)]
    return [*chunks, *decoder.close()], decoder


def raws(chunks):
    return [chunk.raw for chunk in chunks]


def outcome(pieces, *args, **options):
    chunks, decoder = decode(pieces, *args, **options)
    failure = decoder.failure
    # The first bytes that a refused body shows are those that came first.
    told = "" if isinstance(failure, _errors.UnexpectedContent) else str(failure)
    return raws(chunks), decoder.done, type(failure), told


_noise = st.sampled_from(
    [b": ping\n\n", b"event: ping\ndata: {}\n\n", b"data:\n\n", b"\n", b"retry: 3000\n\n", b" x\n"]
)
_ends = st.sampled_from([b"", DONE, b"data:  [DONE] \n\n", b"data: [DONE] and more\n\n", event(ERROR), b"data: {\n\n"])
_bodies = st.one_of(
    st.builds(
        lambda bom, parts, end, tail: bom + b"".join(parts) + end + b"".join(tail),
        st.sampled_from([b"", b"\xef\xbb\xbf", b"\n \t"]),
        st.lists(_noise | chunk_json.map(event), max_size=3),
        _ends,
        st.lists(_noise | chunk_json.map(event), max_size=2),
    ),
    st.sampled_from([WHOLE, ERROR, {}, [], {"choices": None}]).map(lambda whole: json.dumps(whole).encode()),
    st.sampled_from(
        [b"", b" \n", b"\xef\xbb\xbf", b"<html>", b"\xef\xbb\xbf {", b"\x0b{", b"\n\xef\xbb\xbf{}", b"\xef{"]
    ),
    st.binary(max_size=30),
)
_types = st.sampled_from(
    [None, STREAM, "Text/Event-Stream; charset=latin-1", "application/json", "text/plain", "text/html"]
)


class TestAnyCut:
    @at_leisure
    @given(st.data(), _bodies, _types)
    def test_of_a_body(self, data, body, content_type):
        """Any body, cut anywhere, gives the same chunks, and the same end."""
        assert outcome(data.draw(cuts(body)), content_type) == outcome([body], content_type)

    @at_leisure
    @given(st.data(), _bodies, _types)
    def test_of_a_compressed_body(self, data, body, content_type):
        """A proxy that compresses all the same makes no difference."""
        pieces = data.draw(cuts(gzip.compress(body, mtime=0)))

        assert outcome(pieces, content_type, content_encoding="gzip") == outcome([body], content_type)

    @at_leisure
    @given(st.lists(chunk_json.map(lambda raw: {"choices": [], **raw}), max_size=3))
    def test_every_chunk_comes_as_it_was_sent(self, payloads):
        """Each event is one chunk, in order, as it came."""
        chunks, decoder = decode([b"".join(map(event, payloads)) + DONE])

        assert raws(chunks) == payloads
        assert (decoder.done, decoder.failure) == (True, None)


class TestStream:
    @pytest.mark.parametrize("done", ["[DONE]", " [DONE] ", "[DONE]\n", "\n[DONE]"])
    def test_done(self, done):
        """`[DONE]`, whatever white space is around it, ends the stream, and nothing after it means anything."""
        chunks, decoder = decode([event(HELLO) + event(done) + event(HELLO) + b"data: {\n\n", event(ERROR)])

        assert raws(chunks) == [HELLO]
        assert (decoder.done, decoder.failure) == (True, None)

    @pytest.mark.parametrize("between", [b"event: ping\ndata: {}\n\n", b"data:\n\n", b": ping\n\n"])
    def test_between_chunks(self, between):
        """What means nothing takes nothing from the chunks around it."""
        chunks, decoder = decode([event(HELLO) + between + event(HELLO) + between + DONE])

        assert raws(chunks) == [HELLO, HELLO]
        assert (decoder.done, decoder.failure) == (True, None)

    @pytest.mark.parametrize("other", [' {"choices": []} ', '{"choices": []}\n', '{"usage": {"total_tokens": 3}}'])
    def test_unusual_chunks(self, other):
        """White space around a chunk, or no choices in it, make no difference."""
        chunks, decoder = decode([event(other) + DONE])

        assert raws(chunks) == [json.loads(other)]
        assert (decoder.done, decoder.failure) == (True, None)

    def test_before_a_failure(self):
        """The chunks before an event that is too large are handed out, also when they come with it."""
        chunks, decoder = decode([event(HELLO) + b"data: " + b"x" * LIMIT])

        assert raws(chunks) == [HELLO]
        assert isinstance(decoder.failure, _errors.EventTooLarge)

    def test_compressed_pieces(self):
        """A compressed stream is read piece by piece."""
        body = gzip.compress((event(HELLO) + event(HELLO) + DONE) * 9, mtime=0)
        chunks, decoder = decode([body[i : i + 20] for i in range(0, len(body), 20)], content_encoding="gzip")

        assert raws(chunks) == [HELLO, HELLO]
        assert (decoder.done, decoder.failure) == (True, None)

    @pytest.mark.parametrize("other", ["[DONE] and more", "DONE", "[done]", "[]"])
    def test_not_done(self, other):
        """What only looks like `[DONE]` is an event that is not a JSON object."""
        _, decoder = decode([event(other)])

        assert not decoder.done
        assert isinstance(decoder.failure, _errors.MalformedEvent)

    def test_says_done_itself(self):
        """A model that says [DONE] has not ended the stream."""
        said = {"choices": [{"index": 0, "delta": {"content": "[DONE]"}}]}
        chunks, decoder = decode([event(said)])

        assert raws(chunks) == [said]
        assert not decoder.done

    def test_ends_early(self):
        """A body that just ends is neither done nor a failure, and an unfinished event is no chunk."""
        chunks, decoder = decode([event(HELLO), b'data: {"choices": []}\n'])

        assert raws(chunks) == [HELLO]
        assert (decoder.done, decoder.failure) == (False, None)

    def test_malformed_in_the_middle(self):
        """An event that is not JSON fails with its data, after the chunks before it, and nothing comes after it."""
        chunks, decoder = decode([event(HELLO) + event("{half") + event(HELLO), event(HELLO) + DONE])

        assert raws(chunks) == [HELLO]
        assert not decoder.done
        assert decoder.failure.data == "{half"

    def test_error_in_the_middle(self):
        """An error object is an exception of its class, after the chunks before it."""
        chunks, decoder = decode([event(HELLO) + event(ERROR) + event(HELLO)])

        assert raws(chunks) == [HELLO]
        assert isinstance(decoder.failure, _errors.RateLimited)
        assert decoder.failure.in_stream

    def test_too_large(self):
        """An event beyond the bound fails, after the events before it."""
        chunks, decoder = decode([event(HELLO) + b"data: " + b"x" * 200], limit=100)

        assert raws(chunks) == [HELLO]
        assert (type(decoder.failure), decoder.failure.limit) == (_errors.EventTooLarge, 100)

    def test_too_large_alone(self):
        """An event beyond the bound fails, even if there was none before it."""
        chunks, decoder = decode([b": " + b"x" * 200], limit=100)

        assert chunks == []
        assert isinstance(decoder.failure, _errors.EventTooLarge)


class TestEvents:
    def read(self, data, name="message"):
        return read_event(ServerSentEvent(data if isinstance(data, str) else json.dumps(data), name))

    @pytest.mark.parametrize("name", ["message", "completion", "chunk"])
    def test_chunk(self, name):
        """An object with choices is a chunk, whatever its event is called."""
        assert self.read(HELLO, name) == CompletionChunk(HELLO)

    def test_without_choices(self):
        """An object without choices may still say something, such as the usage."""
        assert self.read({"usage": {"total_tokens": 1}}).usage.total_tokens == 1

    @pytest.mark.parametrize(
        ("data", "name"),
        [
            ("", "message"),
            (" \n", "message"),
            ("", "ping"),
            ({}, "ping"),
            ({"time": 1}, "heartbeat"),
            ("alive", "ping"),
            ("1", "ping"),
            ([], "ping"),
        ],
    )
    def test_without_meaning(self, data, name):
        """Heartbeats are no chunks, and do no harm, whatever data they carry."""
        assert self.read(data, name) is None

    @pytest.mark.parametrize(
        ("data", "name"), [("alive", "message"), ("1", "message"), ("null", "message"), ([], "message"), (" {", "x")]
    )
    def test_malformed(self, data, name):
        """Other data that is not a JSON object is an error that has the data."""
        with pytest.raises(_errors.MalformedEvent) as caught:
            self.read(data, name)

        assert caught.value.data == (data if isinstance(data, str) else json.dumps(data))

    @pytest.mark.parametrize("name", ["message", "failure", "error"])
    @pytest.mark.parametrize(
        ("payload", "cls"),
        [
            (ERROR, _errors.RateLimited),
            ({**HELLO, **ERROR}, _errors.RateLimited),
            ({"error": "overloaded"}, _errors.ServiceUnavailable),
            ({"status": 503, "message": "down"}, _errors.ServiceUnavailable),
            ({"code": "bad.request", "message": "no"}, _errors.BadRequest),
        ],
    )
    def test_error_objects(self, payload, cls, name):
        """An object that names an error is one, whatever its event is called, and even if there are choices."""
        with pytest.raises(cls) as caught:
            self.read(payload, name)

        assert json.loads(caught.value.body) == payload

    @pytest.mark.parametrize("data", ["", "boom", "{", "null", "[1]", "{}", json.dumps(HELLO), '{"message": "boom"}'])
    def test_error_events(self, data):
        """An event that is called error is one, with or without an error in its data, or any data."""
        with pytest.raises(_errors.StatusError) as caught:
            self.read(data, "error")

        assert ("boom" in str(caught.value)) == ("boom" in data)
        assert caught.value.in_stream

    @pytest.mark.parametrize("nothing", [None, "", {}, []])
    def test_no_error(self, nothing):
        """An error that is null or empty is none."""
        assert self.read({**HELLO, "error": nothing}).text == "Hello"

    @at_leisure
    @given(st.text(max_size=30), st.sampled_from(["message", "error", "ping"]))
    def test_anything(self, data, name):
        """Any data is a chunk, nothing, or one of two documented errors."""
        try:
            chunk = read_event(ServerSentEvent(data, name))
        except (_errors.MalformedEvent, _errors.StatusError):
            return
        assert chunk is None or isinstance(chunk, CompletionChunk)


class TestKinds:
    @pytest.mark.parametrize("content_type", [STREAM, "TEXT/Event-Stream;charset=utf-8"])
    def test_event_stream(self, content_type):
        """What says that it is an event stream is one."""
        assert is_event_stream(Reply(200, {"content-type": content_type}), b"{")

    @pytest.mark.parametrize("content_type", ["application/json", "application/problem+json; charset=utf-8"])
    def test_json(self, content_type):
        """What says that it is JSON is JSON."""
        assert not is_event_stream(Reply(200, {"content-type": content_type}), b"data: ")

    @pytest.mark.parametrize("content_type", ["", "text/plain", "application/octet-stream"])
    @pytest.mark.parametrize(
        ("first", "streams"),
        [
            (b"data: ", True),
            (b": ping", True),
            (b"", True),
            (b'{"id"', False),
            (b"\xef\xbb\xbf\r\n {", False),
            (b"[", False),
        ],
    )
    def test_neither(self, content_type, first, streams):
        """What says nothing is told by how it begins."""
        assert is_event_stream(Reply(200, {"content-type": content_type}), first) == streams

    @pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "text/plain", None, "text/event-stream-x"])
    def test_page(self, content_type):
        """A page is an error that shows how it begins."""
        page = b"\n<!doctype html><title>Sign in</title>" + b" " * 500
        chunks, decoder = decode([b"\n", page], content_type)

        assert chunks == []
        assert isinstance(decoder.failure, _errors.UnexpectedContent)
        assert "Sign in" in str(decoder.failure)
        assert decoder.failure.content_type == (content_type or "").partition(";")[0]
        assert decoder.failure.first_bytes == (b"\n" + page)[:200]

    def test_empty_page(self):
        """An empty body of a strange type is an error, too."""
        _, decoder = decode([], "text/html")

        assert isinstance(decoder.failure, _errors.UnexpectedContent)

    def test_strange_coding(self):
        """A content coding that was not asked for, and is not known, is an error."""
        _, decoder = decode([b"\x8b\x02", b"\x80"], content_encoding="br")

        assert isinstance(decoder.failure, _errors.UnexpectedContent)

    def test_broken_coding(self):
        """Bytes that are not what the coding says are an error, after what was decoded."""
        packed = gzip.compress(event(HELLO), mtime=0)
        chunks, decoder = decode([packed[:-8], b"\x00" * 8], content_encoding="gzip")

        assert raws(chunks) == [HELLO]
        assert isinstance(decoder.failure, _errors.MalformedEvent)

    def test_compressed_too_large(self):
        """A small piece that stands for more than the bound is an error."""
        _, decoder = decode([gzip.compress(b":" * 10**6)], content_encoding="gzip")

        assert isinstance(decoder.failure, _errors.EventTooLarge)


class TestJson:
    def test_completion(self):
        """A whole completion is one chunk, at its end, and then the body is done."""
        body = json.dumps(WHOLE).encode()
        decoder = ChunkDecoder(Reply(200, {"content-type": "application/json"}), max_event_bytes=LIMIT)

        assert decoder.feed(body) == []
        assert not decoder.done
        (chunk,) = decoder.close()
        assert decoder.done
        assert (chunk.text, chunk.finish_reason, chunk.usage.total_tokens) == ("Hello", "stop", 3)
        assert decoder.close() == []
        assert decoder.feed(body) == []

    @pytest.mark.parametrize("indices", [(None, None), (0, 0), (1, 0)])
    def test_tool_calls(self, indices):
        """Tool calls stay apart and in order, whatever index they carry."""
        calls = [
            {"id": f"call_{i}", "type": "function", "function": {"name": f"f{i}", "arguments": f'{{"x":{i}}}'}}
            for i in range(2)
        ]
        sent = [{**call, "index": at} if at is not None else call for call, at in zip(calls, indices, strict=True)]
        message = {"role": "assistant", "content": None, "tool_calls": sent}
        body = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
        accumulator = CompletionAccumulator()
        accumulator.add(completion_as_chunk(json.dumps(body).encode()))
        (choice,) = accumulator.completion.choices

        assert [call.function.arguments for call in choice.message.tool_calls] == ['{"x":0}', '{"x":1}']
        assert [call.id for call in choice.message.tool_calls] == ["call_0", "call_1"]
        assert accumulator.finished

    def test_choices(self):
        """Choices without an index are told apart by their place."""
        message = {"role": "assistant", "content": "Hi"}
        body = {"choices": [{"message": message, "finish_reason": "stop"}] * 2}
        accumulator = CompletionAccumulator(2)
        accumulator.add(completion_as_chunk(json.dumps(body).encode()))

        assert [choice.message.content for choice in accumulator.completion.choices] == ["Hi", "Hi"]

    def test_both_ways_alike(self):
        """Asked for whole or as a stream, the same JSON is the same completion: choices and calls by their place."""
        function = {"name": "f", "arguments": "{}"}
        calls = [{"id": name, "type": "function", "index": 0, "function": function} for name in "ab"]
        choices = [{"message": {"role": "assistant", "content": text, "tool_calls": calls}} for text in "xy"]
        body = json.dumps({"id": "c", "choices": choices, "usage": {"total_tokens": 3}, "odd": 1}).encode()
        accumulator = CompletionAccumulator(2)
        accumulator.add(completion_as_chunk(body))
        whole = read_completion(body)

        assert whole == accumulator.completion
        assert [[call.index for call in choice.message.tool_calls] for choice in whole.choices] == [[0, 1], [0, 1]]

    def test_of_another_type(self):
        """Metadata of another type is kept, and costs no text, either way."""
        head = {"id": 5, "created": 1.5, "usage": {"total_tokens": "3"}}
        body = json.dumps({**WHOLE, **head}).encode()
        accumulator = CompletionAccumulator()
        accumulator.add(completion_as_chunk(body))
        whole = read_completion(body)

        assert whole == accumulator.completion
        assert (whole.text, whole.extra, whole.usage.extra) == (
            "Hello",
            {"id": 5, "created": 1.5},
            {"total_tokens": "3"},
        )

    @pytest.mark.parametrize("choice", [None, 1, {}, {"message": None}, {"message": {"tool_calls": [1]}}])
    def test_strange_choices(self, choice):
        """A choice that is none is left for the chunk to complain about."""
        chunk = completion_as_chunk(json.dumps({"choices": [choice]}).encode())

        assert chunk.text == ""

    def test_error(self):
        """An error object with status 200 is an exception of its class."""
        chunks, decoder = decode([json.dumps(ERROR).encode()], "application/json")

        assert chunks == []
        assert isinstance(decoder.failure, _errors.RateLimited)

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"{}", b'{"choices": null}', b"\xff", b"[" * 100_000])
    def test_no_completion(self, body):
        """JSON that is neither is an error that has the body."""
        _, decoder = decode([body], "application/json", limit=10**6)

        assert isinstance(decoder.failure, _errors.MalformedEvent)
        assert not decoder.done

    def test_too_large(self):
        """A body beyond the bound is an error."""
        _, decoder = decode([b'{"id": "', b"x" * 100, b'"}'], "application/json", limit=100)

        assert (type(decoder.failure), decoder.failure.limit) == (_errors.EventTooLarge, 100)

    def test_blank_for_ever(self):
        """A body that never begins is bounded, too."""
        _, decoder = decode([b"\n" * 60, b"\n" * 60], None, limit=100)

        assert isinstance(decoder.failure, _errors.EventTooLarge)

    def test_legacy_text(self):
        """A whole answer of /v1/completions is read like a message."""
        choice = {"text": " Paris.", "index": 0, "logprobs": None, "finish_reason": "length"}
        body = json.dumps({"id": "cmpl-1", "object": "text_completion", "choices": [choice]}).encode()
        completion = read_completion(body)

        assert (completion.text, completion.finish_reason, completion.choices[0].extra) == (" Paris.", "length", {})
        assert completion_as_chunk(body).text == " Paris."

    def test_a_call_without_a_type(self):
        """A tool call without a type is a function's."""
        calls = [{"id": "a", "function": {"name": "f"}}, {"type": None}, {"type": "custom"}, 5]
        body = json.dumps({"choices": [{"message": {"tool_calls": calls[:3]}}]}).encode()

        assert [call.type for call in read_completion(body).tool_calls] == ["function", "function", "custom"]

    @pytest.mark.parametrize(
        ("body", "name"),
        [
            ({"type": "message", "role": "assistant", "content": [{"type": "text"}]}, "Anthropic's Messages API"),
            ({"object": "response", "status": "completed", "output": []}, "OpenAI's Responses API"),
        ],
    )
    def test_of_another_format(self, body, name):
        """An answer of another format is refused with its name, and what to do."""
        with pytest.raises(_errors.MalformedEvent, match=f"this is the format of {name}; set completions_path"):
            read_completion(json.dumps(body).encode())

    def test_read_completion(self):
        """A whole completion that was asked for is read as such."""
        completion = read_completion(b"\xef\xbb\xbf" + json.dumps(WHOLE).encode())

        assert (completion.text, completion.finish_reason, completion.usage.total_tokens) == ("Hello", "stop", 3)

    @pytest.mark.parametrize(
        ("body", "cls"),
        [
            (ERROR, _errors.RateLimited),
            ({"choices": [], **ERROR}, _errors.RateLimited),
            ({"choices": [1]}, _errors.MalformedEvent),
            ([], _errors.MalformedEvent),
        ],
    )
    def test_read_anything_else(self, body, cls):
        """Anything else is an error that has the body."""
        body = json.dumps(body)
        with pytest.raises(cls) as caught:
            read_completion(body.encode())

        assert body in (getattr(caught.value, "data", ""), getattr(caught.value, "body", b"").decode())


def test_precompile():
    """What is read so that the readers are made is a chunk as any other, or none would be made; it may be read again."""
    precompile.cache_clear()
    precompile()
    precompile()

    assert precompile.cache_info().misses == 1
