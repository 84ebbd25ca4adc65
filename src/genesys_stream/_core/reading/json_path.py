"""Paths in a JSON document: keys and indices from its root."""

from __future__ import annotations

import json
import re

from ..._errors import InvalidArgument
from ..._values._checks import shown
from ..._wire import type_name

_SEGMENT = re.compile(r"""\.?([^.\[\]"']+)|\[([0-9]{1,9})\]|\[("(?:[^"\\]|\\.)*")\]""")


def parse_path(path: object) -> tuple[str | int, ...]:
    """Parse a path such as `result.items`, `$.choices[0].rows` or `$["a.key"]`.

    Args:
        path: "" and "$" are the document itself.

    Returns:
        Keys and indices.

    Raises:
        InvalidArgument: It is not such a path.
    """
    if not isinstance(path, str):
        raise InvalidArgument("path", f"must be a string, got {type_name(path)}")
    at = 1 if path[:1] == "$" and path[1:2] in {"", ".", "["} else 0
    segments: list[str | int] = []
    while at < len(path):
        match = _SEGMENT.match(path, at)
        key = match and (match[1] or (match[3] and decoded(match[3])))
        # A dot stands between keys, and not before the first one, unless "$" is there.
        if match is None or (key is None and not match[2]) or (match[1] and (path[at] == ".") != (at > 0)):
            hint = 'such as items, result.items, choices[0].rows or $["a.key"]'
            raise InvalidArgument("path", f"must be keys and indices, {hint}; got {shown(path)}")
        segments.append(int(match[2]) if key is None else key)
        at = match.end()
    return tuple(segments)


def decoded(string: str) -> str | None:
    """Return the value of a JSON string with its quotes; None if it is invalid."""
    if "\\" not in string:
        return string[1:-1]
    try:
        return str(json.loads(string, strict=False))
    except ValueError:
        return None


def spelled(path: tuple[str | int, ...]) -> str:
    """Format a path as `parse_path` reads it, beginning with "$"."""
    plain = re.compile(r"[^\W\d]\w*")
    return "$" + "".join(
        f".{segment}" if isinstance(segment, str) and plain.fullmatch(segment) else f"[{json.dumps(segment)}]"
        for segment in path
    )
