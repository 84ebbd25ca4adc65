"""The coalescers by name: every strategy that the package exports and that can be made with no arguments."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

import click

import genesys_stream

from .._core.relaying.coalescers import Coalescer
from .._values import Batch

_MEMBERS = ("due", "feed", "tick", "close")


def strategies() -> dict[str, type[Any]]:
    """The strategies that there are, under the names that the command line knows them by."""
    exported = ((name, getattr(genesys_stream, name)) for name in genesys_stream.__all__)
    return {_kebab(name): value for name, value in exported if _is_strategy(value)}


def _is_strategy(value: object) -> bool:
    if not isinstance(value, type) or getattr(value, "_is_protocol", False):
        return False
    if not all(hasattr(value, member) for member in _MEMBERS):
        return False
    parameters = inspect.signature(value).parameters.values()
    return all(parameter.default is not parameter.empty for parameter in parameters)


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


def make_coalescer(name: str, **arguments: float | None) -> Coalescer:
    """Make a coalescer.

    Args:
        name: Its name on the command line.
        **arguments: What the command line says of it; None where it says nothing.

    Raises:
        UsageError: The strategy has no such argument.
        InvalidArgument: The argument will not do.
    """
    strategy = strategies()[name]
    known = inspect.signature(strategy).parameters
    given = {argument: value for argument, value in arguments.items() if value is not None}
    for argument in given:
        if argument not in known:
            option = "--" + argument.replace("_", "-")
            raise click.UsageError(f"{option} means nothing to the coalescer {name}")
    made: Coalescer = strategy(**given)
    return made


class Overheard:
    """A coalescer that tells somebody of all text that it is fed: exactly what the relay keeps account of.

    Args:
        coalescer: Does the work.
        heard: Told of the text.
    """

    feedback: Callable[[object, float], None]

    def __init__(self, coalescer: Coalescer, heard: Callable[[str], None]) -> None:
        self._coalescer = coalescer
        self._heard = heard
        feedback = getattr(coalescer, "feedback", None)
        if feedback is not None:
            self.feedback = feedback

    @property
    def due(self) -> float | None:
        """When to call `tick`."""
        return self._coalescer.due

    def feed(self, text: str, now: float) -> Sequence[Batch]:
        """Take text."""
        self._heard(text)
        return self._coalescer.feed(text, now)

    def tick(self, now: float) -> Sequence[Batch]:
        """Take the time."""
        return self._coalescer.tick(now)

    def close(self, now: float) -> Sequence[Batch]:
        """Take the end."""
        return self._coalescer.close(now)
