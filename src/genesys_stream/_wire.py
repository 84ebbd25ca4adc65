"""JSON to values and back: the one cattrs converter, and the rules by which it reads.

An attrs class with a field marked as `EXTRA` is one of the service's: unknown keys are kept there, null stands for the
field's default, and enum values stay as they came.
Any other attrs class or dataclass is the caller's own and is read strictly; a pydantic model reads itself.
A field may name its own reader in its metadata, under `READ`.
A value of another type is refused; that of a `LENIENT` field is kept in `extra` instead.
A `RECEIVE_ONLY` field is not written.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import attrs
from cattrs import Converter, transform_error
from cattrs.cols import list_structure_factory
from cattrs.errors import BaseValidationError
from cattrs.gen import make_dict_structure_fn, override
from cattrs.strategies import configure_union_passthrough

T = TypeVar("T")

READ = "genesys_stream.read"
EXTRA = "genesys_stream.extra"
LENIENT = "genesys_stream.lenient"
RECEIVE_ONLY = "genesys_stream.receive_only"

_NULL = type(None)
_TYPING = frozenset({"typing", "typing_extensions"})


class StructureError(ValueError):
    """A JSON value does not have the structure that its class asks for.

    Attributes:
        problems: One line per problem, each beginning with the path of its field.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def _is_service_class(cls: Any) -> bool:
    return attrs.has(cls) and any(EXTRA in field.metadata for field in attrs.fields(cls))


def _service_class_reader(cls: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    fields = attrs.fields(attrs.resolve_types(cls))
    known = frozenset(field.name for field in fields if field.init) - {"extra"}  # a key of that name is unknown, too
    readers: dict[str, Any] = {
        field.name: override(struct_hook=_reader(field.metadata[READ])) for field in fields if READ in field.metadata
    }
    lenient = {field.name: field.type for field in fields if LENIENT in field.metadata}
    structure = make_dict_structure_fn(cls, converter, **readers)

    def fits(value: Any, type_: Any) -> bool:
        try:
            converter.structure(value, type_)
        except (BaseValidationError, TypeError):
            return False
        return True

    def read(value: Any, _: Any) -> Any:
        _expect(Mapping, "an object", value)
        present = {key: item for key, item in value.items() if item is not None and key in known}
        odd = {key for key, type_ in lenient.items() if key in present and not fits(present[key], type_)}
        present = {key: item for key, item in present.items() if key not in odd}
        present["extra"] = {key: item for key, item in value.items() if key not in known or key in odd}
        return structure(present, cls)

    return read


def _reader(read: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda value, _: read(value)


def _is_plain_class(cls: Any) -> bool:
    return attrs.has(cls) or dataclasses.is_dataclass(cls)


def _plain_reader(cls: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    structure = make_dict_structure_fn(cls, converter)

    def read(value: Any, _: Any) -> Any:
        return structure(_expect(Mapping, "an object", value), cls)

    return read


def _is_sequence(cls: Any) -> bool:
    return get_origin(cls) in {list, tuple, set, frozenset, Sequence} and len(get_args(cls)) == 1 + (
        get_args(cls)[1:] == (...,)
    )


def _sequence_reader(cls: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    items: Any = list[get_args(cls)[0]]  # type: ignore[misc]  # a type made at run time
    structure = list_structure_factory(items, converter)
    make = {tuple: tuple, set: set, frozenset: frozenset}.get(get_origin(cls), list)

    def read(value: Any, _: Any) -> Any:
        return make(structure(_expect(list, "a list", value), cls))

    return read


def _expect(cls: type, name: str, value: Any) -> Any:
    if not isinstance(value, cls):
        msg = f"expected {name}, got {json_type(value)}"
        raise TypeError(msg)
    return value


def _exactly(*kinds: type) -> Callable[[Any, Any], Any]:
    names = " or ".join("null" if type_ is _NULL else type_.__name__ for type_ in kinds)
    takes_bool = bool in kinds

    def read(value: Any, _: Any) -> Any:
        if not isinstance(value, kinds) or (isinstance(value, bool) and not takes_bool):
            msg = f"expected {names}, got {json_type(value)}"
            raise TypeError(msg)
        return value

    return read


def _is_union_of_plain_values(cls: Any) -> bool:
    kinds = set(get_args(cls)) - {_NULL}
    return get_origin(cls) in {Union, UnionType} and len(kinds) > 1 and kinds <= {str, int, float, bool}


def _union_reader(cls: Any) -> Callable[[Any, Any], Any]:
    kinds = get_args(cls)
    return _exactly(*kinds) if float not in kinds or int in kinds else _exactly(*kinds, int)


def _moment(cls: Any) -> Callable[[Any, Any], Any]:
    def read(value: Any, _: Any) -> Any:
        text: str = _exactly(str)(value, _)
        try:
            return cls.fromisoformat(re.sub("[zZ]$", "+00:00", text))  # Python 3.10 does not know the letter
        except ValueError:
            msg = f"expected a {cls.__name__} as in ISO 8601"
            raise ValueError(msg) from None

    return read


def _is_pydantic_model(cls: Any) -> bool:
    # By its methods, so that pydantic is not imported, nor needed.
    return isinstance(cls, type) and hasattr(cls, "model_validate_json") and hasattr(cls, "model_json_schema")


def _pydantic_reader(cls: Any) -> Callable[[Any, Any], Any]:
    def read(value: Any, _: Any) -> Any:
        try:
            # As JSON: a strict model takes a date from a string in JSON, but not from one in Python.
            return cls.model_validate_json(json.dumps(value))
        except ValueError as error:
            errors: Any = getattr(error, "errors", None)
            if errors is None:
                raise
            # Not the error's own text, which quotes what the model said.
            problems = [(_path(problem["loc"]), problem["msg"]) for problem in errors(include_input=False)]
            raise StructureError([f"{path or 'the value'}: {message}" for path, message in problems]) from None

    return read


def _path(location: Sequence[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


class _Unreadable:
    """Refuses a class when a value is read into it, where the field's path is known."""

    def __init__(self, cls: Any) -> None:
        self._name = getattr(cls, "__name__", cls)

    def __call__(self, _: Any, __: Any) -> Any:
        msg = f"{self._name} is not a class that cattrs can read from JSON"
        raise TypeError(msg)


def _build() -> Converter:
    converter = Converter(forbid_extra_keys=False, structure_fallback_factory=_Unreadable)
    configure_union_passthrough(str | bool | int | float | None, converter)
    converter.register_structure_hook(str, _exactly(str))
    converter.register_structure_hook(int, _exactly(int))
    converter.register_structure_hook(float, _exactly(int, float))
    converter.register_structure_hook(bool, _exactly(bool))
    converter.register_structure_hook(date, _moment(date))
    converter.register_structure_hook(datetime, _moment(datetime))
    converter.register_structure_hook_factory(_is_union_of_plain_values, _union_reader)
    converter.register_structure_hook_factory(_is_sequence, _sequence_reader)
    converter.register_structure_hook_factory(_is_plain_class, _plain_reader)
    converter.register_structure_hook_factory(_is_pydantic_model, _pydantic_reader)
    converter.register_structure_hook_factory(_is_service_class, _service_class_reader)
    return converter


_converter = _build()


def is_readable(cls: object) -> bool:
    """Whether `structure` can read JSON into `cls`: a class, or a form of typing such as `list[Item]`."""
    if not isinstance(cls, type) and get_origin(cls) is None and type(cls).__module__ not in _TYPING:
        return False
    try:
        hook = _converter.get_structure_hook(cls)
    except Exception:  # noqa: BLE001 - cattrs', or of the caller's class; reading says what is wrong with it
        return True
    return not isinstance(hook, _Unreadable)


def structure(value: Any, cls: type[T]) -> T:
    """Read parsed JSON into `cls`.

    Raises:
        StructureError: With one line per problem, each naming the field's path.
    """
    try:
        return _converter.structure(value, cls)
    except StructureError:
        raise
    except BaseValidationError as error:
        raise StructureError([_as_path(line) for line in transform_error(error, format_exception=_reason)]) from None
    except Exception as error:  # noqa: BLE001 - cattrs', or of the caller's class; inside an object it is the above
        raise StructureError([_reason(error, None)]) from None


def _as_path(line: str) -> str:
    reason, _, path = line.rpartition(" @ $")
    return f"{path.lstrip('.') or 'the value'}: {reason}"


def _reason(error: BaseException, _: type | None) -> str:
    if isinstance(error, KeyError):
        return f"the field {error.args[0]!r} is missing"
    if isinstance(error, AttributeError):
        return "expected an object"  # cattrs asks a mapping for its items, and does not ask first whether it is one
    return str(error) or type(error).__name__


def unstructure(value: Any) -> Any:
    """Turn attrs values, wherever they are inside `value`, into what `json.dumps` takes; a None is left out."""
    if attrs.has(type(value)):
        fields = attrs.fields(type(value))
        sent = [f.name for f in fields if f.name != "extra" and RECEIVE_ONLY not in f.metadata]
        out = {name: unstructure(getattr(value, name)) for name in sent}
        out = {name: item for name, item in out.items() if item is not None}
        return {**out, **getattr(value, "extra", {})}
    if isinstance(value, Mapping):
        return {key: unstructure(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [unstructure(item) for item in value]
    return value


def dumps(value: Any) -> bytes:
    """Encode as compact JSON in UTF-8, surrogate pairs joined and lone ones replaced; NaN is refused."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return join_surrogates(text).encode()


def join_surrogates(text: str) -> str:
    """Join the halves of surrogate pairs, and replace lone halves by U+FFFD; other text is unchanged."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


_JSON_TYPES: dict[type, str] = {_NULL: "null", dict: "an object", list: "a list"}


def json_type(value: object) -> str:
    """Name the type of a value that was read from JSON, for an error message that must not show the value."""
    return _JSON_TYPES.get(type(value), type(value).__name__)


def type_name(value: object) -> str:
    """Name the type of a Python value, for an error message that must not show the value."""
    return "None" if value is None else type(value).__name__
