"""The coalescers that `--coalescer` knows, each with the options of the command line that it takes."""

from __future__ import annotations

from collections.abc import Callable

import click

from .. import (
    Coalescer,
    FinalOnly,
    Idle,
    Line,
    MarkdownBlock,
    Paragraph,
    PassThrough,
    Sentence,
    TimeSize,
    Word,
)

COALESCERS: dict[str, tuple[Callable[..., Coalescer], frozenset[str]]] = {
    "final-only": (FinalOnly, frozenset()),
    "idle": (Idle, frozenset()),
    "line": (Line, frozenset({"max_bytes"})),
    "markdown-block": (MarkdownBlock, frozenset({"max_bytes"})),
    "paragraph": (Paragraph, frozenset({"max_bytes"})),
    "pass-through": (PassThrough, frozenset()),
    "sentence": (Sentence, frozenset({"max_bytes"})),
    "time-size": (TimeSize, frozenset({"window", "max_bytes"})),
    "word": (Word, frozenset({"max_bytes"})),
}


def make_coalescer(name: str | None, **options: float | None) -> Coalescer | None:
    """Make the coalescer that the command line asks for.

    Args:
        name: Its name; None for time-size where there are options, else for the library's default.
        **options: Its options; None for those that were not given.

    Returns:
        The coalescer, or None for the library's default.

    Raises:
        UsageError: The coalescer has no such option.
        InvalidArgument: The value of an option is invalid.
    """
    given = {option: value for option, value in options.items() if value is not None}
    if name is None and not given:
        return None
    name = name or "time-size"
    make, accepted = COALESCERS[name]
    for option in given:
        if option not in accepted:
            flag = "--" + option.replace("_", "-")
            raise click.UsageError(f"the coalescer {name} has no option {flag}")
    return make(**given)
