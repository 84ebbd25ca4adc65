"""The library's value types, all frozen."""

from ._artifacts import Artifact
from ._completions import (
    Choice,
    ChunkChoice,
    Completion,
    CompletionChunk,
    Delta,
    FunctionCall,
    Message,
    ServerSentEvent,
    ToolCall,
    Usage,
)
from ._options import ClientEvent, Exchange, ExchangeStarted, Timeouts, Timing
from ._relay import Batch, Delivery, PushReceipt, RelayEvent, RelayReport, RelayStarted, Undelivered

__all__ = [
    "Artifact",
    "Batch",
    "Choice",
    "ChunkChoice",
    "ClientEvent",
    "Completion",
    "CompletionChunk",
    "Delivery",
    "Delta",
    "Exchange",
    "ExchangeStarted",
    "FunctionCall",
    "Message",
    "PushReceipt",
    "RelayEvent",
    "RelayReport",
    "RelayStarted",
    "ServerSentEvent",
    "Timeouts",
    "Timing",
    "ToolCall",
    "Undelivered",
    "Usage",
]
