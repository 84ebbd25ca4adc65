"""Stdout, line by line, from any thread, and not the end of a relay when it leads nowhere any more."""

from __future__ import annotations

import json
import os
import sys
import threading
from contextlib import suppress
from typing import Any

import click

from ._codes import ExitCode
from ._failures import Failure

_lock = threading.Lock()


def write(text: str, *, needed: bool = False) -> None:
    """Write to stdout at once.

    Args:
        text: What to write.
        needed: Whether the text is all that there is to do; to a relay, the phone matters more.

    Raises:
        BrokenPipeError: The reader went away, and was needed.
        Failure: Stdout takes no more, a full disk's for one, and was needed.
    """
    with _lock:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError as error:
            left = isinstance(error, BrokenPipeError)
            if left and needed:
                raise
            # From here on stdout leads nowhere, so that neither we nor the interpreter's exit stumble over it again.
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if left:
                return
            failed = Failure(error, ExitCode.BROKEN, lead="stdout takes no more: ")
            if needed:
                raise failed from error
            click.echo(f"genesys-stream: {failed.message}", err=True)


def write_json(value: Any, *, needed: bool = False) -> None:
    """Write one line of JSON: in ASCII, which every encoding of stdout can say."""
    write(json.dumps(value, separators=(",", ":")) + "\n", needed=needed)
