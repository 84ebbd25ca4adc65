"""Batches of what a source yields, blocking: a thread reads the source, and the caller's takes the batches."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from contextlib import suppress
from typing import Any

from .._core.relaying.batcher import BatchState
from .._core.relaying.coalescers.protocol import Coalescer
from .._values import Batch, CompletionChunk
from .session import clock

# The main thread is told of Ctrl-C; on Windows a wait without an end would not let it through.
_LONGEST_WAIT = 0.5


def batches(source: Iterable[CompletionChunk] | Iterable[str], coalescer: Coalescer) -> Generator[Batch, None, None]:
    """Yield the batches of what a source yields, each when it is due.

    Raises:
        BaseException: What the source or the coalescer raised, after all that was said before.
    """
    state = BatchState(coalescer)
    lock = threading.Condition()
    left = False

    def read() -> None:
        error: BaseException | None = None
        items: Any = None
        try:
            items = iter(source)
            for item in items:
                with lock:
                    if left:
                        break
                    if state.feed(item, clock()):
                        lock.notify_all()
                    while state.full and not left:
                        lock.wait()
        except BaseException as caught:  # noqa: BLE001 - it is raised where the batches are taken
            error = caught
        _close(items)
        _close(source)
        with lock:
            state.end(error, clock())
            lock.notify_all()

    reader = threading.Thread(target=read, name="genesys-stream coalesce", daemon=True)
    reader.start()
    try:
        while True:
            with lock:
                now = clock()
                ready = state.next(now)
                if ready:
                    lock.notify_all()
                elif state.ended:
                    break
                else:
                    due = state.due
                    lock.wait(_LONGEST_WAIT if due is None else min(_LONGEST_WAIT, max(0.0, due - now)))
            yield from ready
        error, state.error = state.error, None
        try:
            if error is not None:
                raise error
        finally:
            del error  # its traceback leads here
    finally:
        with lock:
            left = True
            lock.notify_all()
        # A stream's read ends with this; a generator that is running ends with its next item, and is waited for no
        # longer than a moment.
        closed = _close(source)
        reader.join(None if closed else _LONGEST_WAIT)


def _close(source: object) -> bool:
    """Close a source; returns whether that was possible."""
    close: Any = getattr(source, "close", None)
    if callable(close):
        with suppress(Exception):
            close()
            return True
    return False
