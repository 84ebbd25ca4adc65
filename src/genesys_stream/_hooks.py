"""The one place where `on_event` hooks are called, and where what they raise is logged."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

EventT = TypeVar("EventT")

_log = logging.getLogger("genesys_stream")


def emit(hook: Callable[[EventT], object] | None, event: EventT) -> None:
    """Call a hook, if there is one, with an event; an exception that it raises is logged and changes nothing.

    The log names the exception's class and place alone, because its message may hold text of a completion.
    KeyboardInterrupt and cancellations pass through.
    """
    if hook is None:
        return
    try:
        hook(event)
    except Exception as error:  # noqa: BLE001 - a user's hook may raise anything
        log_failure(_log, "on_event", error, event)


def log_failure(log: logging.Logger, name: str, error: Exception, event: object) -> None:
    """Log that a hook raised."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    place = "" if at is None else f" at {at.tb_frame.f_code.co_filename}:{at.tb_lineno}"
    log.error("the %s hook raised %s%s for %s; going on", name, type(error).__name__, place, type(event).__name__)
