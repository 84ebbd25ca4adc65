"""Genesys Cloud completions, streamed, coalesced, and relayed to phones, with nothing lost on the way."""

from importlib import import_module
from typing import TYPE_CHECKING

from ._auth import ClientCredentials
from ._core import coalesce as _coalesce
from ._core.accumulate import CompletionAccumulator
from ._core.budget import (
    ANDROID_BACKGROUND,
    ANDROID_FOREGROUND,
    APNS_ALERT,
    APNS_BACKGROUND,
    GENESYS,
    LIVE_ACTIVITY,
    Profile,
    Rate,
)
from ._core.coalesce import Coalescer, LearnsFromDelivery
from ._core.completions import CompletionOptions
from ._core.conversation import Retry
from ._core.payload import Envelope
from ._core.settings import COMPLETIONS_PATH, PUSH_PATH
from ._core.sse import EventDecoder
from ._core.text import TextBuffer
from ._errors import (
    AmbiguousDelivery,
    AuthenticationError,
    BadGateway,
    BadRequest,
    ConfigurationError,
    Conflict,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    EventTooLarge,
    FirstTokenTimeout,
    GatewayTimeout,
    GenesysStreamError,
    InvalidArgument,
    MalformedEvent,
    NetworkError,
    NotFound,
    ParseError,
    PayloadTooLarge,
    PermissionDenied,
    PoolExhausted,
    ProtocolError,
    RateLimited,
    RequestTimeout,
    ServerError,
    ServiceError,
    ServiceUnavailable,
    StatusError,
    StreamStateError,
    StreamTruncated,
    TimeoutExpired,
    TokenIdleTimeout,
    TransportIdleTimeout,
    UnexpectedContent,
    UnsupportedMediaType,
    UsageError,
)
from ._relay import Sink, relay
from ._sync.client import Client
from ._sync.completions import Completions, CompletionStream
from ._sync.push import PushClient, PushSink
from ._values import (
    Artifact,
    Batch,
    Choice,
    ChunkChoice,
    Completion,
    CompletionChunk,
    Delivery,
    Delta,
    Exchange,
    FunctionCall,
    Message,
    PushReceipt,
    RelayReport,
    ServerSentEvent,
    Timeouts,
    Timing,
    ToolCall,
    Undelivered,
    Usage,
)
from ._version import __version__

if TYPE_CHECKING:
    from ._aio.client import AsyncClient
    from ._aio.completions import AsyncCompletions, AsyncCompletionStream
    from ._aio.push import AsyncPushClient, AsyncPushSink
    from ._core.artifacts import ArtifactReader
    from ._core.assemble import StreamAssembler
    from ._core.coalesce import (
        Adaptive,
        FinalOnly,
        Idle,
        ImmediateFirst,
        InFlight,
        JsonArtifact,
        Line,
        MarkdownBlock,
        Milestones,
        Paragraph,
        PassThrough,
        Pattern,
        RateBudget,
        Schedule,
        Sentence,
        TimeSize,
        Word,
        any_of,
        bounded,
        switch,
        then,
    )
    from ._core.json_scanner import ArtifactScanner

__all__ = [
    "ANDROID_BACKGROUND",
    "ANDROID_FOREGROUND",
    "APNS_ALERT",
    "APNS_BACKGROUND",
    "COMPLETIONS_PATH",
    "GENESYS",
    "LIVE_ACTIVITY",
    "PUSH_PATH",
    "Adaptive",
    "AmbiguousDelivery",
    "Artifact",
    "ArtifactReader",
    "ArtifactScanner",
    "AsyncClient",
    "AsyncCompletionStream",
    "AsyncCompletions",
    "AsyncPushClient",
    "AsyncPushSink",
    "AuthenticationError",
    "BadGateway",
    "BadRequest",
    "Batch",
    "Choice",
    "ChunkChoice",
    "Client",
    "ClientCredentials",
    "Coalescer",
    "Completion",
    "CompletionAccumulator",
    "CompletionChunk",
    "CompletionOptions",
    "CompletionStream",
    "Completions",
    "ConfigurationError",
    "Conflict",
    "ConnectFailed",
    "ConnectionLost",
    "DeadlineExceeded",
    "Delivery",
    "Delta",
    "Envelope",
    "EventDecoder",
    "EventTooLarge",
    "Exchange",
    "FinalOnly",
    "FirstTokenTimeout",
    "FunctionCall",
    "GatewayTimeout",
    "GenesysStreamError",
    "Idle",
    "ImmediateFirst",
    "InFlight",
    "InvalidArgument",
    "JsonArtifact",
    "LearnsFromDelivery",
    "Line",
    "MalformedEvent",
    "MarkdownBlock",
    "Message",
    "Milestones",
    "NetworkError",
    "NotFound",
    "Paragraph",
    "ParseError",
    "PassThrough",
    "Pattern",
    "PayloadTooLarge",
    "PermissionDenied",
    "PoolExhausted",
    "Profile",
    "ProtocolError",
    "PushClient",
    "PushReceipt",
    "PushSink",
    "Rate",
    "RateBudget",
    "RateLimited",
    "RelayReport",
    "RequestTimeout",
    "Retry",
    "Schedule",
    "Sentence",
    "ServerError",
    "ServerSentEvent",
    "ServiceError",
    "ServiceUnavailable",
    "Sink",
    "StatusError",
    "StreamAssembler",
    "StreamStateError",
    "StreamTruncated",
    "TextBuffer",
    "TimeSize",
    "TimeoutExpired",
    "Timeouts",
    "Timing",
    "TokenIdleTimeout",
    "ToolCall",
    "TransportIdleTimeout",
    "Undelivered",
    "UnexpectedContent",
    "UnsupportedMediaType",
    "Usage",
    "UsageError",
    "Word",
    "__version__",
    "any_of",
    "bounded",
    "relay",
    "switch",
    "then",
]


_LATER = {
    "ArtifactReader": "_core.artifacts",
    "ArtifactScanner": "_core.json_scanner",
    "AsyncClient": "_aio.client",
    "AsyncCompletionStream": "_aio.completions",
    "AsyncCompletions": "_aio.completions",
    "AsyncPushClient": "_aio.push",
    "AsyncPushSink": "_aio.push",
    "StreamAssembler": "_core.assemble",
    **dict.fromkeys(_coalesce.__all__, "_core.coalesce"),
}


def __getattr__(name: str) -> object:
    """Import what most programs do without when it is first asked for, so that all of them start sooner."""
    if name not in _LATER:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    found = globals()[name] = getattr(import_module(f".{_LATER[name]}", __name__), name)
    return found


def __dir__() -> list[str]:
    """List what there is, imported or not."""
    return sorted({*globals(), *__all__})
