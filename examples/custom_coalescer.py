"""Relay with a strategy of one's own: the first text goes out fast, and the rest in ever longer intervals.

A phone that shows nothing feels broken, and one that shows much needs no more twice a second.
Reads GENESYSCLOUD_OAUTHCLIENT_ID, GENESYSCLOUD_OAUTHCLIENT_SECRET, GENESYSCLOUD_REGION and MOBILE_DEVICE_TOKEN.
"""

from __future__ import annotations

import os
import sys

from attrs import frozen

from genesys_stream import Client, WaitingText, relay

QUESTION = " ".join(sys.argv[1:]) or "Explain how Go handles HTTP streaming."


@frozen
class Slower:
    """Send after `first` seconds, and wait longer the more text the phone shows already, up to `longest`.

    There is no base class: `cut` and `due` are all that it takes to be a coalescer.
    """

    first: float = 0.1
    longest: float = 3.0

    def window(self, waiting: WaitingText) -> float:
        """Seconds that text may wait: a second more for each thousand characters before it."""
        return min(self.first + waiting.start / 1000, self.longest)

    def cut(self, waiting: WaitingText, now: float) -> int:
        """Cut all that waits once the first of it has waited for the window."""
        return waiting.waited(now, self.window(waiting))

    def due(self, waiting: WaitingText) -> float:
        """Ask again when that has come."""
        return waiting.first_at + self.window(waiting)


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
