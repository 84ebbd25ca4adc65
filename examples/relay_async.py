"""Answer a question on a phone, while the model generates the answer.

Reads GENESYSCLOUD_OAUTHCLIENT_ID, GENESYSCLOUD_OAUTHCLIENT_SECRET, GENESYSCLOUD_REGION and MOBILE_DEVICE_TOKEN.
Ctrl-C stops the model; what it said until then is still delivered.
"""

from __future__ import annotations

import asyncio
import os
import sys

from genesys_stream import AsyncClient, Delivery, NetworkError, ServiceError, TimeSize, Undelivered, relay

QUESTION = " ".join(sys.argv[1:]) or "Explain how Go handles HTTP streaming."


def show(event: object) -> None:
    if isinstance(event, Delivery):
        print(f"pushed {event.batch.seq}: {event.batch.text!r}")
    elif isinstance(event, Undelivered):
        print(f"lost {event.batch.seq}: {event.error}", file=sys.stderr)


async def main() -> int:
    async with AsyncClient.from_env() as client:
        stream = client.completions.stream(
            model="gpt-4o",
            messages=[
                {"role": "system", "content": "You are a technical assistant."},
                {"role": "user", "content": QUESTION},
            ],
        )
        sink = client.push.to(os.environ["MOBILE_DEVICE_TOKEN"], title="Your answer")
        try:
            report = await relay(stream, sink, coalescer=TimeSize(0.2, 500), on_event=show)
        except (ServiceError, NetworkError) as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            return 1
        print(f"{report.state}: {len(report.completion.text)} characters in {len(report.pushes)} pushes")
        return 1 if report.undelivered else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
