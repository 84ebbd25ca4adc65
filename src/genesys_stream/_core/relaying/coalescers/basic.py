"""The strategies that look at the clock and at the size, never at the words."""

from __future__ import annotations

from attrs import field, frozen

from ..queue import WaitingText
from .checks import seconds, whole_characters


def first_shown(waiting: WaitingText) -> int:
    """Count the characters to cut so that the first text that can be seen goes out at once; 0 at any other time."""
    if waiting.start or waiting.added.isspace():
        return 0
    n = waiting.whole()
    return waiting.length if waiting.peek(n).isspace() or not n else n


@frozen
class PassThrough:
    """Send every delta at once: no latency, and as many pushes as the model has tokens."""

    def cut(self, waiting: WaitingText, now: float) -> int:  # noqa: ARG002 - the protocol's signature
        """Cut all that waits."""
        return waiting.length

    def due(self, waiting: WaitingText) -> None:
        """Wait for no time."""


@frozen
class FinalOnly:
    """Send everything at the end: for channels that take two or three pushes an hour."""

    def cut(self, waiting: WaitingText, now: float) -> int:  # noqa: ARG002 - the protocol's signature
        """Cut nothing."""
        return 0

    def due(self, waiting: WaitingText) -> None:
        """Wait for no time."""


@frozen
class TimeSize:
    """Send when the first waiting text has waited for `window`, or when `max_bytes` are there.

    Args:
        window: Seconds from the arrival of the first waiting text; no text waits longer.
        max_bytes: The largest batch, in UTF-8 bytes of text; a longer delta is split.

    Raises:
        InvalidArgument: An argument is not such a number, or `max_bytes` is less than one character may have, 4.
    """

    window: float = field(default=0.2, validator=seconds)
    max_bytes: int = field(default=500, validator=whole_characters)

    def cut(self, waiting: WaitingText, now: float) -> int:
        """Cut what is full, or has waited for the window."""
        if waiting.size >= self.max_bytes:
            n = waiting.fit(self.max_bytes)
            if n == waiting.length:
                n = waiting.whole()  # a last character that may still grow waits for its window
            if n:
                return n
        return 0 if now < waiting.first_at + self.window else waiting.waited(now, self.window)

    def due(self, waiting: WaitingText) -> float:
        """Wait for the end of the window."""
        return waiting.first_at + self.window


@frozen
class Paced(TimeSize):
    """Send the first text that can be seen at once, and then what gathers in each window: the default of a push sink.

    While a push waits for its turn, all that is said goes along with it: pushes are scarce, so none leaves while text
    that it could carry waits for the next.

    Args:
        window: Seconds from the arrival of the first waiting text; the first time, from the first push.
        max_bytes: The size from which on text waits no longer, in UTF-8 bytes.

    Raises:
        InvalidArgument: An argument is not such a number, or `max_bytes` is less than one character may have, 4.
    """

    window: float = field(default=0.5, validator=seconds)
    max_bytes: int = field(default=3584, validator=whole_characters)

    def cut(self, waiting: WaitingText, now: float) -> int:
        """Cut the first text that shows, what joins a push that waits, and what has waited for the window."""
        if waiting.size >= self.max_bytes or now >= waiting.first_at + self.window:
            return TimeSize.cut(self, waiting, now)
        if waiting.queued or (waiting.cuts == 1 and waiting.first_at < waiting.cut_at + self.window <= now):
            return waiting.whole()
        return 0 if waiting.start else first_shown(waiting)

    def due(self, waiting: WaitingText) -> float:
        """Wait for the end of the window; the first one opens with the first push."""
        if waiting.cuts == 1 and waiting.first_at < waiting.cut_at + self.window and waiting.whole():
            return waiting.cut_at + self.window
        return waiting.first_at + self.window
