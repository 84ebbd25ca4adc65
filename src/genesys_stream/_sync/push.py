"""Pushes, blocking."""

from __future__ import annotations

from .._core.relaying.sink import Sink
from .._push import Pushes
from .._values import PushReceipt
from .session import clock


class PushClient(Pushes[PushReceipt, Sink]):
    """Sends push notifications."""

    _sink = Sink

    def _now(self) -> float:
        return clock()
