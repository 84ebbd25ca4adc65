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
from ._options import Exchange, Timeouts, Timing
from ._relay import Batch, Delivery, PushReceipt, RelayReport, Undelivered

__all__ = [
    "Artifact",
    "Batch",
    "Choice",
    "ChunkChoice",
    "Completion",
    "CompletionChunk",
    "Delivery",
    "Delta",
    "Exchange",
    "FunctionCall",
    "Message",
    "PushReceipt",
    "RelayReport",
    "ServerSentEvent",
    "Timeouts",
    "Timing",
    "ToolCall",
    "Undelivered",
    "Usage",
]
