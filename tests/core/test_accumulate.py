"""Chunks to a completion: in any order, with every provider's habits, and never half a chunk."""

import json

import pytest
from hypothesis import given, strategies as st
from tests.strategies import chunk_json, cuts, damaged, json_values, texts

from genesys_stream._core.reading.accumulate import CompletionAccumulator
from genesys_stream._errors import InvalidArgument, MalformedEvent
from genesys_stream._values import Choice, Completion, CompletionChunk, FunctionCall, Message, ToolCall, Usage
from genesys_stream._wire import join_surrogates


def accumulated(*chunks, n=1):
    accumulator = CompletionAccumulator(n)
    for chunk in chunks:
        accumulator.add(CompletionChunk(chunk))
    return accumulator


def completed(*chunks):
    return accumulated(*chunks).completion


def said(delta, index=0, finish_reason=None, **fields):
    """A chunk with one choice, all four fields present as OpenAI sends them."""
    return {
        "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason, **fields}],
    }


def message(*deltas):
    """What one choice's deltas make."""
    return completed(*map(said, deltas)).choices[0].message


HEAD = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1700000000,
    "model": "gpt-4o",
    "system_fingerprint": "fp",
    "service_tier": "default",
}


class TestOrdinaryStream:
    def test_openai(self):
        """A stream as OpenAI sends it becomes the completion that was streamed."""
        expected = Completion(
            id="chatcmpl-1",
            created=1700000000,
            model="gpt-4o",
            choices=(Choice(0, Message("assistant", "Hello!"), "stop"),),
            usage=Usage(9, 2, 11, {"prompt_tokens_details": {"cached_tokens": 0}}),
            service_tier="default",
            system_fingerprint="fp",
        )

        actual = completed(
            {**HEAD, **said({"role": "assistant", "content": "", "refusal": None}), "usage": None},
            {**HEAD, **said({"content": "Hel"}), "usage": None},
            {**HEAD, **said({"content": "lo!"}), "usage": None},
            {**HEAD, **said({}, finish_reason="stop"), "usage": None},
            {
                **HEAD,
                "choices": [],
                "usage": {
                    "prompt_tokens": 9,
                    "completion_tokens": 2,
                    "total_tokens": 11,
                    "prompt_tokens_details": {"cached_tokens": 0},
                },
            },
        )

        assert expected == actual
        assert actual.text == "Hello!"
        assert actual.object == "chat.completion"

    def test_nothing_yet(self):
        """Before the first chunk there is an empty completion."""
        assert Completion() == CompletionAccumulator().completion
        assert not CompletionAccumulator().finished

    @given(st.data(), texts)
    def test_any_cuts_make_the_same_text(self, data, text):
        """However a text is cut into deltas, it is put together; pairs are joined, lone halves are replaced."""
        pieces = data.draw(cuts(text))
        names = "content", "refusal", "reasoning_content", "reasoning"
        whole = message({"role": "assistant"}, *({name: piece} for piece in pieces for name in names))

        assert [join_surrogates(text)] * 4 == [
            whole.content,
            whole.refusal,
            whole.reasoning_content,
            whole.extra["reasoning"],
        ]

    def test_pairs_across_deltas(self):
        """The two halves of a surrogate pair may come in two deltas, also with a look between them."""
        accumulator = accumulated(said({"content": "a\ud83d"}))

        assert accumulator.completion.text == "a\ufffd"
        accumulator.add(CompletionChunk(said({"content": "\ude00b\ude00"})))
        assert accumulator.completion.text == "a\U0001f600b\ufffd"

    def test_a_snapshot_changes_nothing(self):
        """A completion once returned stays as it was, and does not disturb what follows."""
        logprob = said({"content": "a", "x": "1"}, logprobs={"content": [{"token": "a"}]}, mood=1)
        accumulator = accumulated({**logprob, "unknown": 1})
        before = accumulator.completion
        copy = json.dumps([before.choices[0].logprobs, before.extra, before.choices[0].message.extra])
        accumulator.add(CompletionChunk({**logprob, "unknown": 2, "usage": {"total_tokens": 1}}))

        assert before.text == "a"
        assert copy == json.dumps([before.choices[0].logprobs, before.extra, before.choices[0].message.extra])
        assert before.usage is None
        assert accumulator.completion.text == "aa"
        assert accumulator.completion.extra["unknown"] == 2

    def test_the_chunk_is_not_changed(self):
        """Adding leaves a chunk as it came."""
        chunk = said({"content": "a"}, logprobs={"content": [{"token": "a"}]})
        before = json.dumps(chunk)
        completed(chunk, chunk, chunk)

        assert before == json.dumps(chunk)


class TestChoices:
    def test_any_order(self):
        """Choices may begin in any order, and are told apart by their index."""
        actual = completed(
            said({"content": "c"}, index=2),
            said({"content": "a"}, index=0),
            {"choices": [{"index": 1, "delta": {"content": "b"}}, {"index": 0, "delta": {"content": "a"}}]},
        )

        assert [(c.index, c.message.content) for c in actual.choices] == [(0, "aa"), (1, "b"), (2, "c")]

    @pytest.mark.parametrize("index", [{}, {"index": None}])
    def test_no_index(self, index):
        """A choice without an index is the first one."""
        chunk = {"choices": [{**index, "delta": {"content": "a"}}]}

        assert (Choice(0, Message(content="aa")),) == completed(chunk, chunk).choices

    def test_finished(self):
        """A stream is finished when every choice that was asked for was seen and has a finish reason."""
        accumulator = CompletionAccumulator(2)
        told = []
        for chunk in (
            {"choices": []},
            said({"content": "a"}),
            said({}, finish_reason="stop"),
            said({"content": "b"}, index=1),
            said({}, index=1, finish_reason="length"),
            said({}, index=1, finish_reason="length"),
            said({"content": "c"}, index=2),
            said({"content": "c"}, index=2, finish_reason="stop"),
        ):
            accumulator.add(CompletionChunk(chunk))
            told.append(accumulator.finished)

        assert told == [False, False, False, False, True, True, False, True]

    @pytest.mark.parametrize("nothing", [None, ""])
    def test_an_empty_finish_reason_is_none(self, nothing):
        """Some providers send an empty finish reason until the end; and none takes one back."""
        assert not accumulated(said({"content": "a"}, finish_reason=nothing)).finished
        accumulator = accumulated(said({}, finish_reason="stop"), said({"content": "a"}, finish_reason=nothing))
        assert accumulator.finished
        assert accumulator.completion.finish_reason == "stop"

    @pytest.mark.parametrize("bad", [0, -1, "1", 1.0, None, True])
    def test_n_is_a_positive_integer(self, bad):
        """A number of choices that is none is refused, by its name."""
        with pytest.raises(InvalidArgument, match=r"^n must") as caught:
            CompletionAccumulator(bad)
        assert caught.value.argument == "n"


class TestMessages:
    def test_all_fields(self):
        """Role, text, refusal and reasoning are gathered apart."""
        assert Message("tool", "ab", "cd", "ef") == message(
            {"role": "tool", "content": "a", "refusal": "c", "reasoning_content": "e"},
            {"content": "b", "refusal": "d", "reasoning_content": "f"},
        )

    def test_the_role_that_is_repeated(self):
        """A role counts once, and an empty one not at all."""
        assert Message("developer", "ab") == message(
            {"role": "", "content": "a"}, {"role": "developer"}, {"role": "assistant", "content": "b"}, {"role": ""}
        )

    def test_no_text_and_empty_text(self):
        """A choice that never had content says None; one that had empty content says so."""
        assert message({"role": "assistant"}).content is None
        assert message({"content": None}, {"content": None}).content is None
        assert message({"content": None}, {"content": ""}, {"content": None}).content == ""

    def test_a_null_delta(self):
        """A choice without a delta, as a finish may come, says nothing."""
        assert (Choice(0, Message(content="a"), "stop"),) == completed(
            said({"content": "a"}), {"choices": [{"index": 0, "delta": None, "finish_reason": "stop"}]}
        ).choices

    def test_content_in_parts(self):
        """Content may be a list of parts, of which those with text count."""
        parts = [{"type": "text", "text": "b"}, "c", {"type": "image"}, {"text": None}]

        assert message({"content": "a"}, {"content": parts}, {"content": "d"}).content == "abcd"

    def test_a_whole_message(self):
        """A whole message in one event counts as a delta, its calls by their place, and finishes its choice."""
        calls = [{"id": name, "index": 0, "function": {"name": name}} for name in "fg"]
        whole = {"role": "assistant", "content": "b", "tool_calls": calls}
        share = {"index": 0, "message": whole, "finish_reason": "tool_calls"}
        accumulator = accumulated(said({"content": "a"}))

        assert accumulator.add(CompletionChunk({"choices": [share]}))
        (choice,) = accumulator.completion.choices
        assert (choice.message.content, choice.finish_reason, choice.extra) == ("ab", "tool_calls", {})
        assert [(call.index, call.id) for call in choice.message.tool_calls] == [(0, "f"), (1, "g")]
        assert accumulator.finished

    def test_a_message_beside_a_null_delta(self):
        """A whole message beside a null delta keeps its role."""
        whole = {"choices": [{"index": 0, "delta": None, "message": {"role": "tool", "content": "a"}}]}

        assert (Choice(0, Message("tool", "a")),) == completed(whole).choices
        assert CompletionChunk(whole).choices[0].delta.role == "tool"

    @pytest.mark.parametrize("content", ["ab", [{"type": "text", "text": "a"}, "b"]])
    def test_a_message_that_repeats_what_was_streamed(self, content):
        """A message at the end that repeats text, calls and unknown fields of the stream adds none of them."""
        calls = [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]
        whole = {"role": "assistant", "content": content, "refusal": None, "reasoning": "xy", "tool_calls": calls}
        accumulator = accumulated(
            said({"role": "assistant", "content": "a", "reasoning": "x"}),
            said({"content": "b", "reasoning": "y", "tool_calls": calls}),
        )
        before = accumulator.completion.choices[0].message

        assert accumulator.add(CompletionChunk({"choices": [{"index": 0, "message": whole, "finish_reason": "stop"}]}))
        assert accumulator.completion.choices == (Choice(0, before, "stop"),)
        assert accumulator.finished

    @pytest.mark.parametrize(
        "whole",
        [
            {"content": "a"},
            {"content": ""},
            {"content": None},
            {"tool_calls": []},
            {"tool_calls": [{"id": "d"}]},
            {"x": 1},
        ],
    )
    def test_a_message_that_repeats_nothing(self, whole):
        """What was not streamed is added."""
        start = said({"content": "b", "tool_calls": [{"index": 0, "id": "c"}]})
        delta = completed(
            start, said({**whole, **({"tool_calls": [{"index": 1, "id": "d"}]} if whole.get("tool_calls") else {})})
        )

        assert completed(start, {"choices": [{"index": 0, "message": whole}]}).text == delta.text

    def test_whole_messages_only(self):
        """Where each piece comes as a message, one that equals the text so far is a piece like the others."""
        piece = {"choices": [{"index": 0, "message": {"content": "ha"}}]}

        assert completed(piece, piece).text == "haha"

    @pytest.mark.parametrize("index", ["0", [], True])
    def test_a_message_with_an_odd_index(self, index):
        """An index that is no number is refused, as it is beside a delta."""
        with pytest.raises(MalformedEvent):
            completed(said({"content": "a"}), {"choices": [{"index": index, "message": {"content": "a"}}]})

    def test_legacy_text(self):
        """A choice with a text, as /v1/completions streams it, counts as one with a delta."""
        head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m"}
        chunks = [
            {**head, "choices": [{"text": " Hel", "index": 0, "logprobs": None, "finish_reason": None}]},
            {**head, "choices": [{"text": "lo", "index": 0, "logprobs": {"tokens": ["lo"]}, "finish_reason": None}]},
            {**head, "choices": [{"text": "", "index": 0, "logprobs": None, "finish_reason": "length"}]},
        ]
        actual = completed(*chunks)

        assert (actual.text, actual.finish_reason, actual.choices[0].extra) == (" Hello", "length", {})
        assert "".join(CompletionChunk(chunk).text for chunk in chunks) == " Hello"

    def test_a_message_beside_a_delta(self):
        """What was said so far, once more beside each delta, is not said twice."""
        actual = completed(
            {"choices": [{"index": 0, "delta": {"content": "a"}, "message": {"content": "a"}}]},
            {"choices": [{"index": 0, "delta": {"content": "b"}, "message": {"content": "ab"}}]},
        )

        assert actual.text == "ab"
        assert actual.choices[0].extra == {"message": {"content": "ab"}}

    def test_unknown_texts_come_in_pieces(self):
        """An unknown text of a delta is put together; of anything else the last one counts, and null is nothing."""
        actual = message(
            {"content": "a", "reasoning": "One ", "audio": {"at": 1}, "x": "s", "y": None, "z": [1]},
            {"content": "b", "reasoning": "two", "audio": {"at": 2}, "x": 1, "y": None, "z": None},
            {"content": "c", "reasoning": None, "y": None, "z": "t"},
        )

        assert actual.extra == {"reasoning": "One two", "audio": {"at": 2}, "x": 1, "y": None, "z": "t"}
        assert actual.content == "abc"

    def test_texts_of_unknown_objects_come_in_pieces(self):
        """The texts of an unknown object are put together, too; its id, type and name are said once."""
        deltas = [
            {"function_call": {"name": "f", "arguments": '{"a":'}, "audio": None},
            {"function_call": {"name": None, "arguments": " 1"}, "audio": {"id": "x", "transcript": "Hi "}},
            {"function_call": {"name": "f", "arguments": "}"}, "audio": {"id": "x", "transcript": "you", "at": 9}},
        ]
        accumulator = accumulated(*map(said, deltas))
        (choice,) = accumulator.completion.choices

        assert choice.message.extra == {
            "function_call": {"name": "f", "arguments": '{"a": 1}'},
            "audio": {"id": "x", "transcript": "Hi you", "at": 9},
        }
        assert accumulator.completion.choices == (choice,)
        assert message({"x": "text"}, {"x": {"y": "z"}}, {"x": None}).extra == {"x": {"y": "z"}}

    def test_logprobs(self):
        """The lists of log probabilities go on from chunk to chunk; null adds nothing."""
        actual = completed(
            said({"content": "a"}),
            said({"content": "b"}, logprobs={"content": [1, 2], "refusal": None, "x": 1}),
            said({"content": "c"}, logprobs={"content": [3], "refusal": [4], "x": 2}),
            said({"content": "d"}, logprobs={"content": None}),
            said({"content": "e"}),
        )

        assert actual.choices[0].logprobs == {"content": [1, 2, 3], "refusal": [4], "x": 2}
        assert actual.text == "abcde"
        assert completed(said({"content": "a"}, logprobs={})).choices[0].logprobs == {}


class TestSaysSomething:
    @pytest.mark.parametrize(
        ("chunk", "expected"),
        [
            (said({"content": "a"}), True),
            (said({"content": "a", "role": "assistant"}), True),
            (said({"reasoning_content": "a"}), True),
            (said({"refusal": "a"}), True),
            (said({"reasoning": "a"}), True),
            (said({"tool_calls": [{"index": 0}]}), True),
            (said({}, finish_reason="stop"), True),
            (said({"content": "b"}, index=1), True),
            (said({"content": ""}), False),
            (said({"role": "assistant", "content": "", "refusal": None}), False),
            (said({"role": "assistant"}), False),
            (said({"reasoning": "", "audio": None}), False),
            (said({}), False),
            ({"choices": []}, False),
            ({"choices": [], "usage": {"total_tokens": 1}}, False),
        ],
    )
    def test_add_tells(self, chunk, expected):
        """Adding tells whether a chunk says something; a role, an empty text and a usage are not something."""
        accumulator = CompletionAccumulator()
        assert accumulator.add(CompletionChunk(chunk)) is expected
        assert accumulator.add(CompletionChunk(chunk)) is expected


class TestToolCalls:
    def test_fragments(self):
        """Fragments are told apart by their index; the first id, type and name count, arguments are joined."""
        expected = (
            ToolCall(0, "call_a", "function", FunctionCall("weather", '{"city": "Bärn \U0001f600"}')),
            ToolCall(1, "call_b", "function", FunctionCall("time", "{}")),
        )

        actual = message(
            {"role": "assistant", "content": None},
            {"tool_calls": [{"index": 1, "id": "call_b", "type": "function", "function": {"name": "time", "arguments": ""}}]},
            {"tool_calls": [{"index": 0, "id": "call_a", "type": "function", "function": {"name": "weather", "arguments": '{"city'}}]},
            {"tool_calls": [{"index": 0, "function": {"name": "weather", "arguments": '": "Bärn \ud83d'}}, {"index": 1, "function": {"arguments": "{}"}}]},
            {"tool_calls": [{"index": 0, "id": "", "type": None, "function": {"name": "", "arguments": '\ude00"}'}}]},
        )  # fmt: skip

        assert expected == actual.tool_calls
        assert actual.content is None

    def test_no_calls(self):
        """A message without calls has none, not an empty tuple of them."""
        assert message({"tool_calls": []}, {"tool_calls": None, "content": "a"}).tool_calls is None

    def test_a_call_without_a_function(self):
        """What has not been said of a call is None."""
        assert (ToolCall(3, None, "function", FunctionCall()),) == message({"tool_calls": [{"index": 3}]}).tool_calls

    def test_no_index(self):
        """Without an index, a new id begins a call, a known one goes on with its own, and none with the last."""
        actual = message(
            {"tool_calls": [{"function": {"arguments": "0"}}]},
            {"tool_calls": [{"id": "a", "function": {"arguments": "1"}}, {"id": "b", "function": {"arguments": "2"}}]},
            {
                "tool_calls": [
                    {"id": "a", "index": None, "function": {"arguments": "3"}},
                    {"function": {"arguments": "4"}},
                ]
            },
        )

        assert [(call.index, call.id, call.function.arguments) for call in actual.tool_calls] == [
            (0, None, "0"),
            (1, "a", "13"),
            (2, "b", "24"),
        ]

    def test_one_index_for_all(self):
        """Under one index, a new id with a name begins another call; each goes on until the next one begins."""
        actual = message(
            {"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "1"}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": "2"}}]},
            {"tool_calls": [{"index": 0, "id": "b", "type": "function", "function": {"name": "g", "arguments": "3"}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": "4"}}]},
            {"tool_calls": [{"index": 0, "id": "a", "function": {"arguments": "5"}}]},
            {"tool_calls": [{"index": 0, "id": "b", "function": {"name": "g", "arguments": "6"}}]},
            {"tool_calls": [{"index": 1, "id": "c", "function": {"name": "h", "arguments": "7"}}]},
        )

        assert [(call.index, call.id, call.name, call.function.arguments) for call in actual.tool_calls] == [
            (0, "a", "f", "125"),
            (1, "b", "g", "346"),
            (2, "c", "h", "7"),
        ]

    def test_a_new_id_with_every_fragment(self):
        """Some providers make up an id for every fragment; without a name it begins no call."""
        actual = message(
            {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f"}}]},
            {"tool_calls": [{"index": 0, "id": "b", "function": {"arguments": "{"}}]},
            {"tool_calls": [{"index": 0, "id": "c", "function": {"arguments": "}"}}]},
        )

        assert (ToolCall(0, "a", "function", FunctionCall("f", "{}")),) == actual.tool_calls

    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            (["get_", "weather"], "get_weather"),
            (["get_", "", None, "weather"], "get_weather"),
            (["weather", "weather"], "weather"),
            (["get_", "weather", "get_weather"], "get_weather"),
            (["", "weather"], "weather"),
            ([None, ""], None),
        ],
    )
    def test_names(self, names, expected):
        """A name in pieces is joined; one that is repeated is not, nor does it change once the arguments have begun."""
        fragments = [{"index": 0, "function": {"name": name}} for name in names]
        late = {"index": 0, "function": {"name": "late", "arguments": "}"}}
        begun = {"index": 0, "function": {"arguments": "{"}}
        (call,) = message(*({"tool_calls": [one]} for one in (*fragments, begun, late))).tool_calls

        assert (call.function.name, call.function.arguments) == (expected, "{}")

    def test_unknown_fields(self):
        """Unknown fields of a call and of its function are kept; later values win."""
        actual = message(
            {"tool_calls": [{"index": 0, "x": 1, "y": 1, "function": {"z": 1}}]},
            {"tool_calls": [{"index": 0, "x": 2, "y": None, "function": {"z": 2}}]},
        )

        assert (
            ToolCall(0, type="function", extra={"x": 2, "y": 1}, function=FunctionCall(extra={"z": 2})),
        ) == actual.tool_calls


class TestFields:
    def test_the_first_that_says_something(self):
        """Of id, model and their like the first one that is not empty counts."""
        actual = completed(
            {"id": "", "object": "", "created": 0, "model": "", "system_fingerprint": None, "choices": []},
            {**said({"content": "a"}), "id": "1", "created": 5, "model": None, "service_tier": None},
            {**said({"content": "b"}), "id": "2", "created": 6, "model": "m", "service_tier": "t"},
            {
                **said({"content": "c"}),
                "id": "3",
                "created": 7,
                "model": "n",
                "service_tier": "u",
                "system_fingerprint": "f",
            },
        )

        assert Completion(
            "1", "chat.completion", 5, "m", (Choice(0, Message(content="abc")),), None, "t", "f"
        ) == actual  # fmt: skip

    def test_the_last_usage_counts(self):
        """Usage may come early, often, and be followed by chunks without."""
        actual = completed(
            {**said({"content": "a"}), "usage": {"total_tokens": 1}},
            {**said({"content": "b"}), "usage": {"total_tokens": 2}},
            {**said({"content": "c"}), "usage": None},
            said({"content": "d"}),
        )

        assert Usage(total_tokens=2) == actual.usage
        assert actual.text == "abcd"

    def test_azure_filter_chunks(self):
        """Annotations of Azure's content filters are kept, whatever the object calls itself."""
        actual = completed(
            {
                "id": "",
                "object": "",
                "created": 0,
                "model": "",
                "prompt_filter_results": [{"prompt_index": 0}],
                "choices": [],
            },
            {**HEAD, **said({"content": "a"}, content_filter_results={})},
            {**HEAD, **said({"content": "b"}, content_filter_results={"hate": {"filtered": False}})},
            {
                "id": "",
                "object": "",
                "choices": [{"index": 0, "finish_reason": None, "content_filter_offsets": {"end_offset": 2}}],
            },
        )

        assert actual.id == "chatcmpl-1"
        assert actual.text == "ab"
        assert actual.extra == {"prompt_filter_results": [{"prompt_index": 0}]}
        assert actual.choices[0].extra == {
            "content_filter_results": {"hate": {"filtered": False}},
            "content_filter_offsets": {"end_offset": 2},
        }

    def test_unknown_fields(self):
        """Unknown fields are kept; later values win, and null takes nothing back."""
        actual = completed(
            {**HEAD, **said({"content": "a"}, mood="x"), "pad": "1", "x": None, "extra": 1},
            {**HEAD, **said({"content": "b"}, mood="y"), "pad": "2", "x": None},
            {**HEAD, **said({"content": "c"}, mood=None), "pad": None, "x": None},
        )

        assert actual.extra == {"pad": "2", "x": None, "extra": 1}
        assert actual.choices[0].extra == {"mood": "y"}
        assert actual.text == "abc"

    def test_padding_beside_text(self):
        """Unknown fields beside plain text are kept, and a field to settle is settled beside them."""
        accumulator = accumulated(said({"content": "a"}))
        for fields in ({"pad": "1"}, {"pad": "2", "id": None}, {"pad": "3", "id": "1"}, {"pad": None, "id": "2"}):
            accumulator.add(CompletionChunk({**fields, **said({"content": "b"})}))

        assert accumulator.completion == Completion(
            "1", choices=(Choice(0, Message(content="abbbb")),), extra={"pad": "3"}
        )

    def test_of_another_type(self):
        """Metadata of another type is kept as it came, the first of it, and costs no text."""
        head = {"id": 5, "created": 1.5, "model": "", "service_tier": {"a": 1}, "usage": "many"}
        actual = completed(
            {**head, **said({"content": "a"})},
            {"id": "late", "created": 2.5, "model": "m", **said({"content": "b"})},
            {"created": 3.5, "usage": {"total_tokens": "many", "prompt_tokens": 3}, **said({"content": "c"})},
        )

        assert actual.text == "abc"
        assert (actual.id, actual.created, actual.model, actual.service_tier) == ("", None, "m", None)
        assert actual.extra == {"id": 5, "created": 1.5, "service_tier": {"a": 1}, "usage": "many"}
        assert actual.usage == Usage(prompt_tokens=3, extra={"total_tokens": "many"})

    def test_a_chunk_without_choices(self):
        """Neither a missing list of choices nor a null one means anything."""
        assert Completion() == completed({}, {"choices": None}, {"choices": []})


MALFORMED = [
    {"choices": 5},
    {"choices": "text"},
    {"choices": [5]},
    {"choices": [None]},
    {"choices": {"0": {}}},
    {"choices": [{"index": "0", "delta": {"content": "a"}}]},
    {"choices": [{"index": True, "delta": {"content": "a"}}]},
    {"choices": [{"index": 0.0, "delta": {"content": "a"}}]},
    {"choices": [{"index": [], "delta": {"content": "a"}}]},
    {"choices": [{"index": 0, "delta": "a"}]},
    {"choices": [{"index": 0, "delta": ["content"]}]},
    {"choices": [{"index": 0, "delta": {"content": 5}}]},
    {"choices": [{"index": 0, "delta": {"content": {"text": "a"}}}]},
    {"choices": [{"index": 0, "delta": {"content": "a", "role": 5}}]},
    {"choices": [{"index": 0, "delta": {"content": "a", "tool_calls": [{"index": 0, "function": "f"}]}}]},
    {"choices": [{"index": 0, "delta": {"content": "a", "tool_calls": {"a": 1}}}]},
    {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": 5}]},
    {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": False}]},
    {"choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": []}]},
    {"choices": [{"index": 0, "delta": {"content": "a"}}, {"index": "1"}]},
]


class TestMalformed:
    @pytest.mark.parametrize("chunk", MALFORMED, ids=repr)
    @pytest.mark.parametrize("before", [[], [said({"role": "assistant", "content": "x"}, logprobs={"content": [1]})]])
    def test_a_chunk_is_added_whole_or_not_at_all(self, chunk, before):
        """A malformed chunk raises MalformedEvent and leaves everything as it was."""
        accumulator = accumulated(*before)
        expected = accumulator.completion

        with pytest.raises(MalformedEvent) as caught:
            accumulator.add(CompletionChunk(chunk))

        assert chunk == json.loads(caught.value.data)
        assert expected == accumulator.completion
        accumulator.add(CompletionChunk(said({"content": "y"})))
        assert accumulator.completion.text.endswith("y")

    def test_the_field_is_named(self):
        """The error says where in the chunk the trouble is."""
        with pytest.raises(MalformedEvent, match=r"choices.*\[1\]\.delta\.content: expected text"):
            accumulated({"choices": [{}, {"delta": {"content": 5}}]})

    @given(st.lists(chunk_json | damaged() | st.dictionaries(texts, json_values, max_size=3), max_size=6))
    def test_any_json(self, chunks):
        """Whatever JSON objects come, MalformedEvent is the only way out, and it changes nothing."""
        accumulator = CompletionAccumulator()
        for raw in chunks:
            before = accumulator.completion, accumulator.finished
            try:
                accumulator.add(CompletionChunk(raw))
            except MalformedEvent:
                assert before == (accumulator.completion, accumulator.finished)
            assert isinstance(accumulator.completion, Completion)
            json.dumps(accumulator.completion.text).encode()

    def test_json_too_deep_to_print(self):
        """A malformed chunk that is nested too deeply to be shown is reported without its data."""
        deep = {}
        for _ in range(100_000):  # Python 3.13 follows 10,000, whatever its recursion limit
            deep = {"": deep}

        with pytest.raises(MalformedEvent) as caught:
            accumulated({"choices": 5, "deep": deep})
        assert caught.value.data == ""
        assert deep is completed({"choices": [], "deep": deep}).extra["deep"]


class TestEitherWay:
    @given(st.lists(chunk_json, max_size=6))
    def test_what_is_read_quickly_is_read_the_same(self, chunks):
        """A choice's plain text makes the same completion as when something else rides along with it."""
        plain = accumulated(*chunks)
        # A second choice in a chunk keeps it from being read where it lies; it is taken out of the result again.
        ballast = {"index": 99, "delta": {}}
        laden = accumulated(*({**chunk, "choices": [*(chunk.get("choices") or ()), ballast]} for chunk in chunks))

        assert plain.completion.choices == tuple(c for c in laden.completion.choices if c.index != 99)
        assert plain.completion.extra == laden.completion.extra
        assert plain.completion.usage == laden.completion.usage
        assert plain.completion.id == laden.completion.id

    @given(
        st.lists(
            st.tuples(
                texts,
                st.sampled_from([{}, {"role": "assistant"}, {"refusal": None}, {"x": "y"}, {"x": None}]),
                st.sampled_from(["delta", "message"]),
            )
        )
    )
    def test_the_text_is_the_sum_of_the_chunks_texts(self, pieces):
        """The joined text is that of the chunks as they are handed out, without what a message repeats."""
        accumulator = CompletionAccumulator()
        handed_out = []
        for text, rest, key in pieces:
            chunk = CompletionChunk({"choices": [{"index": 0, key: {"content": text, **rest}}]})
            accumulator.add(chunk)
            replacement, accumulator._replacement = accumulator._replacement, None
            handed_out.append(replacement or chunk)

        assert join_surrogates("".join(chunk.text for chunk in handed_out)) == accumulator.completion.text
