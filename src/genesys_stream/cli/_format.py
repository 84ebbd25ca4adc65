"""Formats text for a terminal: control characters from a model or a service are never printed."""

from __future__ import annotations

import json
import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_LONGEST_LINE = 400


def visible(text: str) -> str:
    """Return the text with U+FFFD for every control character but line ends and tabs."""
    return _CONTROL.sub("\ufffd", text.replace("\r\n", "\n"))


def quoted(text: str) -> str:
    """Return the text on one line, in quotes, with escapes for what cannot be printed."""
    return "".join(
        char if char.isprintable() else json.dumps(char)[1:-1] for char in json.dumps(text, ensure_ascii=False)
    )


def one_line(text: str) -> str:
    """Return the text on one line, cut to 400 characters."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"


def duration(seconds: float) -> str:
    """Return seconds as "12 ms" or "1.2 s"."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def count(number: int, noun: str) -> str:
    """Return a number and its noun, such as "1 byte" or "2 pushes"."""
    plural = f"{noun}es" if noun.endswith("h") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
