"""The command `genesys-stream`, for terminals and for scripts.

It needs the extra: `pip install "genesys-stream[cli]"`.

Exit codes; where several apply, the first of this list:

    130  interrupted (Ctrl-C); the text before that is delivered
    143  terminated (SIGTERM); likewise
    141  the reader of stdout left (| head); likewise
    2    an error in the command line or in the configuration
    4    the credentials were refused (401, 403)
    5    the service could not be reached, or is overloaded
    1    the stream failed or broke; the text before that is delivered
    3    text could not be delivered
    0    success: the whole answer was delivered
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

EXTRA = ("click", "rich")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: The arguments after the command's name; None for those of the process.

    Returns:
        The exit code, unless the command exits with it.
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
    if sys.stdout is None:  # closed before the command started
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it stays open
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A character that the terminal's encoding lacks must not stop a relay.
        sys.stdout.reconfigure(errors="replace")
    app.main(args=None if arguments is None else list(arguments), prog_name="genesys-stream")
    return 0
