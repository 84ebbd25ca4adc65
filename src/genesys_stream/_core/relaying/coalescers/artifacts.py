"""The strategy for models that speak JSON: a batch for every value that is complete."""

from __future__ import annotations

from attrs import field, frozen

from ...reading.json_scanner import ArtifactScanner, Mode
from ..queue import WaitingText
from .boundaries import Scanner, first_boundary
from .checks import optional, seconds, whole_characters


class _Values(Scanner):
    """Finds the ends of values, and attaches the values to the text."""

    def __init__(self, values: ArtifactScanner) -> None:
        super().__init__()
        self._values = values
        self._ended = False

    def look(self, waiting: WaitingText) -> None:
        """Look at what is new in the text that waits."""
        text = waiting.since(self.seen)
        self.seen += len(text)
        for found in self._values.scan(text):
            waiting.attach(found.artifact, found.end)
            if found.artifact.complete:
                self.ends.append(found.end)

    def end(self, waiting: WaitingText) -> None:
        """Attach the value that has begun and is not over. Idempotent."""
        if not self._ended:
            self._ended = True
            for found in self._values.end():
                waiting.attach(found.artifact, found.end)


@frozen
class JsonArtifact:
    """Send whole JSON values, each once it is complete; see `ArtifactScanner` for how they are found.

    A batch's `artifacts` are the values that are over with it, with their exact text: take them from there.
    Its text is all that was said since the last batch: the value, and before it what stood between, such as prose,
    a fence, a comma or the brackets around; so that joined batches are joined deltas, as of any strategy.
    What is left when the stream ends goes out last, with the unfinished value as an artifact that is incomplete.

    A value is sent in parts, and is an artifact of the last one, when it waits for longer than `max_latency`, or when
    it fills a batch together with what is before it.

    Args:
        mode: What is a value: "value", whole objects and arrays; "element", each element of the array at `path`; or
            "ndjson", each line.
        path: Where the array is, such as "items" or "result.items"; "$" for a text that is an array.
        max_latency: Seconds that text may wait for the end of its value; None for as long as that takes.
            With it, a value at the very end of a stream may have been sent before its end is known: then there is no
            batch left that it could be an artifact of.
        max_bytes: The largest batch, and the largest artifact, in UTF-8 bytes; a larger value becomes one incomplete
            artifact of so many bytes. Stay well below what `relay` lets wait, 1 MiB, after which it stops reading.

    Raises:
        InvalidArgument: An argument is of the wrong kind.
    """

    mode: Mode
    path: str = "$"
    max_latency: float | None = field(default=None, validator=optional(seconds), kw_only=True)
    max_bytes: int = field(default=2**18, validator=whole_characters, kw_only=True)

    def __attrs_post_init__(self) -> None:
        self._scanner()

    def _scanner(self) -> _Values:
        return _Values(ArtifactScanner(self.mode, self.path, max_bytes=self.max_bytes))

    def cut(self, waiting: WaitingText, now: float) -> int:
        """Cut behind the first value that is complete; without one, what is full or has waited for too long."""
        values = waiting.memory(self, self._scanner)
        if values.seen < waiting.start + waiting.length:
            values.look(waiting)
        if waiting.ended:
            values.end(waiting)
        if values.ends and (n := first_boundary(values.ends, waiting, self.max_bytes)):
            return n
        if waiting.size > self.max_bytes:
            return waiting.fit(self.max_bytes)
        return 0 if self.max_latency is None else waiting.waited(now, self.max_latency)

    def due(self, waiting: WaitingText) -> float | None:
        """Wait until the first text has waited for `max_latency`, if there is such a bound."""
        return None if self.max_latency is None else waiting.first_at + self.max_latency
