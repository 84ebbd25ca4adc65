"""Answer a question on a phone, sentence by sentence, without an event loop.

Reads GENESYSCLOUD_OAUTHCLIENT_ID, GENESYSCLOUD_OAUTHCLIENT_SECRET, GENESYSCLOUD_REGION and MOBILE_DEVICE_TOKEN.
"""

from __future__ import annotations

import os
import sys

from genesys_stream import Batch, Client, Retry, Sentence, Timeouts, relay

QUESTION = " ".join(sys.argv[1:]) or "Explain how Go handles HTTP streaming."


def caption(batch: Batch) -> str:
    """What the notification reads; the app gets the text itself."""
    return "Your answer is complete" if batch.final else "Your answer is on its way"


def main() -> int:
    timeouts = Timeouts(first_token=30.0, token_idle=20.0, total=180.0)
    with Client.from_env(timeouts=timeouts, retry=Retry(attempts=6)) as client:
        stream = client.completions.stream(model="gpt-4o", messages=[{"role": "user", "content": QUESTION}])
        sink = client.push.to(os.environ["MOBILE_DEVICE_TOKEN"], body=caption, data={"conversation": "42"})
        report = relay(stream, sink, coalescer=Sentence())

    for delivery in report.pushes:
        print(f"{delivery.batch.seq:3} at byte {delivery.batch.offset:5}: {delivery.batch.text}")
    for missing in report.undelivered:
        print(f"{missing.batch.seq:3} is missing: {missing.error}", file=sys.stderr)
    print(f"{report.state}; held back for {report.held_seconds:.1f} s; stream {report.stream_id}")
    return 1 if report.undelivered else 0


if __name__ == "__main__":
    sys.exit(main())
