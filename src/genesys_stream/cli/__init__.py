"""The command `genesys-stream`: relay, stream, push, token and sandbox, for a terminal and for scripts.

It needs the extra: `pip install "genesys-stream[cli]"`.

Exit codes, of which the first that applies is given:

    130  interrupted (Ctrl-C); what was said is delivered first
    143  terminated (SIGTERM); likewise
    2    a mistake in the command line or in the configuration
    4    the credentials were refused (401, 403) before anything was said
    5    the service or the network could not be reached, or was too busy, before anything was said
    1    the stream failed or broke; what was said is delivered first
    3    text could not be delivered, whatever refused it
    0    all is said and delivered
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

EXTRA = ("click", "rich")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: What follows the command's name; None for that of the process.

    Returns:
        The exit code, where the command has not exited with it already.
    """
    try:
        return _run(arguments)
    except KeyboardInterrupt:  # while something was imported
        return 130


def _run(arguments: Sequence[str] | None) -> int:
    import io
    import os
    from pathlib import Path

    try:
        for name in EXTRA:
            import_module(name)
        from ._app import app
    except ModuleNotFoundError as missing:
        if missing.name not in EXTRA:
            raise
        print('genesys-stream: the command needs its extra: pip install "genesys-stream[cli]"', file=sys.stderr)
        return 2
    if sys.stdout is None:  # it was closed before we began
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it is to stay open
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that cannot say a character is no reason to stop a relay.
        sys.stdout.reconfigure(errors="replace")
    app.main(args=None if arguments is None else list(arguments), prog_name="genesys-stream")
    return 0
