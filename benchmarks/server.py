"""The service that is measured against, in a process of its own: FakeGenesys, saying the same thing to everybody.

It prints its address and a token, and then, for each line that it is sent, how many connections there have been.
"""

from __future__ import annotations

import argparse
import json
import sys

from genesys_stream.testing import FakeGenesys


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=1, help="how many deltas a completion has")
    parser.add_argument("--every", type=float, default=0.0, help="seconds between two of them")
    args = parser.parse_args()
    fake = FakeGenesys()
    fake.completions.say([" word"] * args.tokens, every=args.every, times=None)
    with fake.serve() as server:
        print(json.dumps({"base_url": server.base_url, "token": fake.issue_token()}), flush=True)
        for _ in sys.stdin:
            print(fake.connections, flush=True)


if __name__ == "__main__":
    main()
