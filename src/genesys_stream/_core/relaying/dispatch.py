"""How text reaches a device where nobody chose a strategy: the first at once, the rest as its budget allows.

Text is gathered for a window, and then a push is booked.
Where the budget is spent, the push's turn comes later, and what is said until then goes along with it:
a push is the scarce thing, so that none leaves while text that it could carry waits for the next.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from attrs import define, field

from ..._values import Batch
from .coalescers import Coalescer, FinalOnly, ImmediateFirst, TimeSize
from .limits import Account, Profile
from .payload import MAX_PAYLOAD_BYTES


class Turns:
    """An account that knows whether a push that it booked still waits for its turn.

    Args:
        account: The account itself.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._turn = -math.inf

    def book(self, now: float, *, final: bool) -> float:
        """Book a push; returns when it may go out."""
        self._turn = self._account.book(now, final=final)
        return self._turn

    def turn(self, now: float, *, final: bool) -> float:
        """Look again at the last booking; returns when it may go out, as things are now."""
        self._turn = self._account.turn(now, final=final)
        return self._turn

    def refund(self) -> None:
        """Give back a booking that was not used."""
        self._turn = -math.inf
        self._account.refund()

    def empty_until(self, until: float, scope: str) -> None:
        """Let nothing out before `until`, as far as the scope of the limit goes."""
        self._account.empty_until(until, scope)

    def wait(self, now: float) -> bool:
        """Whether a push waits for its turn."""
        return now < self._turn


@define(eq=False)
class _Boarding(TimeSize):
    """Pass text on at once while a push waits for its turn, and gather it for the window otherwise."""

    waits: Callable[[float], bool] = field(kw_only=True)

    def feed(self, text: str, now: float) -> Sequence[Batch]:
        batches = super().feed(text, now)
        n = self._buffer.settled() if self.waits(now) else 0
        return [*batches, self._buffer.take(n, "budget")] if n else batches


def dispatcher(profile: Profile | None, account: Account | None) -> tuple[Coalescer, Account | None]:
    """Make the strategy of a relay that was given none.

    Args:
        profile: What the sink's devices bear; None for a sink that says nothing of it.
        account: What the sink's pushes are paid from; None when they cost nothing.

    Returns:
        A coalescer, and the account that its desk books from.
    """
    if profile is None:
        return TimeSize(), account
    if profile.final_only:
        return FinalOnly(), account
    if account is None:
        return ImmediateFirst(TimeSize(profile.window, MAX_PAYLOAD_BYTES)), None
    turns = Turns(account)
    return ImmediateFirst(_Boarding(profile.window, MAX_PAYLOAD_BYTES, waits=turns.wait)), turns
