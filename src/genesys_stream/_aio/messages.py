"""Genesys' own messaging, awaited."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from .._core.relaying.sink import AsyncSink
from .._messages import BotReplies, Messages
from .._values import PushReceipt


class AsyncMessageClient(Messages[Coroutine[Any, Any, PushReceipt], AsyncSink]):
    """Sends agentless messages of Genesys Cloud."""

    _sink = AsyncSink


class AsyncBotReplyClient(BotReplies[Coroutine[Any, Any, PushReceipt], AsyncSink]):
    """Replies for a bot of the Digital Bot Connector."""

    _sink = AsyncSink
