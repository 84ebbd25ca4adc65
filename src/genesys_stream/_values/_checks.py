"""Checks of arguments, which name the argument and what it must be, before anything is sent."""

from __future__ import annotations

from typing import Any

from .. import _errors, _wire

LONGEST = 1e9
"""The longest time that every clock and every socket accepts, in seconds: thirty years."""

_SHORT = 40


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
        raise _errors.InvalidArgument(argument, f"must be {wanted}, not {_wire.type_name(value)}")


def check_hook(argument: str, value: object) -> None:
    """Check that a value is callable, or None."""
    if value is not None and not callable(value):
        raise _errors.InvalidArgument(argument, f"must be a callable, not {_wire.type_name(value)}")


def check_readable(argument: str, cls: object) -> None:
    """Check that a value is a class that JSON can be read into, or a form of typing such as `list[Item]`."""
    if not _wire.is_readable(cls):
        given = cls.__name__ if isinstance(cls, type) else shown(cls)
        raise _errors.InvalidArgument(argument, f"must be a class that JSON can be read into, not {given}")
