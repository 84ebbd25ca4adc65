"""The strategies that know how a page is laid out: lines, paragraphs, and the blocks of Markdown."""

from __future__ import annotations

import re

from attrs import define, field

from ...._values import Batch
from ._pattern import Pattern


def _line(text: str) -> int:
    """Find the end of the first line that has something to show."""
    return text.find("\n", len(text) - len(text.lstrip())) + 1


# Entered only behind something to show, and left only when the next paragraph has begun, so that all the empty lines
# between two paragraphs go with the first.
_BETWEEN_PARAGRAPHS = re.compile(r"(?<=\S)[^\S\n]*\n[^\S\n]*\n\s*(?=\S)")


def _paragraph(text: str) -> int:
    match = _BETWEEN_PARAGRAPHS.search(text)
    return text.rfind("\n", 0, match.end()) + 1 if match else 0


@define(eq=False, init=False)
class Line(Pattern):
    """Send whole lines: for logs, lists, poems and code.

    Args:
        max_latency: Seconds that text may wait for the end of its line.
        max_bytes: The largest batch, in UTF-8 bytes of text.

    Raises:
        InvalidArgument: If an argument is of the wrong kind, or too small.
    """

    def __init__(self, max_latency: float = 2.0, max_bytes: int = 1200) -> None:
        super().__init__(_line, max_latency=max_latency, max_bytes=max_bytes)


@define(eq=False, init=False)
class Paragraph(Pattern):
    """Send whole paragraphs: what empty lines separate.

    Args:
        max_latency: Seconds that text may wait for the end of its paragraph.
        max_bytes: The largest batch, in UTF-8 bytes of text.

    Raises:
        InvalidArgument: If an argument is of the wrong kind, or too small.
    """

    def __init__(self, max_latency: float = 2.0, max_bytes: int = 1200) -> None:
        super().__init__(_paragraph, max_latency=max_latency, max_bytes=max_bytes)


_WHOLE_LINE = re.compile(r"[^\n]*\n")
_FENCE = re.compile(r"[ \t]*(?:(`{3,})[^`]*|(~{3,}).*|(\$\$)\s*)")
_HEADING = re.compile(r" {0,3}#{1,6}\s")


def _closes(line: str, fence: str) -> bool:
    bare = line.strip()
    return len(bare) >= len(fence) and set(bare) == set(fence)


def _opened(line: str) -> str:
    """Tell which fence a line opens: backticks, tildes, or two dollars for mathematics; "" for none."""
    match = _FENCE.fullmatch(line.rstrip())
    return match[match.lastindex] if match and match.lastindex else ""


def _block(text: str) -> int:
    """Find the end of the first block, seen from its lines that are whole."""
    fence = ""
    begun = False
    for match in _WHOLE_LINE.finditer(text):
        line = match[0]
        if fence:
            if _closes(line, fence):
                return match.end()
        elif fence := _opened(line):
            if begun:
                return match.start()
        elif line.isspace():
            if begun:
                return match.end()
        elif begun and _HEADING.match(line):
            return match.start()
        begun = begun or not line.isspace()
    return 0


def _context(text: str) -> str:
    """Keep of text that a bound cut off what is needed to understand what follows.

    That is an open fence (had it been closed, the text had been cut there), and the beginning of the last line.
    """
    fence = ""
    end = 0
    for match in _WHOLE_LINE.finditer(text):
        end = match.end()
        fence = fence or _opened(match[0])
    return (f"{fence}\n" if fence else "") + text[end : end + 100]


@define(eq=False, init=False)
class MarkdownBlock(Pattern):
    """Send whole blocks of Markdown: a renderer never sees half a table, list, link or fenced code.

    A block ends at an empty line, before a heading or a fence, and behind a fence that closes; an empty line inside a
    fence ends nothing. When a bound cuts a fence in two, the rest of it is still known to be code.

    Args:
        max_latency: Seconds that text may wait for the end of its block.
        max_bytes: The largest batch, in UTF-8 bytes of text.

    Raises:
        InvalidArgument: If an argument is of the wrong kind, or too small.
    """

    _before: str = field(init=False, repr=False)

    def __init__(self, max_latency: float = 2.0, max_bytes: int = 1200) -> None:
        super().__init__(self._block, max_latency=max_latency, max_bytes=max_bytes)
        self._before = ""

    def _block(self, text: str) -> int:
        return max(0, _block(self._before + text) - len(self._before))

    def _take(self, n: int, reason: str) -> Batch:
        batch = self._buffer.take(n, reason)
        self._before = "" if reason == "boundary" else _context(self._before + batch.text)
        return batch

    def close(self, now: float) -> list[Batch]:
        """Send what is left."""
        self._before = ""
        return self._buffer.drain(now, self.max_bytes)
