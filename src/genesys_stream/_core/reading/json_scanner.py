r"""Complete JSON values, found in text that comes in pieces, as soon as they are complete.

The scanner knows only brackets, strings and their escapes. It reads every character once and never raises because of a
model's text; `Artifact.parse` finds out whether a value is valid JSON.
So an invalid value is found by its brackets, a bracket closes whichever is open, and a missing or doubled comma changes
nothing.

Outside of all values there may be text that is not JSON: prose, Markdown's fences, white space.
There the first `{` or `[` opens a value, in prose as well; quotes have no meaning.
Artifacts never overlap, and each has its offset in the stream's text, so that what was skipped can be derived.

Nesting is counted without recursion, so the scanner has no limit of depth; `json.loads` refuses some thousand levels,
which is a ParseError.
"""

from __future__ import annotations

import json
import re
from typing import Literal, NamedTuple, TypeAlias

from ..._errors import InvalidArgument
from ..._values import Artifact
from ..._values._checks import shown
from ..._wire import type_name
from ..text import prefix_length, utf8_size
from .json_path import decoded, parse_path, spelled
from .surrogates import SurrogateJoiner

Mode: TypeAlias = Literal["value", "element", "ndjson"]

MAX_BYTES = 2**20
"""The default for the largest artifact, in UTF-8 bytes."""

# What is left of a string: group 1 of each pattern is its closing quote, or a backslash at the end of the text, or
# nothing: then the string goes on, in this text or in the next one. (The engine's memory grows with repeated escapes,
# so there are at most 200 in one match.)
_REST = r'[^"\\]*(?:\\.[^"\\]*){0,200}("|\\?\Z|)'
_STRING = re.compile(_REST, re.DOTALL)
_NESTED = re.compile(rf'"{_REST}|([\[{{])|([\]}}])', re.DOTALL)
_TOKEN = re.compile(rf'"{_REST}|([\[{{])|([\]}}])|(,)|[^ \t\r\n\[\]{{}},:"]+', re.DOTALL)
_IS_STRING, _OPENS, _CLOSES, _COMMA = 1, 2, 3, 4
_BARE = re.compile(r'[^ \t\r\n\[\]{},:"]*')
_OPENER = re.compile(r"[\[{]")
_VISIBLE = re.compile(r"[^ \t\r\n]")
_SCALAR_STARTS = frozenset('"-0123456789tfn')
_JSON_LINE = re.compile(r'[\[{"]|(?:-?[0-9][0-9.eE+-]*|true|false|null)\Z')


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


class Found(NamedTuple):
    """An artifact, and where the scanner was when it was complete."""

    artifact: Artifact
    end: int
    """Characters from the beginning of the stream, behind the artifact and, in a line, its newline."""


class ArtifactScanner:
    """Finds JSON values in text that is cut anywhere, each as soon as it is complete.

    Modes:

    - "value": whole objects and arrays, however many. A text that is nothing but a string, a number or a literal is
      one, too, which is known at its end.
    - "element": each element of the array at `path`, of whatever kind; an element of a list in a list is the inner
      list. If there are several documents, or several arrays at `path`, the elements of all of them.
    - "ndjson": each line that begins with `{`, `[` or a quote, or that is a number or a literal. Other lines are
      skipped.

    Args:
        mode: What to find.
        path: Where the array is, for the mode "element": keys and indices from the document's root, such as "items",
            "result.items" or "choices[0].rows"; "$", the root itself, if it is not given.
        max_bytes: The largest artifact, in UTF-8 bytes; of a larger one that much is returned as incomplete, and the
            rest is skipped.

    Raises:
        InvalidArgument: An argument has the wrong type, or a path is given for another mode.
    """

    def __init__(self, mode: Mode, path: str = "$", *, max_bytes: int = MAX_BYTES) -> None:
        if mode not in ("value", "element", "ndjson"):
            raise InvalidArgument("mode", f"must be 'value', 'element' or 'ndjson', got {shown(mode)}")
        if isinstance(max_bytes, bool) or not isinstance(max_bytes, int) or max_bytes < 4:
            raise InvalidArgument("max_bytes", f"must be a whole number of at least 4, got {max_bytes!r}")
        self._path = parse_path(path)
        if self._path and mode != "element":
            raise InvalidArgument("path", f"is for the mode 'element', not {mode!r}")
        self._mode = mode
        self._max_bytes = max_bytes
        # The bracket that must open at each level of the path, the array itself included.
        self._brackets = ["[" if isinstance(segment, int) else "{" for segment in self._path] + ["["]
        self._place = spelled(self._path)
        self._reset()

    def _reset(self) -> None:
        self._joiner = SurrogateJoiner()
        self._found: list[Found] = []
        self._index = 0
        self._chars = 0  # before the current text
        self._bytes = 0
        self._measured = (0, 0)  # characters and bytes of the current text

        # Where the current text continues: the brackets open along the path; how many values each of these has had;
        # and, in an object, whether the next value is the one on the path, None when a key comes before it.
        self._open: list[str] = []
        self._counts: list[int] = []
        self._wanted: bool | None = None
        self._seen = False
        # Inside a value, taken or not: brackets open; in a string, and behind a backslash; in a number or literal.
        self._depth = 0
        self._quoted = self._escaped = self._bare = self._in_line = False

        # What is kept: of the artifact, of a key, or of a whole text that may be a scalar; None if nothing is.
        self._parts: list[str] | None = None
        self._kept = 0  # bytes
        self._from = 0  # in the current text
        self._start = self._offset = 0  # of it in the stream, in characters and in bytes
        self._is_key = self._is_lead = False
        self._blank = self._mode == "value"  # nothing but white space, so far

    @property
    def seen(self) -> bool:
        """Whether there was an array at the path."""
        return self._seen

    @property
    def inside(self) -> bool:
        """Whether the array at the path has begun and is not closed."""
        return len(self._open) > len(self._path)

    def feed(self, text: str) -> list[Artifact]:
        """Find the artifacts that the next text completes.

        Args:
            text: A delta, cut anywhere, even between the halves of a surrogate pair.

        Returns:
            These artifacts, in order.

        Raises:
            InvalidArgument: The text is not a string.
        """
        if not isinstance(text, str):
            raise InvalidArgument("text", f"must be a string, not {type_name(text)}")
        return [found.artifact for found in self.scan(text)]

    def close(self) -> list[Artifact]:
        """Mark the text as ended, and reset the scanner.

        Returns:
            The value that has begun and is not complete, if there is one; or a last line, or a scalar that is the whole
            text, which is complete if it is JSON.
        """
        return [found.artifact for found in self.end()]

    def scan(self, text: str) -> list[Found]:
        """Do what `feed` does, and return where in the text each artifact was complete."""
        text = self._joiner.feed(text)
        if not text:
            return []
        at, length = 0, len(text)
        self._from = 0
        self._measured = (0, 0)
        while at < length:
            if self._quoted:
                at = self._in_string(text, at)
            elif self._depth:
                at = self._in_nest(text, at)
            elif self._bare:
                at = self._in_bare(text, at)
            elif self._open:
                at = self._on_path(text, at)
            elif self._mode == "ndjson":
                at = self._in_lines(text, at)
            else:
                at = self._outside(text, at)
        if self._parts is not None:
            self._keep(text[self._from :])
        self._chars += length
        self._bytes += utf8_size(text)
        found, self._found = self._found, []
        return found

    def end(self) -> list[Found]:
        """Do what `close` does, and return where in the text each artifact ended."""
        found = self.scan(self._joiner.close())
        if self._parts is not None and not self._is_key:
            text = "".join(self._parts).rstrip(" \t\r\n") if self._is_lead or self._in_line else "".join(self._parts)
            whole = (self._is_lead or self._in_line) and _is_json(text)
            if whole or not self._is_lead:
                self._give(text, self._chars, whole=whole)
        found += self._found
        self._reset()
        return found

    # Each of the following takes one step from `at`, and returns where the next one begins.

    def _outside(self, text: str, at: int) -> int:
        match = _OPENER.search(text, at)
        if match is None:
            if self._blank and (visible := _VISIBLE.search(text, at)):
                self._blank = False
                self._is_lead = text[visible.start()] in _SCALAR_STARTS
                if self._is_lead:
                    self._begin(text, visible.start())
            return len(text)
        self._blank = self._is_lead = False
        self._parts = None
        bracket = match[0]
        if self._mode == "value":
            self._begin(text, match.start())
            self._depth = 1
        elif bracket == self._brackets[0]:
            self._enter(bracket)
        else:
            self._depth = 1
        return match.end()

    def _enter(self, bracket: str) -> None:
        self._open.append(bracket)
        self._counts.append(0)
        self._wanted = None
        self._seen = self._seen or self.inside

    def _on_path(self, text: str, at: int) -> int:
        match = _TOKEN.search(text, at)
        if match is None:
            return len(text)
        token, start = match.lastindex, match.start()
        if token == _CLOSES:
            self._open.pop()
            self._counts.pop()
            self._wanted = None
            return match.end()
        if token == _COMMA:
            self._wanted = None
            return match.end()
        if self._is_wanted(text, start, token) and token == _OPENS and match[0] == self._brackets[len(self._open)]:
            self._enter(match[0])
            return match.end()
        if token == _OPENS:
            self._depth = 1
        elif token == _IS_STRING:
            self._end_of_string(text, match)
        else:
            self._bare = True
            return self._in_bare(text, match.end())
        return match.end()

    def _is_wanted(self, text: str, start: int, token: int | None) -> bool:
        """Whether the value that begins here is the next one along the path; begins to keep a key or an element."""
        if self._open[-1] == "{":
            self._is_key = self._wanted is None and token == _IS_STRING
            if self._is_key:
                self._begin(text, start)
            wanted, self._wanted = bool(self._wanted), None
            return wanted
        count = self._counts[-1]
        self._counts[-1] += 1
        if self.inside:
            self._begin(text, start)
            return False
        return count == self._path[len(self._open) - 1]

    def _in_nest(self, text: str, at: int) -> int:
        for match in _NESTED.finditer(text, at):
            token = match.lastindex
            if token == _OPENS:
                self._depth += 1
            elif token == _CLOSES:
                self._depth -= 1
                if not self._depth:
                    self._finish(text, match.end())
                    return match.end()
            elif match[1] != '"':
                self._quoted, self._escaped = True, match[1] == "\\"
                return match.end()
        return len(text)

    def _in_string(self, text: str, at: int) -> int:
        match = _STRING.match(text, at + self._escaped)
        assert match is not None  # noqa: S101 - the pattern matches anything, an empty text too
        self._quoted = self._escaped = False
        self._end_of_string(text, match)
        return match.end()

    def _end_of_string(self, text: str, match: re.Match[str]) -> None:
        if match[1] != '"':
            self._quoted, self._escaped = True, match[1] == "\\"
        elif not self._depth:
            self._finish(text, match.end())

    def _in_bare(self, text: str, at: int) -> int:
        match = _BARE.match(text, at)
        assert match is not None  # noqa: S101 - the pattern matches the empty text
        if match.end() < len(text):
            self._bare = False
            self._finish(text, match.end())
        return match.end()

    def _in_lines(self, text: str, at: int) -> int:
        if not self._in_line:
            match = _VISIBLE.search(text, at)
            if match is None:
                return len(text)
            at = match.start()
            self._in_line = True
            self._begin(text, at)
        newline = text.find("\n", at)
        if newline == -1:
            return len(text)
        self._in_line = False
        self._finish(text, newline)
        return newline + 1

    def _begin(self, text: str, at: int) -> None:
        self._parts = []
        self._kept = 0
        self._from = at
        self._start = self._chars + at
        chars, size = self._measured
        self._measured = at, size + utf8_size(text[chars:at])  # each character is measured once
        self._offset = self._bytes + self._measured[1]

    def _keep(self, part: str) -> None:
        """Keep the current text's part of a value that continues, unless that is too large."""
        assert self._parts is not None  # noqa: S101 - something is being kept
        self._parts.append(part)
        self._kept += utf8_size(part)
        if self._is_key:
            # A key in escapes has 12 characters at the most, two halves of a surrogate pair, for one.
            if self._kept > 12 * len(str(self._path[len(self._open) - 1])) + 2:
                self._parts = None
        elif self._kept > self._max_bytes:
            if not self._is_lead:
                self._give("".join(self._parts), self._chars, whole=False)
            self._parts = None

    def _finish(self, text: str, end: int) -> None:
        parts, self._parts = self._parts, None
        if parts is not None:
            parts.append(text[self._from : end])
        if self._is_key:
            self._is_key = False
            segment = self._path[len(self._open) - 1]
            self._wanted = parts is not None and decoded("".join(parts)) == segment
        elif parts is not None:
            self._give("".join(parts), self._chars + end + (self._mode == "ndjson"), whole=True)

    def _give(self, text: str, end: int, *, whole: bool) -> None:
        if utf8_size(text) > self._max_bytes:
            text = text[: prefix_length(text, self._max_bytes)]
            end = self._start + len(text)
            whole = False
        if self._mode == "ndjson":
            text = text.rstrip(" \t\r")
            if not _JSON_LINE.match(text):
                return
        path = f"{self._place}[{self._counts[-1] - 1}]" if self._mode == "element" else "$"
        self._found.append(Found(Artifact(text, self._offset, self._index, whole, path), end))
        self._index += 1
