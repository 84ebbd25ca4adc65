"""The exit codes, and what each means."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the command exits with."""

    DELIVERED = 0
    BROKEN = 1
    USAGE = 2
    UNDELIVERED = 3
    REFUSED = 4
    UNREACHABLE = 5
    INTERRUPTED = 130
    OUTPUT_CLOSED = 141
    TERMINATED = 143


MEANINGS = {
    ExitCode.DELIVERED: "success: the whole answer was delivered",
    ExitCode.BROKEN: "the stream failed or broke; the text before that is delivered",
    ExitCode.USAGE: "an error in the command line or in the configuration",
    ExitCode.UNDELIVERED: "text could not be delivered",
    ExitCode.REFUSED: "the credentials were refused (401, 403)",
    ExitCode.UNREACHABLE: "the service could not be reached, or is overloaded",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C); the text before that is delivered",
    ExitCode.OUTPUT_CLOSED: "the reader of stdout left (| head); likewise",
    ExitCode.TERMINATED: "terminated (SIGTERM); likewise",
}

EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code.value:<4} {meaning}" for code, meaning in MEANINGS.items())
"""For `--help`; the first character tells click to leave the lines as they are."""
