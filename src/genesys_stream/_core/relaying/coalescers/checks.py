"""The validators of the strategies' arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...._errors import InvalidArgument
from ...._values._checks import check_seconds, shown
from ...._wire import type_name
from .protocol import Coalescer


def seconds(_: object, attribute: Any, value: Any) -> None:
    """Refuse what is not a finite number of seconds, 0 or more."""
    check_seconds(attribute.name, value)


def at_least(minimum: int) -> Callable[[object, Any, Any], None]:
    """Refuse what is not a whole number of at least `minimum`."""

    def check(_: object, attribute: Any, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidArgument(attribute.name, f"must be a whole number, got {type_name(value)}")
        if value < minimum:
            raise InvalidArgument(attribute.name, f"must be at least {minimum}, got {shown(value)}")

    return check


def check_coalescer(argument: str, value: object) -> None:
    """Refuse what is no coalescer, such as a strategy's class in the place of an instance."""
    if isinstance(value, type) or not isinstance(value, Coalescer):
        problem = f"must be a coalescer, with the methods cut and due; got {type_name(value)}"
        raise InvalidArgument(argument, problem)


def coalescer(_: object, attribute: Any, value: Any) -> None:
    """Refuse what is no coalescer."""
    check_coalescer(attribute.name, value)


# A batch must be able to hold any single character.
whole_characters = at_least(4)


def optional(check: Callable[[object, Any, Any], None]) -> Callable[[object, Any, Any], None]:
    """Let None pass, and refuse what `check` refuses."""

    def either(instance: object, attribute: Any, value: Any) -> None:
        if value is not None:
            check(instance, attribute, value)

    return either
