"""The JSON schema of a class, to ask for JSON that can be parsed into it."""

from __future__ import annotations

import collections.abc
import dataclasses
import json
from datetime import date, datetime
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

import attrs

from ..._errors import InvalidArgument

_Definitions: TypeAlias = dict[type, dict[str, Any]]

_SIMPLE: dict[Any, dict[str, Any]] = {
    Any: {},
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    NoneType: {"type": "null"},
    date: {"type": "string", "format": "date"},
    datetime: {"type": "string", "format": "date-time"},
    dict: {"type": "object"},
    list: {"type": "array"},
}
_LISTS = frozenset({list, set, frozenset, collections.abc.Sequence})
_MAPPINGS = frozenset({dict, collections.abc.Mapping})


def response_format(cls: type) -> dict[str, Any]:
    """Return the `response_format` that asks for JSON of a class.

    The schema is not marked as strict, because each service restricts in its own way what a strict one may have.

    Args:
        cls: An attrs class, a dataclass or a pydantic model.

    Raises:
        InvalidArgument: The class, or the type of one of its fields, has no JSON schema here.
    """
    if hasattr(cls, "model_json_schema"):
        schema = cls.model_json_schema()
    elif attrs.has(cls) or dataclasses.is_dataclass(cls):
        definitions: _Definitions = {}
        reference = _schema(cls, cls.__name__, definitions)
        schema = definitions[cls]
        if json.dumps(reference) not in json.dumps(list(definitions.values())):
            del definitions[cls]  # services ask for an object at the root, and it is needed there alone
        if definitions:
            schema = {**schema, "$defs": {one.__name__: definition for one, definition in definitions.items()}}
    else:
        msg = f"must be a mapping, an attrs class, a dataclass or a pydantic model, not {cls.__name__}"
        raise InvalidArgument("response_format", msg)
    return {"type": "json_schema", "json_schema": {"name": cls.__name__, "schema": schema}}


def _schema(cls: Any, path: str, definitions: _Definitions) -> dict[str, Any]:
    """Return the schema of a type; those of classes are put into `definitions`, so that a class may hold itself."""
    if cls in _SIMPLE:
        return _SIMPLE[cls]
    origin, args = get_origin(cls), get_args(cls)
    if origin in {Union, UnionType}:
        return {"anyOf": [_schema(arg, path, definitions) for arg in args]}
    if origin is Literal:
        return {"enum": list(args)}
    if origin in _LISTS or (origin is tuple and args[1:] == (...,)):
        return {"type": "array", "items": _schema(args[0], f"{path}[]", definitions)}
    if origin in _MAPPINGS and args[0] is str:
        return {"type": "object", "additionalProperties": _schema(args[1], f"{path}{{}}", definitions)}
    if isinstance(cls, type) and issubclass(cls, Enum):
        return {"enum": [member.value for member in cls]}
    if isinstance(cls, type) and (attrs.has(cls) or dataclasses.is_dataclass(cls)):
        if cls not in definitions:
            if any(one.__name__ == cls.__name__ for one in definitions):
                raise InvalidArgument("response_format", f"has two classes of the name {cls.__name__}")
            definitions[cls] = {}  # for a field of the same class
            definitions[cls] = _of_fields(cls, path, definitions)
        return {"$ref": f"#/$defs/{cls.__name__}"}
    msg = f"has no JSON schema for {path}, which is {getattr(cls, '__name__', cls)}; a mapping can say what is meant"
    raise InvalidArgument("response_format", msg)


def _of_fields(cls: type, path: str, definitions: _Definitions) -> dict[str, Any]:
    try:
        types = get_type_hints(cls)
    except NameError as error:
        raise InvalidArgument("response_format", f"has annotations that cannot be resolved: {error}") from None
    if attrs.has(cls):
        needed = {field.name: field.default is attrs.NOTHING for field in attrs.fields(cls) if field.init}
    else:
        missing = dataclasses.MISSING
        needed = {
            field.name: field.default is missing and field.default_factory is missing
            for field in dataclasses.fields(cls)
            if field.init
        }
    return {
        "type": "object",
        "properties": {name: _schema(types[name], f"{path}.{name}", definitions) for name in needed},
        "required": [name for name, is_needed in needed.items() if is_needed],
        "additionalProperties": False,
    }
