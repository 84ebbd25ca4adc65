"""The one place where `on_event` hooks are called, and what becomes of one that raises."""

from __future__ import annotations

import logging
from collections.abc import Callable

_log = logging.getLogger("genesys_stream")


def tell(hook: Callable[[object], None] | None, event: object) -> None:
    """Tell a hook, if there is one; what it raises is logged, by its class and place alone, and changes nothing.

    An exception's message may hold what was said, so that it is not for a log.
    Ctrl-C and cancellations are nobody's mistake, and pass through.
    """
    if hook is None:
        return
    try:
        hook(event)
    except Exception as error:  # noqa: BLE001 - it may be anybody's hook
        at = error.__traceback__
        while at is not None and at.tb_next is not None:
            at = at.tb_next
        place = "" if at is None else f" at {at.tb_frame.f_code.co_filename}:{at.tb_lineno}"
        told, name = type(event).__name__, type(error).__name__
        _log.error("the on_event hook raised %s%s when it was told of %s; going on", name, place, told)
