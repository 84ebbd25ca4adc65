"""The text of one relay that has not been sent: what a coalescer sees of it, and what it has cut."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from ..._errors import InvalidArgument
from ..._values import Artifact
from ..._values._checks import shown
from ..._wire import join_surrogates
from ..text import last_cut, prefix_length, utf8_size
from .coalescers.protocol import Coalescer

T = TypeVar("T")


class Piece(NamedTuple):
    """Text that was cut, in the order of `Batch`'s first fields."""

    text: str
    first_at: float
    last_at: float
    deltas: int
    artifacts: tuple[Artifact, ...] = ()


def joined(pieces: list[Piece]) -> Piece:
    """Join pieces that follow each other; without any, the piece has no text."""
    if len(pieces) == 1:
        return pieces[0]
    if not pieces:
        return Piece("", 0.0, 0.0, 0)
    return Piece(
        "".join([piece.text for piece in pieces]),
        pieces[0].first_at,
        pieces[-1].last_at,
        sum([piece.deltas for piece in pieces]),
        tuple([artifact for piece in pieces for artifact in piece.artifacts]),
    )


class WaitingText:
    """The text that waits to be cut, as a `Coalescer` sees it.

    All that a strategy asks of it takes time in proportion to the text that it looks at, except for `text`, which
    joins all that waits.

    Attributes:
        start: How many characters (code points) of the stream were cut before; 0 at its beginning.
        length: How many characters wait.
        size: How many UTF-8 bytes these are.
        first_at: When the first of them arrived, in the clock's seconds.
        last_at: When the last of them arrived.
        added: The newest delta, also where its beginning was cut already.
        cuts: How many times text was cut.
        cut_at: When text was cut last; minus infinity before.
        queued: How many characters were cut and wait for the sink: a push that is not under way yet will carry them.
        ended: Whether the stream has ended, so that no more text will arrive.
    """

    __slots__ = (
        "_artifacts",
        "_half",
        "_joined",
        "_memory",
        "_parts",
        "_taken",
        "_times",
        "added",
        "cut_at",
        "cuts",
        "ended",
        "first_at",
        "last_at",
        "length",
        "queued",
        "size",
        "start",
    )

    def __init__(self) -> None:
        self.start = 0
        self.length = 0
        self.size = 0
        self.first_at = 0.0
        self.last_at = 0.0
        self.added = ""
        self.cuts = 0
        self.cut_at = float("-inf")
        self.queued = 0
        self.ended = False
        self._half = ""  # of a surrogate pair, whose other half may come
        self._joined = ""  # what is before _taken was cut
        self._taken = 0
        self._parts: list[str] = []  # what follows, not joined yet
        self._times: deque[tuple[int, float]] = deque()  # characters left of a delta, its arrival
        self._artifacts: list[tuple[int, Artifact]] = []  # characters from the stream's beginning to its end
        self._memory: dict[int, Any] = {}

    @property
    def text(self) -> str:
        """All of the text that waits."""
        return self.peek(self.length)

    def peek(self, n: int) -> str:
        """Return the first `n` characters, or all if there are not as many."""
        if self._parts:
            self._joined = self._joined[self._taken :] + "".join(self._parts)
            self._parts.clear()
            self._taken = 0
        return self._joined[self._taken : self._taken + n]

    def since(self, position: int) -> str:
        """Return the text from a position on, without what is cut already.

        Args:
            position: Characters from the beginning of the stream.
        """
        wanted = min(self.start + self.length - position, self.length)
        if wanted == len(self.added):
            return self.added
        if wanted <= 0:
            return ""
        found, parts = 0, self._parts
        for index in range(len(parts) - 1, -1, -1):
            found += len(parts[index])
            if found >= wanted:
                return "".join(parts[index:])[found - wanted :]
        return self._joined[len(self._joined) - (wanted - found) :] + "".join(parts)

    def whole(self) -> int:
        """Count the characters, from the first, that may be cut off whatever follows.

        Returns:
            All of them, unless the last one may still grow, as an emoji may; then those before it.
        """
        last = self.added[-1:]
        if last.isascii() and last not in {"\r", ""}:
            return self.length
        return last_cut(self.text, self.length)

    def fit(self, max_bytes: int) -> int:
        """Count the characters, from the first, that have at most `max_bytes` UTF-8 bytes, whole ones where possible.

        Args:
            max_bytes: At least 4, so that any character fits.
        """
        if self.size <= max_bytes:
            return self.length
        text = self.peek(max_bytes + 1)
        n = prefix_length(text, max_bytes)
        return last_cut(text[: n + 1], n) or n

    def overdue(self, now: float, seconds: float) -> int:
        """Count the characters, from the first, that have waited for `seconds`."""
        n = 0
        for length, at in self._times:
            if at + seconds > now:
                break
            n += length
        return n

    def waited(self, now: float, seconds: float) -> int:
        """Count the characters to cut because the first has waited for `seconds`; 0 while it has not.

        Args:
            now: The clock's time in seconds.
            seconds: How long text may wait.

        Returns:
            All of them; without a last one that may still grow, unless that has waited for `seconds` as well.
        """
        if not self.length or now < self.first_at + seconds:
            return 0
        whole = self.whole()
        return whole if whole >= self.overdue(now, seconds) else self.length

    def memory(self, owner: object, make: Callable[[], T]) -> T:
        """Return what a strategy remembers of this stream, so that it need not look at a character twice.

        Args:
            owner: The strategy.
            make: Called for the first time, to make it.
        """
        found: T | None = self._memory.get(id(owner))
        if found is None:
            found = self._memory[id(owner)] = make()
        return found

    def attach(self, artifact: Artifact, end: int) -> None:
        """Attach an artifact to the batch that its end falls into.

        Args:
            artifact: The artifact.
            end: Where it ends, in characters from the beginning of the stream.
        """
        self._artifacts.append((end, artifact))

    def add(self, text: str, now: float) -> bool:
        """Put text behind what waits; returns whether there is more to see.

        Half a surrogate pair at its end waits for the other half.
        """
        if text.isascii() and not self._half:
            size = length = len(text)
        else:
            text = self._half + text
            self._half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
            text = join_surrogates(text[: len(text) - len(self._half)])
            length = len(text)
            size = utf8_size(text)
        if not length:
            return False
        if not self.length:
            self.first_at = now
        self.last_at = now
        self.added = text
        self.length += length
        self.size += size
        self._parts.append(text)
        self._times.append((length, now))
        return True

    def drop_half(self) -> None:
        """Forget the half of a surrogate pair, because the whole pair follows."""
        self._half = ""

    def end(self, now: float) -> None:
        """Mark the stream as ended; half a surrogate pair that stays alone becomes U+FFFD."""
        half, self._half = self._half, ""
        self.add(join_surrogates(half), now)
        self.ended = True

    def take(self, n: int, now: float) -> Piece:
        """Cut off the first `n` characters, at least one."""
        taken = self.peek(n)
        self._taken += n
        self.start += n
        self.length -= n
        self.size -= n if taken.isascii() else len(taken.encode())
        self.cuts += 1
        self.cut_at = now
        if not self.length:
            self._joined, self._taken = "", 0
        times = self._times
        first_at = at = self.first_at
        left, deltas = n, 0
        while left > 0:
            length, at = times.popleft()
            deltas += 1
            if length > left:
                times.appendleft((length - left, at))
            left -= length
        if times:
            self.first_at = times[0][1]
        return Piece(taken, first_at, at, deltas, self._over() if self._artifacts else ())

    def _over(self) -> tuple[Artifact, ...]:
        over = sum(1 for end, _ in self._artifacts if end <= self.start)
        taken = tuple(artifact for _, artifact in self._artifacts[:over])
        del self._artifacts[:over]
        return taken


class TextQueue:
    """The text of one relay: what waits, and what was cut and is ready to be sent.

    A mistake of the coalescer raises; no text is lost by it, and `use` puts another coalescer in its place.

    Attributes:
        waiting: The text that is not cut yet.
        ready: What was cut, in order.
        due: When to call `tick` if no text arrives before, in the clock's seconds; None while nothing waits for that.
        size: How many UTF-8 bytes arrived in all.
    """

    __slots__ = ("_cut", "_due", "due", "ready", "size", "waiting")

    def __init__(self, coalescer: Coalescer) -> None:
        self.waiting = WaitingText()
        self.ready: list[Piece] = []
        self.due: float | None = None
        self.size = 0
        self.use(coalescer)

    def use(self, coalescer: Coalescer) -> None:
        """Let this coalescer cut from now on."""
        self._cut = coalescer.cut
        self._due = coalescer.due

    def feed(self, text: str, now: float) -> None:
        """Take text, and cut where the coalescer says."""
        waiting = self.waiting
        before = waiting.size
        if not waiting.add(text, now):
            return
        self.size += waiting.size - before
        n = self._cut(waiting, now)
        if n != 0:
            self._cut_off(n, now)
        due = self._due(waiting) if waiting.length else None
        self.due = due if due is None or (type(due) is float and due > now) else _later(due, now)

    def tick(self, now: float) -> None:
        """Let time pass, and cut where the coalescer says."""
        waiting = self.waiting
        if waiting.length:
            self._cut_off(self._cut(waiting, now), now)
        due = self._due(waiting) if waiting.length else None
        self.due = due if due is None else _later(due, now)

    def close(self, now: float) -> None:
        """Mark the input as ended, and cut all that is left, where the coalescer says. Idempotent."""
        waiting = self.waiting
        before = waiting.size
        waiting.end(now)
        self.size += waiting.size - before
        try:
            self.tick(now)
        finally:
            self.release(now)

    def release(self, now: float) -> None:
        """Cut all that is left, without asking the coalescer."""
        self.due = None
        if self.waiting.length:
            self._take(self.waiting.length, now)

    def take_ready(self, count: int | None = None) -> list[Piece]:
        """Hand out the first so many pieces that are ready; None for all."""
        if count is None or count == len(self.ready):
            ready, self.ready = self.ready, []
            self.waiting.queued = 0
            return ready
        ready, self.ready = self.ready[:count], self.ready[count:]
        self.waiting.queued -= sum(len(piece.text) for piece in ready)
        return ready

    def give_back(self, piece: Piece) -> None:
        """Put what was not sent before all that is ready."""
        self.ready.insert(0, piece)
        self.waiting.queued += len(piece.text)

    def _cut_off(self, n: object, now: float) -> None:
        waiting = self.waiting
        while n != 0:
            if not isinstance(n, int) or not 0 < n <= waiting.length:
                problem = f"must cut a number of characters, from 0 to the {waiting.length} that wait, not {shown(n)}"
                raise InvalidArgument("coalescer", problem)
            self._take(n, now)
            n = self._cut(waiting, now) if waiting.length else 0

    def _take(self, n: int, now: float) -> None:
        self.ready.append(self.waiting.take(n, now))
        self.waiting.queued += n


def _later(due: object, now: float) -> float | None:
    """Check when a coalescer wants to be asked; a time that has come is of no use, because it was asked just now."""
    if not isinstance(due, (int, float)) or due != due:  # noqa: PLR0124 - NaN alone is unlike itself
        raise InvalidArgument("coalescer", f"must be due at a time in seconds, or None, not {shown(due)}")
    return due if due > now else None
