"""What a coalescer is: it sees the text that waits and the time, and says where to cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from ..queue import WaitingText


@runtime_checkable
class Coalescer(Protocol):
    """Decides which text travels together; anything with these two methods is one.

    It owns no text and no clock, so that it can lose nothing, and one may serve any number of relays at once.
    `relay` calls `cut` after each delta and after each cut, and when a time that `due` named has come.
    An answer may go unused, as where another strategy cuts earlier; asked again, a strategy answers anew.
    What it has to remember of a stream, it keeps in `WaitingText.memory`.
    """

    def cut(self, waiting: WaitingText, now: float) -> int:
        """Say how many characters of the waiting text to send now.

        Args:
            waiting: The text; there is at least one character.
            now: The clock's time in seconds.

        Returns:
            Characters (code points), from the first; 0 to wait.
        """
        ...

    def due(self, waiting: WaitingText) -> float | None:
        """Say when to ask again if no text arrives before.

        Args:
            waiting: The text; there is at least one character.

        Returns:
            A time of the clock in seconds; None if only text can change the answer.
        """
        ...
