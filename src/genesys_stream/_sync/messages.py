"""Genesys' own messaging, blocking."""

from __future__ import annotations

from .._core.relaying.sink import Sink
from .._messages import BotReplies, Messages
from .._values import PushReceipt


class MessageClient(Messages[PushReceipt, Sink]):
    """Sends agentless messages of Genesys Cloud."""

    _sink = Sink


class BotReplyClient(BotReplies[PushReceipt, Sink]):
    """Replies for a bot of the Digital Bot Connector."""

    _sink = Sink
