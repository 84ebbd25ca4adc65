"""What `import genesys_stream` costs, beside what its dependencies cost alone.

Fresh interpreters take turns, so that a busy machine hurts both sides alike, and the medians are compared.
The time is that of the import statement, measured inside; starting Python is not counted.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

STATEMENTS = {
    "its dependencies": "import httpx, attrs, cattrs, backoff",
    "the library": "import genesys_stream",
    "what a relay needs": "from genesys_stream import Client, relay",
}
PROGRAM = "import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
FEWEST_RUNS = 9


def main() -> None:
    args = arguments()
    medians = seconds_to_import(args.runs)
    theirs = medians["its dependencies"]
    for name, seconds in medians.items():
        print(f"{name:<20} {STATEMENTS[name]:<42} {seconds * 1000:7.1f} ms {seconds / theirs:6.2f}")
    ratio = medians["the library"] / theirs
    if args.at_most is not None and ratio > args.at_most:
        sys.exit(f"the ratio is above {args.at_most}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare the import time of genesys_stream with its dependencies'.")
    parser.add_argument("--runs", type=runs, default=15, help="interpreters to start per side (default: %(default)s)")
    parser.add_argument("--at-most", type=float, metavar="RATIO", help="fail if the ratio is above this")
    return parser.parse_args()


def runs(text: str) -> int:
    number = int(text)
    if number < FEWEST_RUNS:
        raise argparse.ArgumentTypeError(f"a median of fewer than {FEWEST_RUNS} runs says little")
    return number


def seconds_to_import(runs: int) -> dict[str, float]:
    """The medians of so many runs; one more before, which writes the bytecode, is not counted."""
    seen: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for _ in range(runs + 1):
        for name, statement in STATEMENTS.items():
            seen[name].append(once(statement))
    return {name: statistics.median(seconds[1:]) for name, seconds in seen.items()}


def once(statement: str) -> float:
    program = PROGRAM.format(statement=statement)
    # -I: neither the current folder nor the environment's PYTHON* variables take part.
    done = subprocess.run([sys.executable, "-I", "-c", program], check=True, capture_output=True, text=True)
    return float(done.stdout)


if __name__ == "__main__":
    main()
