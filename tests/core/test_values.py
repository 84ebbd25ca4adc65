"""The values: frozen, without text in their reprs, and read from any JSON."""

import json
import pickle
from datetime import date

import attrs
import pytest
from hypothesis import given, strategies as st
from tests.strategies import chunk_json, damaged, json_values, texts

from genesys_stream import _values
from genesys_stream._core.reading.artifacts import ArtifactReader
from genesys_stream._errors import ConnectFailed, InvalidArgument, MalformedEvent, ParseError
from genesys_stream._values import (
    Artifact,
    Batch,
    Choice,
    ChunkChoice,
    Completion,
    CompletionChunk,
    Delivery,
    Delta,
    FunctionCall,
    Message,
    PushReceipt,
    RelayReport,
    ServerSentEvent,
    ToolCall,
    Undelivered,
    Usage,
)

SECRET = "what the customer said"


@attrs.frozen
class City:
    name: str
    people: int


class TestEveryNoun:
    @pytest.mark.parametrize("name", [name for name in _values.__all__ if isinstance(getattr(_values, name), type)])
    def test_frozen(self, name):
        """A value cannot be changed."""
        cls = getattr(_values, name)
        value_ = cls.__new__(cls)

        for field in attrs.fields(cls):
            with pytest.raises(AttributeError):
                setattr(value_, field.name, None)

    @pytest.mark.parametrize(
        "value_",
        [
            ServerSentEvent(SECRET),
            CompletionChunk.of_text(SECRET),
            Message(content=SECRET, refusal=SECRET, reasoning_content=SECRET, extra={"x": SECRET}),
            Delta(content=SECRET, refusal=SECRET, reasoning_content=SECRET, extra={"x": SECRET}),
            ToolCall(function=FunctionCall("f", SECRET)),
            Choice(message=Message(content=SECRET), logprobs={"content": [{"token": SECRET}]}),
            ChunkChoice(delta=Delta(content=SECRET), logprobs={"content": [{"token": SECRET}]}),
            Completion(choices=(Choice(message=Message(content=SECRET)),), extra={"x": SECRET}),
            Batch(SECRET),
            RelayReport(Completion(choices=(Choice(message=Message(content=SECRET)),)), (Delivery(Batch(SECRET)),)),
        ],
        ids=lambda value_: type(value_).__name__,
    )
    def test_repr_hides_text(self, value_):
        """A repr tells how long a text is, never what it says; a pickle keeps it."""
        assert SECRET not in repr(value_)
        assert type(value_).__name__ in repr(value_)
        assert value_ == pickle.loads(pickle.dumps(value_))

    def test_repr_tells_the_size(self):
        """A repr tells the number of characters, and that there is no text."""
        assert "data=<3 characters>" in repr(ServerSentEvent("abc"))
        assert "content=None" in repr(Message())
        assert repr(CompletionChunk.of_text("ab")) == "CompletionChunk(id=None, text=<2 characters>)"


class TestServerSentEvent:
    def test_json(self):
        """An event's data is parsed when asked for."""
        assert ServerSentEvent('{"a": [1]}').json() == {"a": [1]}

    @pytest.mark.parametrize("data", ["", "{", "[DONE]", "[" * 100_000, "1" * 5000])
    def test_not_json(self, data):
        """Data that is not JSON, or more than Python's parser takes, is a malformed event with its data."""
        with pytest.raises(MalformedEvent, match="an event's data is not JSON") as caught:
            ServerSentEvent(data).json()
        assert data == caught.value.data
        assert caught.value.__cause__ is None


class TestCompletionChunk:
    @given(chunk_json | damaged() | st.dictionaries(texts, json_values))
    def test_text_never_raises(self, raw):
        """Whatever the JSON object, `text` is text, and so is the repr."""
        chunk = CompletionChunk(raw)

        assert isinstance(chunk.text, str)
        assert isinstance(repr(chunk), str)

    @given(json_values)
    def test_text_of_any_choices(self, value):
        """`text` is text even if the choices, the delta or the content are anything at all."""
        for raw in (
            {"choices": value},
            {"choices": [value]},
            {"choices": [{"delta": value}]},
            {"choices": [{"delta": {"content": value}}]},
            {"choices": [{"message": value}]},
            {"choices": [{"index": value, "delta": {"content": "a"}}]},
        ):
            assert isinstance(CompletionChunk(raw).text, str)

    @pytest.mark.parametrize(
        ("choices", "expected"),
        [
            ([{"index": 0, "delta": {"content": "a"}}], "a"),
            ([{"index": 1, "delta": {"content": "b"}}, {"index": 0, "delta": {"content": "a"}}], "a"),
            ([{"index": 1, "delta": {"content": "b"}}], ""),
            ([{"delta": {"content": [{"type": "text", "text": "a"}, "b"]}}], "ab"),
            ([{"index": 0, "delta": {"content": None}}], ""),
            ([{"index": 0, "delta": {}}], ""),
            ([{"index": 0, "message": {"content": "a"}}], "a"),
            ([{"index": 0, "delta": None, "message": {"content": ["a", {"text": "b"}]}}], "ab"),
            ([{"index": 0, "delta": {"content": "a"}, "message": {"content": "so far: a"}}], "a"),
            ([{"index": 0, "message": "a"}], ""),
            ([], ""),
            (None, ""),
        ],
    )
    def test_text(self, choices, expected):
        """The text is that of the first choice, wherever it stands, and "" if there is none."""
        assert expected == CompletionChunk({"choices": choices}).text

    def test_fields(self):
        """A chunk's fields are read when they are asked for; unknown ones are kept apart."""
        chunk = CompletionChunk(
            {
                "id": "1",
                "object": "chat.completion.chunk",
                "created": 5,
                "model": "m",
                "choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": "stop", "x": 1}],
                "usage": {"total_tokens": 3},
                "pad": "x",
            }
        )

        assert (chunk.id, chunk.object, chunk.created, chunk.model) == ("1", "chat.completion.chunk", 5, "m")
        assert (ChunkChoice(0, Delta("assistant"), "stop", None, {"x": 1}),) == chunk.choices
        assert chunk.choices is chunk.choices
        assert chunk.finish_reason == "stop"
        assert Usage(total_tokens=3) == chunk.usage
        assert chunk.extra == {"pad": "x"}

    def test_an_empty_object(self):
        """What a chunk does not say is empty."""
        chunk = CompletionChunk({})

        assert (
            chunk.id,
            chunk.object,
            chunk.created,
            chunk.model,
            chunk.choices,
            chunk.usage,
            chunk.finish_reason,
            chunk.extra,
        ) == ("", "", None, "", (), None, None, {})

    def test_malformed(self):
        """Choices of the wrong type are reported with the chunk's JSON, when they are asked for and not before."""
        chunk = CompletionChunk({"choices": 1.5})

        with pytest.raises(MalformedEvent, match="a chunk's choices are not what they should be") as caught:
            _ = chunk.choices
        assert json.loads(caught.value.data) == {"choices": 1.5}

    @pytest.mark.parametrize(
        ("name", "nothing"), [("id", ""), ("object", ""), ("created", None), ("model", ""), ("usage", None)]
    )
    @pytest.mark.parametrize("value", [1.5, True, [], None])
    def test_of_another_type(self, name, nothing, value):
        """Metadata of another type is kept as it came; null is nothing."""
        chunk = CompletionChunk({name: value})

        assert getattr(chunk, name) == nothing
        assert chunk.extra == ({} if value is None else {name: value})

    def test_usage_of_another_type(self):
        """Each of its numbers is read for itself."""
        chunk = CompletionChunk({"usage": {"prompt_tokens": None, "completion_tokens": 2.5, "total_tokens": 3}})

        assert Usage(total_tokens=3, extra={"completion_tokens": 2.5}) == chunk.usage
        assert chunk.extra == {}

    def test_of_text(self):
        """A chunk can be made of a text."""
        chunk = CompletionChunk.of_text("a", index=0, finish_reason="stop")

        assert (chunk.text, chunk.finish_reason) == ("a", "stop")
        assert CompletionChunk.of_text("a", index=1).text == ""


def completion_of(text):
    return Completion(choices=(Choice(message=Message(content=text)),))


class TestCompletion:
    def test_the_first_choice(self):
        """Text and finish reason are those of the choice with index 0."""
        completion = Completion(
            choices=(Choice(1, Message(content="b"), "length"), Choice(0, Message(content="a"), "stop"))
        )

        assert (completion.text, completion.finish_reason) == ("a", "stop")
        assert (Completion().text, Completion().finish_reason) == ("", None)
        assert Completion(choices=(Choice(),)).text == ""

    def test_parse(self):
        """Text that is JSON is read into the caller's class."""
        completion = Completion(choices=(Choice(message=Message(content='{"name": "Bern", "people": 1}')),))

        assert City("Bern", 1) == completion.parse(City)

    @pytest.mark.parametrize(
        ("text", "message", "fields"),
        [
            ("", "the text is not JSON: Expecting value at character 0", ()),
            ("[" * 100_000, "the text is not JSON: RecursionError", ()),
            ("5", "the text is not a City", None),
            (
                '{"name": 5, "people": "many"}',
                "the text is not a City: name: expected str, got int; people: expected int, got str",
                ("name: expected str, got int", "people: expected int, got str"),
            ),
            ('{"name": "a"}', "the field 'people' is missing", ("people: the field 'people' is missing",)),
        ],
    )
    def test_parse_error(self, text, message, fields):
        """What cannot be parsed raises with the path of each field, and with the text, but not in its message."""
        with pytest.raises(ParseError) as caught:
            completion_of(text).parse(City)

        assert message in str(caught.value)
        assert fields is None or fields == caught.value.fields
        assert text == caught.value.text

    @pytest.mark.parametrize(
        "text",
        [
            '```json\n{"name": "Bern", "people": 1}\n```',
            '```\r\n{"name": "Bern", "people": 1}\r\n```\r\n',
            'Here it is:\n\n  ~~~ JSON\n{"name": "Bern",\n "people": 1}\n  ~~~\nAnything else?',
        ],
    )
    def test_parse_in_a_fence(self, text):
        """JSON in the only block of code of a text in Markdown is found."""
        assert City("Bern", 1) == completion_of(text).parse(City)

    @pytest.mark.parametrize(
        "text",
        ['```json\n{"name": "Bern"}', "```\n1\n```\n```\n2\n```", "```json\nBern\n```", '```json {"name": 1}```'],
    )
    def test_parse_in_no_fence(self, text):
        """A block that is not closed, one of several, and one without JSON are no JSON."""
        with pytest.raises(ParseError, match="the text is not JSON") as caught:
            completion_of(text).parse(City)

        assert caught.value.text == text

    @pytest.mark.parametrize("cls", [City("Bern", 1), "City", None, 5, object, type("Plain", (), {})])
    def test_parse_into_no_class(self, cls):
        """What is no class that JSON can be read into is an invalid argument, here and for artifacts."""
        with pytest.raises(InvalidArgument, match=r"^cls must be a class that JSON can be read into, not "):
            completion_of("{}").parse(cls)
        with pytest.raises(InvalidArgument, match=r"^into must be a class that JSON can be read into, not "):
            Artifact("{}").parse(cls)
        with pytest.raises(InvalidArgument, match=r"^into must be a class that JSON can be read into, not "):
            ArtifactReader("items", cls)

    def test_tool_calls(self):
        """The tool calls are those of the choice with index 0."""
        call = ToolCall(id="a")
        others = Choice(1, Message(tool_calls=(ToolCall(id="b"),)))

        assert Completion(choices=(others, Choice(0, Message(tool_calls=(call,))))).tool_calls == (call,)
        assert Completion(choices=(others,)).tool_calls == Completion(choices=(Choice(),)).tool_calls == ()


class TestToolCall:
    def test_parse(self):
        """The arguments are read into a class, or as they are."""
        call = ToolCall(function=FunctionCall("find", '{"name": "Bern", "people": 1}'))

        assert call.name == "find"
        assert call.parse(City) == City("Bern", 1)
        assert call.parse(dict) == {"name": "Bern", "people": 1}

    @pytest.mark.parametrize("arguments", [None, ""])
    def test_no_arguments(self, arguments):
        """A function without parameters is called with an empty object."""
        assert ToolCall(function=FunctionCall("now", arguments)).parse(dict) == {}
        assert ToolCall().name == ""

    @pytest.mark.parametrize(
        ("name", "arguments", "message", "fields"),
        [
            ("find", '{"name": "Be', "^the arguments of find do not parse: the text is not JSON: ", ()),
            (
                None,
                '{"name": "a"}',
                "^the arguments of a tool call do not parse: ",
                ("people: the field 'people' is missing",),
            ),
        ],
    )
    def test_parse_error(self, name, arguments, message, fields):
        """Arguments that do not fit raise, with the function's name, the path of each field and the text."""
        with pytest.raises(ParseError, match=message) as caught:
            ToolCall(function=FunctionCall(name, arguments)).parse(City)

        assert (caught.value.fields, caught.value.text) == (fields, arguments)


class TestPydantic:
    def test_parse(self):
        """A pydantic model reads itself, also as a part of something else."""
        pydantic = pytest.importorskip("pydantic")

        class Town(pydantic.BaseModel):
            model_config = pydantic.ConfigDict(strict=True)
            name: str
            founded: date

        text = '{"name": "Bern", "founded": "1191-01-01"}'
        bern = Town(name="Bern", founded=date(1191, 1, 1))

        assert completion_of(text).parse(Town) == bern
        assert completion_of(f"[{text}]").parse(list[Town]) == [bern]
        assert Artifact(text).parse(Town) == bern
        assert ToolCall(function=FunctionCall("f", text)).parse(Town) == bern

    def test_parse_error(self):
        """Each problem is named with its path, and without what the model said."""
        pydantic = pytest.importorskip("pydantic")

        class Town(pydantic.BaseModel):
            streets: list[int]

            @pydantic.model_validator(mode="after")
            def check(self):
                if not self.streets:
                    raise ValueError("no street")
                return self

        with pytest.raises(ParseError, match=r"^the text is not a Town: streets") as caught:
            completion_of('{"streets": [1, "secret"]}').parse(Town)
        assert caught.value.fields == (
            "streets[1]: Input should be a valid integer, unable to parse string as an integer",
        )
        assert "secret" not in str(caught.value)

        with pytest.raises(ParseError) as caught:
            completion_of('{"streets": []}').parse(Town)
        assert caught.value.fields == ("the value: Value error, no street",)

        with pytest.raises(ParseError) as caught:
            completion_of("[{}]").parse(list[Town])
        assert caught.value.fields == ("[0]: streets: Field required",)

    def test_a_model_that_raises_something_else(self):
        """Whatever else a class raises is a problem of the text, too."""

        class Odd:
            model_json_schema = None

            @classmethod
            def model_validate_json(cls, text):
                raise ValueError("odd")

        with pytest.raises(ParseError, match="the text is not a Odd: odd"):
            completion_of("{}").parse(Odd)


class TestRelayReport:
    def test_texts(self):
        """The report joins what was delivered, and what was not."""
        report = RelayReport(
            Completion(),
            (Delivery(Batch("a")), Delivery(Batch("b"))),
            (Undelivered(Batch("c"), ConnectFailed("x")), Undelivered(Batch("d"), ConnectFailed("y"))),
        )

        assert (report.delivered_text, report.undelivered_text) == ("ab", "cd")

    def test_raise_for_undelivered(self):
        """The first error is raised with the report on it; without any, nothing is."""
        RelayReport(Completion()).raise_for_undelivered()
        report = RelayReport(
            Completion(), (), (Undelivered(Batch("c"), ConnectFailed("x")), Undelivered(Batch("d"), ConnectFailed("y")))
        )

        with pytest.raises(ConnectFailed, match="x") as caught:
            report.raise_for_undelivered()
        assert report is caught.value.report

    def test_to_dict(self):
        """It can be written as JSON, and holds no text unless asked for."""
        completion = attrs.evolve(completion_of("säcret"), usage=Usage(completion_tokens=2))
        report = RelayReport(
            completion,
            (Delivery(Batch("sä", seq=1), PushReceipt("id"), attempts=2, resent=1),),
            (Undelivered(Batch("cret", seq=2, offset=3, state="error"), ConnectFailed("secret"), ambiguous=True),),
            state="error",
            error=ConnectFailed("secret"),
            resent=1,
            held_seconds=0.5,
            stream_id="01JD",
        )
        numbers = {"epoch": 1, "deltas": 1, "first_at": 0.0, "last_at": 0.0}

        told = report.to_dict()

        assert told == {
            "stream_id": "01JD",
            "state": "error",
            "error": "ConnectFailed",
            "finish_reason": completion.finish_reason,
            "completion_tokens": 2,
            "bytes": 7,
            "delivered_bytes": 3,
            "undelivered_bytes": 4,
            "resent": 1,
            "held_seconds": 0.5,
            "paced_seconds": 0.0,
            "pushes": [
                {**numbers, "seq": 1, "offset": 0, "bytes": 3, "state": "streaming", "attempts": 2, "resent": 1}
            ],
            "undelivered": [
                {
                    **numbers,
                    "seq": 2,
                    "offset": 3,
                    "bytes": 4,
                    "state": "error",
                    "error": "ConnectFailed",
                    "ambiguous": True,
                }
            ],
        }
        assert json.loads(json.dumps(told)) == told
        assert "cret" not in json.dumps(told)

    def test_to_dict_with_text(self):
        """With `text` it holds the text as a whole and that of each batch."""
        report = RelayReport(
            completion_of("abc"), (Delivery(Batch("ab")),), (Undelivered(Batch("c"), ConnectFailed("x")),)
        )

        told = report.to_dict(text=True)

        assert (told["text"], told["pushes"][0]["text"], told["undelivered"][0]["text"]) == ("abc", "ab", "c")
        assert (told["completion_tokens"], told["error"]) == (None, None)

    def test_final(self):
        """A batch is the last one when the stream is over, however it ended."""
        assert [Batch("", state=state).final for state in ("streaming", "complete", "error", "cancelled")] == [
            False,
            True,
            True,
            True,
        ]
