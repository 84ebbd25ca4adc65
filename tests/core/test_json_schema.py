"""Classes to JSON schemas: what a service is asked for is what the class reads."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from enum import Enum
from typing import Any, Literal

import attrs
import pytest

from genesys_stream._core.reading.json_schema import response_format
from genesys_stream._errors import InvalidArgument


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@attrs.frozen
class Size:
    width: float
    height: float = 1.0


@dataclasses.dataclass
class Item:
    name: str
    size: Size
    other_size: Size | None = None
    tags: list[str] = dataclasses.field(default_factory=list)
    hidden: int = dataclasses.field(default=0, init=False)


@attrs.frozen
class Everything:
    text: str
    number: int
    flag: bool
    anything: Any
    day: date
    moment: datetime
    colour: Colour
    state: Literal["on", 1]
    either: int | str | None
    row: tuple[int, ...]
    sequence: Sequence[int]
    bag: set[str]
    prices: dict[str, float]
    mapping: Mapping[str, Item]
    plain: dict
    many: list


@attrs.frozen
class Tree:
    name: str
    children: list[Tree]


def schema_of(cls):
    sent = response_format(cls)
    assert json.loads(json.dumps(sent)) == sent
    assert (sent["type"], sent["json_schema"]["name"]) == ("json_schema", cls.__name__)
    return sent["json_schema"]["schema"]


def test_nested():
    """The root is an object; the classes inside are defined once; a field with a default is not required."""
    assert schema_of(Item) == {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "size": {"$ref": "#/$defs/Size"},
            "other_size": {"anyOf": [{"$ref": "#/$defs/Size"}, {"type": "null"}]},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["name", "size"],
        "additionalProperties": False,
        "$defs": {
            "Size": {
                "type": "object",
                "properties": {"width": {"type": "number"}, "height": {"type": "number"}},
                "required": ["width"],
                "additionalProperties": False,
            }
        },
    }


def test_flat():
    """A class without others has no definitions."""
    assert "$defs" not in schema_of(Size)


def test_itself():
    """A class that holds itself is defined, and is the root as well."""
    schema = schema_of(Tree)
    definitions = schema.pop("$defs")

    assert schema["properties"]["children"] == {"type": "array", "items": {"$ref": "#/$defs/Tree"}}
    assert definitions == {"Tree": schema}


def test_every_type():
    """Each type that a class of ours may have."""
    properties = schema_of(Everything)["properties"]

    assert properties == {
        "text": {"type": "string"},
        "number": {"type": "integer"},
        "flag": {"type": "boolean"},
        "anything": {},
        "day": {"type": "string", "format": "date"},
        "moment": {"type": "string", "format": "date-time"},
        "colour": {"enum": ["red", "blue"]},
        "state": {"enum": ["on", 1]},
        "either": {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]},
        "row": {"type": "array", "items": {"type": "integer"}},
        "sequence": {"type": "array", "items": {"type": "integer"}},
        "bag": {"type": "array", "items": {"type": "string"}},
        "prices": {"type": "object", "additionalProperties": {"type": "number"}},
        "mapping": {"type": "object", "additionalProperties": {"$ref": "#/$defs/Item"}},
        "plain": {"type": "object"},
        "many": {"type": "array"},
    }


def test_pydantic():
    """A pydantic model says its own schema."""
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Model", name=(str, ...))

    assert schema_of(model) == model.model_json_schema()


def test_plain_class():
    """A class without fields is refused."""
    with pytest.raises(InvalidArgument, match=r"^response_format must be a mapping, an attrs class, .* not str$"):
        response_format(str)


def made(name, **annotations):
    """An attrs class with these fields."""
    return attrs.define(type(name, (), {"__annotations__": annotations}))


@pytest.mark.parametrize(
    ("type_", "problem"),
    [
        (bytes, "has no JSON schema for Odd.field, which is bytes; a mapping can say what is meant"),
        ("list[bytes]", r"has no JSON schema for Odd.field\[\], which is bytes"),
        ("dict[str, bytes]", r"has no JSON schema for Odd.field\{\}, which is bytes"),
        ("dict[int, str]", "has no JSON schema for Odd.field"),
        ("tuple[int, str]", "has no JSON schema for Odd.field"),
        ("Nowhere", "has annotations that cannot be resolved: name 'Nowhere' is not defined"),
    ],
)
def test_no_schema(type_, problem):
    """A field without a schema is named, and a mapping is offered."""
    odd = made("Odd", field=type_)

    with pytest.raises(InvalidArgument, match=f"^response_format {problem}"):
        response_format(odd)


def test_two_of_a_name():
    """Two classes of one name would be one definition."""
    inner = made("Size", other=int)
    outer = made("Outer", a=Size, b=inner)

    with pytest.raises(InvalidArgument, match=r"^response_format has two classes of the name Size$"):
        response_format(outer)
