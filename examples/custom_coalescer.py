"""Relay with a strategy of one's own: the first text goes out fast, and the rest in ever longer intervals.

A phone that shows nothing feels broken, and one that shows much needs no more twice a second.
Reads GENESYSCLOUD_OAUTHCLIENT_ID, GENESYSCLOUD_OAUTHCLIENT_SECRET, GENESYSCLOUD_REGION and MOBILE_DEVICE_TOKEN.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from genesys_stream import Batch, Client, TextBuffer, relay

QUESTION = " ".join(sys.argv[1:]) or "Explain how Go handles HTTP streaming."


class Slower:
    """Send after `first` seconds, and wait `factor` times as long before each further batch, up to `longest`.

    There is no base class: `due`, `feed`, `tick` and `close` are all that it takes to be a coalescer.
    """

    def __init__(self, first: float = 0.1, factor: float = 1.5, longest: float = 3.0) -> None:
        self._first = self._wait = first
        self._factor = factor
        self._longest = longest
        self._buffer = TextBuffer()

    @property
    def due(self) -> float | None:
        """When `tick` should be called: when the first buffered text has waited for long enough."""
        first_at = self._buffer.first_at
        return None if first_at is None else first_at + self._wait

    def feed(self, text: str, now: float) -> Sequence[Batch]:
        """Take what the model said."""
        self._buffer.add(text, now)
        return self.tick(now)

    def tick(self, now: float) -> Sequence[Batch]:
        """Send what is buffered once it is due."""
        if self.due is None or now < self.due:
            return ()
        batch = self._buffer.take(self._buffer.ripe(now, self._wait), "time")
        self._wait = min(self._wait * self._factor, self._longest)
        return [batch]

    def close(self, now: float) -> Sequence[Batch]:
        """Send what is left, and be as new."""
        self._wait = self._first
        return self._buffer.drain(now)


def main() -> int:
    with Client.from_env() as client:
        stream = client.completions.stream(model="gpt-4o", messages=[{"role": "user", "content": QUESTION}])
        report = relay(stream, client.push.to(os.environ["MOBILE_DEVICE_TOKEN"]), coalescer=Slower())
    for delivery in report.pushes:
        waited = delivery.batch.last_at - delivery.batch.first_at
        print(f"gathered for {waited:4.2f} s: {delivery.batch.text!r}")
    return 1 if report.undelivered else 0


if __name__ == "__main__":
    sys.exit(main())
