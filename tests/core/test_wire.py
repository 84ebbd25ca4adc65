"""The converter: the service's classes read leniently, the caller's classes strictly, and every problem with its path."""

import json
from contextlib import suppress
from datetime import UTC, date, datetime

import attrs
import pytest
from hypothesis import given
from tests.strategies import json_values, texts

from genesys_stream._values import Batch, ChunkChoice, Completion, FunctionCall, Message, ToolCall, Usage
from genesys_stream._wire import (
    StructureError,
    dumps,
    is_readable,
    join_surrogates,
    json_type,
    structure,
    type_name,
    unstructure,
)


@attrs.frozen
class City:
    name: str
    people: int = 0


@attrs.frozen
class Trip:
    cities: list[City]
    price: float = 0.0
    booked: bool = False
    notes: dict[str, str] = attrs.Factory(dict)


class Odd:
    pass


@attrs.frozen
class Event:
    either: int | str | list[str]
    number: int | float = 0
    flag: str | bool | None = None
    ratio: float | None = None
    length: float | str = 0.0
    at: datetime | None = None
    on: date | None = None
    odd: Odd | None = None


class TestNouns:
    def test_unknown_keys_are_kept(self):
        """Keys that a class of the service does not know are kept in `extra`, also one that is called "extra"."""
        assert Usage(1, extra={"cached": 2, "extra": 3, "x": None}) == structure(
            {"prompt_tokens": 1, "cached": 2, "extra": 3, "x": None}, Usage
        )

    def test_null_is_the_default(self):
        """Null stands for the field's default."""
        assert ChunkChoice() == structure({"index": None, "delta": None, "logprobs": None}, ChunkChoice)

    def test_unknown_values_stay(self):
        """A finish reason that nobody has heard of stays as it came."""
        assert structure({"finish_reason": "tired"}, ChunkChoice).finish_reason == "tired"

    @pytest.mark.parametrize(
        ("value", "expected"), [("a", "a"), ([], ""), ([{"text": "a"}, "b", {"text": 1}, {}, 5], "ab"), (None, None)]
    )
    def test_content(self, value, expected):
        """Content is text or a list of parts."""
        assert expected == structure({"content": value}, Message).content

    @pytest.mark.parametrize("value", [5, True, {"text": "a"}])
    def test_content_that_is_neither(self, value):
        """Content that is neither text nor a list of parts is refused."""
        with pytest.raises(StructureError, match=r"^content: expected text or a list of parts"):
            structure({"content": value}, Message)

    def test_what_only_describes(self):
        """A lenient field is kept as it came if it is of another type; the others are read."""
        odd = {"id": 5, "created": 1.5, "usage": [1], "service_tier": {}}

        assert Completion(model="m", extra={**odd, "x": 1}) == structure(
            {**odd, "model": "m", "system_fingerprint": None, "x": 1}, Completion
        )
        assert Completion(usage=Usage(1, extra={"total_tokens": "2"})) == structure(
            {"usage": {"prompt_tokens": 1, "total_tokens": "2"}}, Completion
        )

    def test_every_problem_with_its_path(self):
        """Each problem begins with the path of its field, and none shows the value."""
        wrong = {
            "index": "secret",
            "delta": {"tool_calls": [{}, {"function": {"name": 5}}]},
            "finish_reason": ["secret"],
        }

        with pytest.raises(StructureError) as caught:
            structure(wrong, ChunkChoice)

        assert {
            "index: expected int, got str",
            "delta.tool_calls[1].function.name: expected str, got int",
            "finish_reason: expected str, got a list",
        } == set(caught.value.problems)
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize("value", [None, [], "x", 5])
    def test_not_an_object(self, value):
        """A class of the service is read from an object only."""
        with pytest.raises(StructureError, match="expected an object, got"):
            structure(value, Usage)

    @given(json_values)
    def test_any_json(self, value):
        """StructureError is the only way out."""
        for cls in (ChunkChoice, Message, Usage, ToolCall, tuple[ChunkChoice, ...], str, int):
            with suppress(StructureError):
                structure(value, cls)


class TestCallersClasses:
    def test_read(self):
        """JSON becomes the caller's own classes, lists and dicts of them included."""
        assert Trip([City("Bern", 5)], 3, True, {"a": "b"}) == structure(
            {"cities": [{"name": "Bern", "people": 5}], "price": 3, "booked": True, "notes": {"a": "b"}}, Trip
        )

    @pytest.mark.parametrize(
        ("value", "problem"),
        [
            ({}, "cities: the field 'cities' is missing"),
            ({"cities": [{}]}, "cities[0].name: the field 'name' is missing"),
            ({"cities": [{"name": None}]}, "cities[0].name: expected str, got null"),
            ({"cities": [{"name": "a", "people": "5"}]}, "cities[0].people: expected int, got str"),
            ({"cities": [{"name": "a", "people": 5.0}]}, "cities[0].people: expected int, got float"),
            ({"cities": [], "price": "3"}, "price: expected int or float, got str"),
            ({"cities": [], "booked": 1}, "booked: expected bool, got int"),
            ({"cities": [], "notes": {"a": 1}}, "notes['a']: expected str, got int"),
        ],
    )
    def test_strictly(self, value, problem):
        """Nothing is converted, guessed or left out in the caller's classes."""
        with pytest.raises(StructureError) as caught:
            structure(value, Trip)

        assert [problem] == caught.value.problems

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ({"either": 1, "number": 2}, (1, 2, None)),
            ({"either": "a", "number": 2.5}, ("a", 2.5, None)),
            ({"either": ["a"], "at": "2026-01-02T03:04:05Z"}, (["a"], 0, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))),
            ({"either": 1, "on": "2026-01-02"}, (1, 0, date(2026, 1, 2))),
        ],
    )
    def test_what_json_has_no_type_for(self, value, expected):
        """Unions of plain values, with or without something else, and ISO 8601 dates and times are read."""
        event = structure(value, Event)

        assert expected == (event.either, event.number, event.at or event.on)

    @pytest.mark.parametrize(
        ("value", "problem"),
        [
            ({"number": True}, "number: expected int or float, got bool"),
            ({"number": None}, "number: expected int or float, got null"),
            ({"flag": 5}, "flag: expected str or bool or null, got int"),
            ({"ratio": "a"}, "ratio: expected int or float, got str"),
            ({"at": 5}, "at: expected str, got int"),
            ({"at": "soon"}, "at: expected a datetime as in ISO 8601"),
            ({"odd": 5}, "odd: Odd is not a class that cattrs can read from JSON"),
        ],
    )
    def test_each_field_is_named(self, value, problem):
        """The field is named whatever its type is, even if it is one that nothing can be read into."""
        with pytest.raises(StructureError) as caught:
            structure({"either": 1, **value}, Event)

        assert [problem] == caught.value.problems

    def test_a_float_takes_a_whole_number(self):
        """A whole number is a float, also in a union."""
        assert structure({"either": 1, "ratio": 2, "length": 3}, Event).length == 3

    @pytest.mark.parametrize("cls", [Odd, dict[str, int], "City", 5])
    def test_whatever_the_class(self, cls):
        """StructureError is the only way out, also for a class that cannot be read and a value at the top."""
        with pytest.raises(StructureError):
            structure([1], cls)


class TestOut:
    def test_unstructure(self):
        """Values become objects, wherever they are: nulls and a call's index are left out, unknown keys return."""
        message = Message(content="a", tool_calls=(ToolCall(1, "id", function=FunctionCall("f"), extra={"x": 1}),))

        assert unstructure({"messages": [message], "n": None}) == {
            "messages": [
                {
                    "role": "assistant",
                    "content": "a",
                    "tool_calls": [{"id": "id", "function": {"name": "f"}, "x": 1}],
                }
            ],
            "n": None,
        }

    def test_there_and_back(self):
        """What was read from JSON can be sent again and is the same when it is read again."""
        usage = Usage(1, 2, 3, {"details": {"cached": 1}})

        assert usage == structure(json.loads(dumps(unstructure(usage))), Usage)

    def test_dumps(self):
        """JSON goes out compact, in UTF-8, with surrogate pairs joined and lone halves replaced."""
        assert '{"a":["é😀",1.5,null,"�"]}'.encode() == dumps({"a": ["é\ud83d\ude00", 1.5, None, "\ude00"]})

    def test_no_nan(self):
        """What JSON cannot say is not said."""
        with pytest.raises(ValueError, match="JSON"):
            dumps(float("nan"))


class TestJoinSurrogates:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", ""),
            ("é😀", "é😀"),
            ("\ud83d\ude00", "😀"),
            ("\ud83d", "\ufffd"),
            ("\ude00\ud83d", "\ufffd\ufffd"),
            ("\ud83d\ud83d\ude00\ude00", "\ufffd😀\ufffd"),
            ("a\ud83db😀", "a\ufffdb😀"),
        ],
    )
    def test_halves(self, text, expected):
        """Two halves become a character, a lone one U+FFFD."""
        assert expected == join_surrogates(text)

    @given(texts)
    def test_the_result_is_text(self, text):
        """The result can be encoded, and joining again changes nothing."""
        joined = join_surrogates(text)

        assert joined == joined.encode().decode()
        assert joined == join_surrogates(joined)


@pytest.mark.parametrize(
    ("value", "json", "python"),
    [
        (None, "null", "None"),
        ({}, "an object", "dict"),
        ([], "a list", "list"),
        ("secret", "str", "str"),
        (Batch("b"), "Batch", "Batch"),
    ],
)
def test_types(value, json, python):
    """A type is named as JSON or as Python calls it, without the value."""
    assert (json_type(value), type_name(value)) == (json, python)


def test_readable_though_its_annotations_are_not():
    """A class whose annotations cannot be resolved is a class; reading says what is wrong with it."""
    odd = attrs.make_class("Odd", {"field": attrs.field(type="Nowhere")})

    assert is_readable(odd)
    with pytest.raises(StructureError, match="Nowhere"):
        structure({"field": 1}, odd)


def test_a_whole_completion():
    """A completion as the service answers it is read in one go."""
    completion = structure(
        {"id": "1", "choices": [{"message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}]},
        Completion,
    )

    assert (completion.text, completion.finish_reason) == ("a", "stop")


@attrs.frozen
class _Basket:
    items: list[int]
    pair: tuple[int, ...] = ()
    by_name: dict[str, int] = attrs.Factory(dict)
    seen: set[str] = attrs.Factory(set)
    kept: frozenset[int] = frozenset()


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"items": "12"}, "items: expected a list, got str"),
        ({"items": {"1": 2}}, "items: expected a list, got an object"),
        ({"items": [], "pair": "12"}, "pair: expected a list, got str"),
        ({"items": [], "by_name": [1]}, "by_name: expected an object"),
        ({"items": [], "seen": "12"}, "seen: expected a list, got str"),
        ({"items": [], "kept": 5}, "kept: expected a list, got int"),
        ([1], "expected an object, got a list"),
        (5, "expected an object, got int"),
    ],
)
def test_a_value_of_another_shape_is_refused_by_name(value: object, problem: str) -> None:
    """Text is no list, a list is no object, and the error says where."""
    with pytest.raises(StructureError) as caught:
        structure(value, _Basket)

    assert str(caught.value) == problem


def test_lists_become_what_the_field_says() -> None:
    """A list of JSON becomes a list, a tuple or a set."""
    read = structure({"items": [1], "pair": [1, 2], "seen": ["a", "a"], "kept": [1]}, _Basket)

    assert read == _Basket([1], (1, 2), seen={"a"}, kept=frozenset({1}))
