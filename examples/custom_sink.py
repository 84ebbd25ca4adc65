"""Relay to a webhook in place of pushes.

The sink is an async function that takes a batch; the class of what it raises tells the relay what to do:
an error of the library that is `retryable` has the text sent again, any other one lists it as undelivered.
Reads GENESYSCLOUD_OAUTHCLIENT_ID, GENESYSCLOUD_OAUTHCLIENT_SECRET, GENESYSCLOUD_REGION and WEBHOOK_URL.
"""

from __future__ import annotations

import asyncio
import os
import sys

import httpx

from genesys_stream import (
    AmbiguousDelivery,
    AsyncClient,
    Batch,
    ConnectFailed,
    RateLimited,
    ServiceUnavailable,
    relay,
)

QUESTION = " ".join(sys.argv[1:]) or "Explain how Go handles HTTP streaming."


class Webhook:
    """Posts each batch as JSON.

    Args:
        http: The client to post with.
        url: Where to.
    """

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        self._http = http
        self._url = url

    async def __call__(self, batch: Batch) -> int:
        """Post a batch; what is returned is kept in the report."""
        body = {
            "stream": batch.stream_id,
            "seq": batch.seq,
            "offset": batch.offset,
            "text": batch.text,
            "state": batch.state,
        }
        try:
            response = await self._http.post(self._url, json=body)
        except httpx.ConnectError as error:
            raise ConnectFailed(f"the webhook cannot be reached: {error}") from error
        except httpx.TransportError as error:
            # It may have been taken. The very same batch is sent again, so the webhook should ignore a known `seq`.
            raise AmbiguousDelivery(f"the webhook's answer was lost: {error}") from error
        if response.status_code == 429:
            wait = response.headers.get("Retry-After", "1")
            raise RateLimited("the webhook is busy", status=429, retry_after=float(wait))
        if response.status_code == 503:
            raise ServiceUnavailable("the webhook is away", status=503)
        response.raise_for_status()
        return response.status_code


async def main() -> int:
    async with AsyncClient.from_env() as client, httpx.AsyncClient(timeout=10.0) as http:
        stream = client.completions.stream(model="gpt-4o", messages=[{"role": "user", "content": QUESTION}])
        report = await relay(stream, Webhook(http, os.environ["WEBHOOK_URL"]))
    resent = sum(delivery.attempts - 1 for delivery in report.pushes)
    print(f"{report.state}: {len(report.pushes)} posts, {resent} of them again, {len(report.undelivered)} lost")
    return 1 if report.undelivered else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
