"""Stdout, line by line, from any thread, and not the end of a relay when nobody reads it any more."""

from __future__ import annotations

import json
import os
import sys
import threading
from contextlib import suppress
from typing import Any

_lock = threading.Lock()


def write(text: str, *, needed: bool = False) -> None:
    """Write to stdout at once.

    Args:
        text: What to write.
        needed: Whether a reader who went away is an error; to a relay, the phone matters more.

    Raises:
        BrokenPipeError: The reader went away, and was needed.
    """
    with _lock:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            if needed:
                raise
            # From here on stdout leads nowhere, so that neither we nor the interpreter's exit stumble over it again.
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_json(value: Any, *, needed: bool = False) -> None:
    """Write one line of JSON: in ASCII, which every encoding of stdout can say."""
    write(json.dumps(value, separators=(",", ":")) + "\n", needed=needed)
