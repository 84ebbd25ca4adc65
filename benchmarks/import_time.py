"""What `import genesys_stream` costs, beside what its dependencies cost alone.

Fresh interpreters take turns, so that a busy machine hurts both sides alike, and the medians are compared.
The time is that of the import statement, measured inside; starting Python is not counted.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

OURS = "genesys_stream"
THEIRS = "httpx, attrs, cattrs, backoff"
PROGRAM = "import time; start = time.perf_counter(); import {modules}; print(time.perf_counter() - start)"
FEWEST_RUNS = 9


def main() -> None:
    args = arguments()
    ours: list[float] = []
    theirs: list[float] = []
    for modules in (OURS, THEIRS):  # not counted: writes the bytecode, warms the disk cache
        seconds_to_import(modules)
    for _ in range(args.runs):
        ours.append(seconds_to_import(OURS))
        theirs.append(seconds_to_import(THEIRS))

    width = len(f"import {THEIRS}")
    for modules, seconds in ((OURS, ours), (THEIRS, theirs)):
        print(f"{f'import {modules}':<{width}}  {statistics.median(seconds) * 1000:7.1f} ms")
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(f"{'ratio':<{width}}  {ratio:7.2f}     (medians of {args.runs} runs each)")
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


def seconds_to_import(modules: str) -> float:
    program = PROGRAM.format(modules=modules)
    # -I: neither the current folder nor the environment's PYTHON* variables take part.
    done = subprocess.run([sys.executable, "-I", "-c", program], check=True, capture_output=True, text=True)
    return float(done.stdout)


if __name__ == "__main__":
    main()
