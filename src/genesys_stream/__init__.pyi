# Every public name, once: type checkers read this file, and `__init__.py` finds the names in it.

from ._aio.client import (
    AsyncClient as AsyncClient,
)
from ._aio.completions import (
    AsyncCompletions as AsyncCompletions,
    AsyncCompletionStream as AsyncCompletionStream,
)
from ._aio.messages import (
    AsyncBotReplyClient as AsyncBotReplyClient,
    AsyncMessageClient as AsyncMessageClient,
)
from ._aio.push import (
    AsyncPushClient as AsyncPushClient,
)
from ._auth import (
    ClientCredentials as ClientCredentials,
)
from ._coalesce import (
    coalesce as coalesce,
)
from ._core.http.retry import (
    Retry as Retry,
)
from ._core.http.settings import (
    COMPLETIONS_PATH as COMPLETIONS_PATH,
    PUSH_PATH as PUSH_PATH,
)
from ._core.reading.accumulate import (
    CompletionAccumulator as CompletionAccumulator,
)
from ._core.reading.artifacts import (
    ArtifactReader as ArtifactReader,
)
from ._core.reading.completions import (
    CompletionOptions as CompletionOptions,
    MessageDict as MessageDict,
)
from ._core.reading.json_scanner import (
    ArtifactScanner as ArtifactScanner,
)
from ._core.reading.sse import (
    EventDecoder as EventDecoder,
)
from ._core.relaying.assemble import (
    StreamAssembler as StreamAssembler,
)
from ._core.relaying.batcher import (
    Batcher as Batcher,
)
from ._core.relaying.coalescers.artifacts import (
    JsonArtifact as JsonArtifact,
)
from ._core.relaying.coalescers.basic import (
    FinalOnly as FinalOnly,
    Paced as Paced,
    PassThrough as PassThrough,
    TimeSize as TimeSize,
)
from ._core.relaying.coalescers.boundaries import (
    Pattern as Pattern,
)
from ._core.relaying.coalescers.combine import (
    Idle as Idle,
    ImmediateFirst as ImmediateFirst,
    any_of as any_of,
    bounded as bounded,
)
from ._core.relaying.coalescers.markup import (
    Line as Line,
    MarkdownBlock as MarkdownBlock,
    Paragraph as Paragraph,
)
from ._core.relaying.coalescers.prose import (
    Sentence as Sentence,
    Word as Word,
)
from ._core.relaying.coalescers.protocol import (
    Coalescer as Coalescer,
)
from ._core.relaying.limits import (
    ANDROID_BACKGROUND as ANDROID_BACKGROUND,
    ANDROID_FOREGROUND as ANDROID_FOREGROUND,
    APNS_ALERT as APNS_ALERT,
    APNS_BACKGROUND as APNS_BACKGROUND,
    GENESYS as GENESYS,
    LIVE_ACTIVITY as LIVE_ACTIVITY,
    Limiter as Limiter,
    Profile as Profile,
    Rate as Rate,
    RateLimits as RateLimits,
    Turn as Turn,
)
from ._core.relaying.payload import (
    Envelope as Envelope,
)
from ._core.relaying.queue import (
    WaitingText as WaitingText,
)
from ._core.relaying.sink import (
    AsyncSink as AsyncSink,
    Sink as Sink,
)
from ._core.services.messages import (
    BotTurn as BotTurn,
)
from ._errors import (
    AmbiguousDelivery as AmbiguousDelivery,
    AuthenticationError as AuthenticationError,
    BadGateway as BadGateway,
    BadRequest as BadRequest,
    ConfigurationError as ConfigurationError,
    Conflict as Conflict,
    ConnectFailed as ConnectFailed,
    ConnectionLost as ConnectionLost,
    DeadlineExceeded as DeadlineExceeded,
    EventTooLarge as EventTooLarge,
    FirstTokenTimeout as FirstTokenTimeout,
    GatewayTimeout as GatewayTimeout,
    GenesysStreamError as GenesysStreamError,
    InvalidArgument as InvalidArgument,
    InvalidToken as InvalidToken,
    MalformedEvent as MalformedEvent,
    NetworkError as NetworkError,
    NotFound as NotFound,
    ParseError as ParseError,
    PayloadTooLarge as PayloadTooLarge,
    PermissionDenied as PermissionDenied,
    PoolExhausted as PoolExhausted,
    ProtocolError as ProtocolError,
    RateLimited as RateLimited,
    RequestTimeout as RequestTimeout,
    ServerError as ServerError,
    ServiceError as ServiceError,
    ServiceUnavailable as ServiceUnavailable,
    StatusError as StatusError,
    StreamStateError as StreamStateError,
    StreamTruncated as StreamTruncated,
    TimeoutExpired as TimeoutExpired,
    TokenIdleTimeout as TokenIdleTimeout,
    TransportIdleTimeout as TransportIdleTimeout,
    UnexpectedContent as UnexpectedContent,
    UnsupportedMediaType as UnsupportedMediaType,
    UsageError as UsageError,
)
from ._relay import (
    RelayOptions as RelayOptions,
    relay as relay,
    relay_each as relay_each,
)
from ._sync.client import (
    Client as Client,
)
from ._sync.completions import (
    Completions as Completions,
    CompletionStream as CompletionStream,
)
from ._sync.messages import (
    BotReplyClient as BotReplyClient,
    MessageClient as MessageClient,
)
from ._sync.push import (
    PushClient as PushClient,
)
from ._values import (
    Artifact as Artifact,
    Batch as Batch,
    Choice as Choice,
    ChunkChoice as ChunkChoice,
    ClientEvent as ClientEvent,
    Completion as Completion,
    CompletionChunk as CompletionChunk,
    Delivery as Delivery,
    Delta as Delta,
    Exchange as Exchange,
    ExchangeStarted as ExchangeStarted,
    FunctionCall as FunctionCall,
    Message as Message,
    PushReceipt as PushReceipt,
    RelayEvent as RelayEvent,
    RelayReport as RelayReport,
    RelayStarted as RelayStarted,
    ServerSentEvent as ServerSentEvent,
    Timeouts as Timeouts,
    Timing as Timing,
    ToolCall as ToolCall,
    Undelivered as Undelivered,
    Usage as Usage,
)
from ._version import __version__ as __version__
