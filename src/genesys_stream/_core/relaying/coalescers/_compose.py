"""Strategies made of several: all at once, one after the other, or one at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field

from ...._errors import InvalidArgument
from ...._values import Batch
from ...._values._checks import shown
from ...._wire import type_name
from ._members import Cut, Member, Outbox, earliest
from ._protocol import Coalescer


def _member(argument: str, value: object) -> Member:
    if isinstance(value, type) or not isinstance(value, Coalescer):
        raise InvalidArgument(argument, f"must be a coalescer, got {shown(value)}")
    return Member(value)


@define(eq=False)
class _Several:
    """The members that listen now, and the text that was not sent."""

    _listening: list[Member] = field(alias="listening")
    _outbox: Outbox = field(init=False, factory=Outbox, repr=False)

    @property
    def due(self) -> float | None:
        return earliest(*(member.due for member in self._listening))

    def feed(self, text: str, now: float) -> Sequence[Batch]:
        text = self._outbox.buffer.add(text, now)
        return self._send([cut for member in self._listening for cut in member.feed(text, now)], now)

    def tick(self, now: float) -> Sequence[Batch]:
        return self._send([cut for member in self._listening for cut in member.tick(now)], now)

    def close(self, now: float) -> Sequence[Batch]:
        text = self._outbox.buffer.end(now)
        cuts = [cut for member in self._listening for cut in [*member.feed(text, now), *member.close(now)]]
        batches = self._take([*cuts, self._outbox.last_cut])
        self._outbox.sent = 0
        return batches

    def feedback(self, outcome: object, now: float) -> None:
        for member in self._listening:
            member.feedback(outcome, now)

    def _send(self, cuts: list[Cut], now: float) -> list[Batch]:  # noqa: ARG002 - for those who pass text on
        return self._take(cuts)

    def _take(self, cuts: list[Cut]) -> list[Batch]:
        cuts.sort(key=lambda cut: cut[0])
        return [batch for end, reason in cuts for batch in self._outbox.take(end, reason)]

    def _hand_over(self, new: Member, now: float) -> list[Batch]:
        """Let another member listen instead, and tell it the text that waits, with its times."""
        for member in self._listening:
            member.close(now)
        self._listening = [new]
        new.end = self._outbox.sent
        buffer = self._outbox.buffer
        text, n = buffer.peek(), buffer.settled()
        # Apart, so that a cluster that may still grow keeps its own age.
        cuts = new.feed(text[:n], buffer.arrived_at(0)) if n else []
        cuts += new.feed(text[n:], buffer.arrived_at(n)) if n < len(text) else []
        return self._take([*cuts, *new.tick(now)])


def any_of(*coalescers: Coalescer) -> Coalescer:
    """Cut wherever any of the strategies would, each on its own: the earliest wins.

    Args:
        coalescers: At least one.

    Returns:
        A coalescer, whose bounds are the tightest of theirs.

    Raises:
        InvalidArgument: If one of them is no coalescer, or if there is none.
    """
    if not coalescers:
        raise InvalidArgument("coalescers", "must be at least one")
    return _Several([_member(f"coalescers[{i}]", value) for i, value in enumerate(coalescers)])


@define(eq=False)
class _Then(_Several):
    _first: Member
    _after: int
    _second: Member
    _count: int = field(init=False, default=0)

    def _send(self, cuts: list[Cut], now: float) -> list[Batch]:
        if self._count >= self._after:
            return self._take(cuts)
        batches = self._take(cuts[: self._after - self._count])
        self._count += len(batches)
        if self._count >= self._after:
            batches += self._hand_over(self._second, now)
        return batches

    def close(self, now: float) -> Sequence[Batch]:
        batches = super().close(now)
        self._listening, self._count = [self._first], 0
        return batches


def then(first: Coalescer, after: int, second: Coalescer) -> Coalescer:
    """Let one strategy begin, and another go on.

    Args:
        first: Decides about the first batches.
        after: How many batches these are.
        second: Decides about all that follow.

    Returns:
        A coalescer.

    Raises:
        InvalidArgument: If an argument is of the wrong kind.
    """
    if isinstance(after, bool) or not isinstance(after, int) or after < 1:
        raise InvalidArgument("after", f"must be a positive number of batches, got {shown(after)}")
    beginner, successor = _member("first", first), _member("second", second)
    return _Then([beginner], beginner, after, successor)


@define(eq=False)
class _Switch(_Several):
    _choose: Callable[[], str]
    _members: dict[str, Member]

    def feed(self, text: str, now: float) -> Sequence[Batch]:
        text = self._outbox.buffer.add(text, now)
        chosen = self._chosen()
        return self._take(chosen.feed(text, now)) if chosen in self._listening else self._hand_over(chosen, now)

    def tick(self, now: float) -> Sequence[Batch]:
        chosen = self._chosen()
        return self._take(chosen.tick(now)) if chosen in self._listening else self._hand_over(chosen, now)

    def _chosen(self) -> Member:
        name = self._choose()
        if name not in self._members:
            raise InvalidArgument("choose", f"must return one of {', '.join(self._members)}, got {shown(name)}")
        return self._members[name]


def switch(choose: Callable[[], str], **coalescers: Coalescer) -> Coalescer:
    """Let a function choose, at each delta and each tick, which strategy decides.

    Text that waits when the choice changes is handed to the strategy that was chosen, with its age.

    Args:
        choose: Returns the name of a strategy, such as "foreground" or "background".
        coalescers: The strategies by name.

    Returns:
        A coalescer.

    Raises:
        InvalidArgument: If an argument is of the wrong kind, or, when it is used, if `choose` returns another name.
    """
    if not callable(choose):
        raise InvalidArgument("choose", f"must be a callable, got {type_name(choose)}")
    if not coalescers:
        raise InvalidArgument("coalescers", "must be at least one")
    members = {name: _member(name, value) for name, value in coalescers.items()}
    return _Switch([], choose, members)
