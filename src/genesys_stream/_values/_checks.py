"""Checks of arguments, which name the argument and what it must be, before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import wraps
from inspect import iscoroutinefunction, signature
from typing import Any, TypeVar, cast

from .. import _errors, _wire

LONGEST = 1e9
"""The longest time that every clock and every socket accepts, in seconds: thirty years."""

_SHORT = 40

F = TypeVar("F", bound=Callable[..., Any])

# How an option of other libraries is written here, by the name of ours.
_FOREIGN = {
    "timeout": ("timeouts", "write timeouts=Timeouts(total=...)"),
    "max_retries": ("retry", "write retry=Retry(attempts=...)"),
    "retries": ("retry", "write retry=Retry(attempts=...)"),
    "api_key": ("access_token", "write access_token=..."),
    "proxy": ("http_client", "write http_client=..., with an HTTP client that has it"),
    "verify": ("http_client", "write http_client=..., with an HTTP client that has it"),
    "stream": ("messages", "client.completions.stream() makes a stream, and create() a whole completion"),
    "token": ("profile", "write the device tokens first, without a name"),
    "targets": ("profile", "write the device tokens first, without a name"),
}

# Which field is meant by a number in place of a value of the class, and which numbers.
_OF_A_NUMBER: dict[str, tuple[str, tuple[type, ...]]] = {
    "Timeouts": ("total", (int, float)),
    "Retry": ("attempts", (int,)),
}


def shown(value: object) -> str:
    """Return a number or a short string as it is, and the type's name of anything else."""
    if isinstance(value, str) and len(value) <= _SHORT:
        return repr(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return _wire.type_name(value)
    return str(value) if isinstance(value, float) or value.bit_length() < 128 else "a number of many digits"


def check_seconds(argument: str, value: object, *, endless: bool = False) -> None:
    """Check that a value is a number of seconds; only an `endless` one may be beyond all clocks."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _errors.InvalidArgument(argument, f"must be a number of seconds, not {_wire.type_name(value)}")
    if not value >= 0:
        raise _errors.InvalidArgument(argument, f"must be a number of seconds from 0, not {shown(value)}")
    if value > LONGEST and not endless:
        raise _errors.InvalidArgument(argument, f"must be at most {LONGEST:.0f} seconds, not {shown(value)}")


def check_whole(argument: str, value: object, *, least: int = 1) -> None:
    """Check that a value is a whole number from `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise _errors.InvalidArgument(argument, f"must be a whole number from {least}, not {shown(value)}")


def check_kind(argument: str, value: object, cls: type[Any], *, optional: bool = False) -> None:
    """Check that a value is an instance of a class, or None where it is `optional`."""
    if not isinstance(value, cls) and not (optional and value is None):
        wanted = f"{cls.__name__} or None" if optional else cls.__name__
        name, numbers = _OF_A_NUMBER.get(cls.__name__, ("", ()))
        is_number = isinstance(value, numbers) and not isinstance(value, bool)
        hint = f"; write {cls.__name__}({name}={shown(value)})" if is_number else ""
        raise _errors.InvalidArgument(argument, f"must be {wanted}, not {_wire.type_name(value)}{hint}")


def hint_at(name: str, known: Collection[str]) -> str:
    """Return how an unknown option is written here, or the known one that is spelt most like it; "" for neither."""
    ours, hint = _FOREIGN.get(name, ("", ""))
    if ours in known:
        return hint
    import difflib  # which takes time to load, and only errors need it

    close = difflib.get_close_matches(name, sorted(known), 1)
    return f"did you mean {close[0]}?" if close else ""


def with_checked_names(function: F) -> F:
    """Let a function refuse an argument whose name it does not know with InvalidArgument, and a hint."""
    known = [name for name in signature(function).parameters if name != "self"]

    @wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        for name in kwargs:
            if name not in known:
                hint = hint_at(name, known)
                raise _errors.InvalidArgument(name, f"is not an argument{hint and f'; {hint}'}")
        return function(*args, **kwargs)

    return cast(F, checked)


def check_hook(argument: str, value: object, *, awaited: bool = False) -> None:
    """Check that a value is callable, or None; and no async function, which would do nothing, unless it is awaited."""
    if value is not None and not callable(value):
        raise _errors.InvalidArgument(argument, f"must be a callable, not {_wire.type_name(value)}")
    if not awaited and iscoroutinefunction(value):
        raise _errors.InvalidArgument(argument, "must not be an async function, because it is not awaited")


def check_readable(argument: str, cls: object) -> None:
    """Check that a value is a class that JSON can be read into, or a form of typing such as `list[Item]`."""
    if not _wire.is_readable(cls):
        given = cls.__name__ if isinstance(cls, type) else shown(cls)
        raise _errors.InvalidArgument(argument, f"must be a class that JSON can be read into, not {given}")


def check_word(argument: str, value: object) -> str:
    """Check a value that is sent in a header.

    Raises:
        InvalidArgument: It is not a string of printable ASCII without spaces.
    """
    check_kind(argument, value, str)
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value):
        raise _errors.InvalidArgument(argument, "must be printable ASCII without spaces, and not empty")
    return value
