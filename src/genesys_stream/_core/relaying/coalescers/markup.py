"""The strategies that know how a page is laid out: lines, paragraphs, and the blocks of Markdown."""

from __future__ import annotations

import re

from attrs import field, frozen

from .boundaries import AtBoundaries, Scanner
from .checks import seconds, whole_characters


class _Lines(Scanner):
    """Finds the ends of lines."""

    def feed(self, text: str) -> None:
        at = text.find("\n")
        while at >= 0:
            self.ends.append(self.seen + at + 1)
            at = text.find("\n", at + 1)
        self.seen += len(text)


_VISIBLE = re.compile(r"\S")
_PARTS = re.compile(r"[^\n]*\n|[^\n]+")


class _Paragraphs(Scanner):
    """Finds where paragraphs begin: all the empty lines between two of them go with the first."""

    def __init__(self) -> None:
        super().__init__()
        self._begun = False
        self._newlines = 0  # in the white space at the end, from the first newline on
        self._line = 0  # behind the last of them, in characters from the beginning of the stream

    def feed(self, text: str) -> None:
        at, begin = 0, self.seen
        self.seen += len(text)
        while True:
            if not self._newlines:
                newline = text.find("\n", at)
                said = text[at:] if newline < 0 else text[at:newline]
                self._begun = self._begun or not (said.isspace() or not said)
                if newline < 0:
                    return
                at = newline
            match = _VISIBLE.search(text, at)
            gap = text[at : match.start()] if match else text[at:]
            if newlines := gap.count("\n"):
                self._newlines += newlines
                self._line = begin + at + gap.rindex("\n") + 1
            if match is None:
                return
            if self._newlines > 1 and self._begun:
                self.ends.append(self._line)
            self._newlines = 0
            at = match.start()


@frozen
class Line(AtBoundaries):
    """Send whole lines: for logs, lists, poems and code.

    Args:
        max_latency: Seconds that text may wait for the end of its line.
        max_bytes: The largest batch, in UTF-8 bytes of text.

    Raises:
        InvalidArgument: An argument is of the wrong kind, or too small.
    """

    max_latency: float = field(default=2.0, validator=seconds)
    max_bytes: int = field(default=1200, validator=whole_characters)

    def _scanner(self) -> Scanner:
        return _Lines()


@frozen
class Paragraph(AtBoundaries):
    """Send whole paragraphs: what empty lines separate.

    Args:
        max_latency: Seconds that text may wait for the end of its paragraph.
        max_bytes: The largest batch, in UTF-8 bytes of text.

    Raises:
        InvalidArgument: An argument is of the wrong kind, or too small.
    """

    max_latency: float = field(default=2.0, validator=seconds)
    max_bytes: int = field(default=1200, validator=whole_characters)

    def _scanner(self) -> Scanner:
        return _Paragraphs()


_FENCE = re.compile(r"[ \t]*(?:(`{3,})[^`]*|(~{3,}).*|(\$\$)\s*)")
_HEADING = re.compile(r" {0,3}#{1,6}\s")


def _closes(line: str, fence: str) -> bool:
    bare = line.strip()
    return len(bare) >= len(fence) and set(bare) == set(fence)


def _opened(line: str) -> str:
    """Tell which fence a line opens: backticks, tildes, or two dollars for mathematics; "" for none."""
    match = _FENCE.fullmatch(line.rstrip())
    return match[match.lastindex] if match and match.lastindex else ""


class _Blocks(Scanner):
    """Finds the blocks of Markdown, line by line, as its lines become whole."""

    def __init__(self) -> None:
        super().__init__()
        self._line: list[str] = []
        self._fence = ""  # that is open
        self._begun = False  # whether the block at hand has something to show

    def feed(self, text: str) -> None:
        if "\n" not in text:
            self._line.append(text)
            self.seen += len(text)
            return
        for part in _PARTS.findall(text):
            self._line.append(part)
            self.seen += len(part)
            if part.endswith("\n"):
                line = "".join(self._line)
                self._line.clear()
                self._take(line, self.seen - len(line))

    def _take(self, line: str, start: int) -> None:
        if self._fence:
            if _closes(line, self._fence):
                self._fence, self._begun = "", False
                self.ends.append(self.seen)
            return
        if line.isspace():
            if self._begun:
                self.ends.append(self.seen)
            self._begun = False
            return
        self._fence = _opened(line)
        if self._begun and (self._fence or _HEADING.match(line)):
            self.ends.append(start)
        self._begun = True


@frozen
class MarkdownBlock(AtBoundaries):
    """Send whole blocks of Markdown: a renderer never sees half a table, list, link or fenced code.

    A block ends at an empty line, before a heading or a fence, and behind a fence that closes; an empty line inside a
    fence ends nothing. When a bound cuts a fence in two, the rest of it is still known to be code.

    Args:
        max_latency: Seconds that text may wait for the end of its block.
        max_bytes: The largest batch, in UTF-8 bytes of text.

    Raises:
        InvalidArgument: An argument is of the wrong kind, or too small.
    """

    max_latency: float = field(default=2.0, validator=seconds)
    max_bytes: int = field(default=1200, validator=whole_characters)

    def _scanner(self) -> Scanner:
        return _Blocks()
