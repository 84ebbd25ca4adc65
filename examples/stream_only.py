"""Show an answer on the terminal as it is generated, and then its timing.

Reads GENESYSCLOUD_OAUTHCLIENT_ID, GENESYSCLOUD_OAUTHCLIENT_SECRET and GENESYSCLOUD_REGION.
"""

from __future__ import annotations

import sys

from genesys_stream import Client, NetworkError, RateLimited, StatusError

QUESTION = " ".join(sys.argv[1:]) or "Explain how Go handles HTTP streaming."


def main() -> int:
    with Client.from_env() as client:
        stream = client.completions.stream(
            model="gpt-4o",
            messages=[{"role": "user", "content": QUESTION}],
            stream_options={"include_usage": True},
        )
        try:
            for text in stream.text_stream:
                print(text, end="", flush=True)
            completion = stream.result()
        except RateLimited as error:
            print(f"too many requests; come back in {error.retry_after} seconds", file=sys.stderr)
            return 1
        except StatusError as error:
            print(f"the service said {error.status}: {error.message} [{error.correlation_id}]", file=sys.stderr)
            return 1
        except NetworkError as error:
            said = error.partial.text if error.partial else ""
            print(f"\nit broke off after {len(said)} characters: {error}", file=sys.stderr)
            return 1

    timing = stream.timing
    print(f"\n\n{completion.finish_reason}, {completion.usage}, request {stream.request_id}")
    print(f"first text after {timing.first_token:.3f} s, longest gap {timing.max_gap:.3f} s, {timing.chunks} chunks")
    return 0


if __name__ == "__main__":
    sys.exit(main())
