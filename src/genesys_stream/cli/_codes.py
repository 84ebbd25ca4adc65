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
    TERMINATED = 143


MEANINGS = {
    ExitCode.DELIVERED: "all is said and delivered",
    ExitCode.BROKEN: "the stream failed or broke; what was said is delivered first",
    ExitCode.USAGE: "a mistake in the command line or in the configuration",
    ExitCode.UNDELIVERED: "text could not be delivered, whatever refused it",
    ExitCode.REFUSED: "the credentials were refused (401, 403) before anything was said",
    ExitCode.UNREACHABLE: "the service or the network could not be reached, or was too busy, before anything was said",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C); what was said is delivered first",
    ExitCode.TERMINATED: "terminated (SIGTERM); likewise",
}

EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code.value:<4} {meaning}" for code, meaning in MEANINGS.items())
"""For `--help`; the first character tells click to leave the lines as they are."""
