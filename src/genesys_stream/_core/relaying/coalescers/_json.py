"""The strategy for models that speak JSON: a batch for every value that is complete."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from attrs import define, evolve, field, validators

from ...._values import Artifact, Batch
from ...reading.json_scanner import ArtifactScanner, Found, Mode
from ...reading.surrogates import SurrogateJoiner
from ..text import TextBuffer, last_cut, utf8_size
from ._checks import seconds, whole_characters


@define(eq=False)
class JsonArtifact:
    """Send whole JSON values, each once it is complete; see `ArtifactScanner` for how they are found.

    A batch's `artifacts` are the values that are over with it, with their exact text: take them from there.
    Its text is all that was said since the last batch: the value, and before it what stood between, such as prose,
    a fence, a comma or the brackets around; so that joined batches are joined deltas, as of any strategy.
    What is left when the stream ends goes out as "final", with the unfinished value as an artifact that is incomplete.

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
        InvalidArgument: If an argument is of the wrong kind.
    """

    mode: Mode
    path: str = "$"
    max_latency: float | None = field(default=None, validator=validators.optional(seconds), kw_only=True)
    max_bytes: int = field(default=2**18, validator=whole_characters, kw_only=True)
    _scanner: ArtifactScanner = field(init=False, repr=False)
    _joiner: SurrogateJoiner = field(init=False, factory=SurrogateJoiner, repr=False)
    _buffer: TextBuffer = field(init=False, factory=TextBuffer, repr=False)
    _over: deque[Found] = field(init=False, factory=deque, repr=False)  # to go with the batch that they end in
    _gone: int = field(init=False, default=0, repr=False)  # characters sent
    _last: str = field(init=False, default="", repr=False)  # character of the last text

    def __attrs_post_init__(self) -> None:
        self._scanner = ArtifactScanner(self.mode, self.path, max_bytes=self.max_bytes)

    @property
    def due(self) -> float | None:
        """When the first buffered text will have waited for `max_latency`; None while nothing waits for that."""
        first_at = self._buffer.first_at
        return None if first_at is None or self.max_latency is None else first_at + self.max_latency

    def feed(self, text: str, now: float) -> Sequence[Batch]:
        """Buffer a delta, and send what is complete, full or due."""
        return [*self._cut(self._joiner.feed(text), now), *self.tick(now)]

    def _cut(self, text: str, now: float) -> Iterator[Batch]:
        before = self._gone + len(self._buffer)
        self._buffer.add(text, now)
        for found in self._scanner.scan(text):
            self._over.append(found)
            if found.artifact.complete and self._may_cut(text, found.end - before):
                yield from self._send(found.end - self._gone)
        while self._buffer.size > self.max_bytes:
            yield self._take(self._buffer.fit(self.max_bytes), "size")
        self._last = text[-1:] or self._last

    def _may_cut(self, text: str, at: int) -> bool:
        """Tell whether no cluster goes on at a value's end: its brackets and quotes join with a mark behind them."""
        around = text[at - 1 : at + 1] if at else self._last + text[:1]
        return last_cut(around, 1) == 1

    def _send(self, n: int) -> Iterator[Batch]:
        while n > 0 and utf8_size(self._buffer.peek(n)) > self.max_bytes:
            batch = self._take(self._buffer.fit(self.max_bytes), "size")
            yield batch
            n -= len(batch.text)
        if n > 0:  # or else it went with a batch that was due, or full
            yield self._take(n, "artifact")

    def _take(self, n: int, reason: str) -> Batch:
        batch = self._buffer.take(n, reason)
        self._gone += len(batch.text)
        artifacts: list[Artifact] = []
        while self._over and self._over[0].end <= self._gone:
            artifacts.append(self._over.popleft().artifact)
        return evolve(batch, artifacts=tuple(artifacts)) if artifacts else batch

    def tick(self, now: float) -> Sequence[Batch]:
        """Send what is buffered once `max_latency` is over."""
        if self.max_latency is None or self.due is None or now < self.due:
            return []
        return [self._take(self._buffer.ripe(now, self.max_latency), "time")]

    def close(self, now: float) -> Sequence[Batch]:
        """Send what is left."""
        batches = list(self._cut(self._joiner.close(), now))
        self._over += self._scanner.end()
        if self._buffer:
            batches.append(self._take(len(self._buffer), "final"))
        self._over.clear()
        self._gone, self._last = 0, ""
        return batches
