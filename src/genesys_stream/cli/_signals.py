"""What stops a relay beside Ctrl-C, with the same effect: the text so far is delivered before the process ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


class OutputClosed(KeyboardInterrupt):
    """The reader of stdout has closed it, as `head` does."""


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated


@contextmanager
def termination_as_interrupt() -> Generator[None, None, None]:
    """Raise `Terminated` in the main thread when SIGTERM comes while inside."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
