"""Writes to stdout from any thread; a full disk ends no relay, a reader who leaves stops it."""

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
from ._signals import OutputClosed

_lock = threading.Lock()
_closed = threading.Event()


def write(text: str, *, needed: bool = False) -> None:
    """Write to stdout and flush it.

    Args:
        text: What to write.
        needed: Whether to raise where it cannot be written; a relay delivers its text first, see `check_output`.

    Raises:
        OutputClosed: The reader of stdout has left, and `needed` is set.
        Failure: Stdout cannot be written to, a full disk's for one, and `needed` is set.
    """
    with _lock:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError as error:
            # Stdout leads nowhere from here on, so that neither later writes nor the interpreter's exit fail again.
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if isinstance(error, BrokenPipeError):
                _closed.set()
                if needed:
                    raise OutputClosed from error
                return
            failed = Failure(error, ExitCode.BROKEN, lead="cannot write to stdout: ")
            if needed:
                raise failed from error
            click.echo(f"genesys-stream: {failed.message}", err=True)


def check_output() -> None:
    """Raise if the reader of stdout has left.

    Raises:
        OutputClosed: It has.
    """
    if _closed.is_set():
        raise OutputClosed


def write_json(value: Any, *, needed: bool = False) -> None:
    """Write one line of JSON, in ASCII, which every encoding of stdout has."""
    write(json.dumps(value, separators=(",", ":")) + "\n", needed=needed)
