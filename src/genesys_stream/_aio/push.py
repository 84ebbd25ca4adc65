"""Pushes, awaited."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from .._core.relaying.sink import AsyncSink
from .._push import Pushes
from .._values import PushReceipt
from .session import clock


class AsyncPushClient(Pushes[Coroutine[Any, Any, PushReceipt], AsyncSink]):
    """Sends push notifications."""

    _sink = AsyncSink

    def _now(self) -> float:
        return clock()
