"""The public API as users write it: never run, only checked, by mypy and by pyright."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, assert_type

import httpx
from attrs import evolve, frozen

import genesys_stream
from genesys_stream import (
    ANDROID_BACKGROUND,
    ANDROID_FOREGROUND,
    APNS_ALERT,
    APNS_BACKGROUND,
    COMPLETIONS_PATH,
    GENESYS,
    LIVE_ACTIVITY,
    PUSH_PATH,
    AmbiguousDelivery,
    Artifact,
    ArtifactReader,
    ArtifactScanner,
    AsyncBotReplyClient,
    AsyncClient,
    AsyncCompletions,
    AsyncCompletionStream,
    AsyncMessageClient,
    AsyncPushClient,
    AsyncSink,
    Batch,
    Batcher,
    BotReplyClient,
    BotTurn,
    Choice,
    ChunkChoice,
    Client,
    ClientCredentials,
    ClientEvent,
    Coalescer,
    Completion,
    CompletionAccumulator,
    CompletionChunk,
    CompletionOptions,
    Completions,
    CompletionStream,
    Delivery,
    Delta,
    Envelope,
    EventDecoder,
    EventTooLarge,
    Exchange,
    ExchangeStarted,
    FinalOnly,
    FunctionCall,
    GenesysStreamError,
    Idle,
    ImmediateFirst,
    InvalidArgument,
    InvalidToken,
    JsonArtifact,
    Limiter,
    Line,
    MalformedEvent,
    MarkdownBlock,
    Message,
    MessageClient,
    MessageDict,
    Paced,
    Paragraph,
    ParseError,
    PassThrough,
    Pattern,
    Profile,
    PushClient,
    PushReceipt,
    Rate,
    RateLimited,
    RateLimits,
    RelayEvent,
    RelayOptions,
    RelayReport,
    RelayStarted,
    Retry,
    Sentence,
    ServerSentEvent,
    Sink,
    StatusError,
    StreamAssembler,
    TimeoutExpired,
    Timeouts,
    TimeSize,
    Timing,
    ToolCall,
    Turn,
    Undelivered,
    UnexpectedContent,
    Usage,
    WaitingText,
    Word,
    any_of,
    bounded,
    coalesce,
    relay,
    relay_each,
)
from genesys_stream.apns import APP_CLOSED, APP_OPEN, Apns, AsyncApns
from genesys_stream.fcm import FCM_PROJECT, AsyncFcm, Fcm
from genesys_stream.testing import (
    ApnsAnswer,
    ApnsEntry,
    Cut,
    Drop,
    Entry,
    FakeApns,
    FakeApnsServer,
    FakeFcm,
    FakeGenesys,
    FakeServer,
    FakeWebPush,
    GoAway,
    LimitStreams,
    NeverAnswer,
    RefuseStream,
    Say,
    WebPushMessage,
)
from genesys_stream.webpush import MAX_PLAINTEXT_BYTES, AsyncWebPush, Urgency, WebPush

assert_type(genesys_stream.__version__, str)
paths: tuple[str, str] = (COMPLETIONS_PATH, PUSH_PATH)

QUESTION = [{"role": "user", "content": "Hi"}]


# Clients.


def on_event(event: object) -> None:
    if isinstance(event, Exchange):
        assert_type(event.status, int | None)
        assert_type(event.seconds, float)
        assert_type(event.correlation_id, str)


def on_client_event(event: ClientEvent) -> None:
    if isinstance(event, ExchangeStarted):
        assert_type(event.url, str)
    else:
        assert_type(event, Exchange)


def on_relay_event(event: RelayEvent) -> None:
    assert_type(event.stream_id, str)
    match event:
        case RelayStarted():
            assert_type(event.sinks, int)
        case Delivery() | Undelivered():
            assert_type(event.batch, Batch)
        case _:
            assert_type(event, RelayReport)


def on_any_event(event: ClientEvent | RelayEvent) -> None:
    print(event)


def hook_events() -> None:
    gathered: list[object] = []
    for hook in (on_event, on_client_event, on_any_event, gathered.append, print):
        Client("id", "secret", on_event=hook)
    for relay_hook in (on_event, on_relay_event, on_any_event, gathered.append, print):
        relay(["text"], print, on_event=relay_hook)
    relay(["text"], print, on_event=on_client_event)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]  # of a client


def make_clients(http: httpx.Client, async_http: httpx.AsyncClient) -> None:
    session = ClientCredentials("id", "secret", region="eu-west-1", scopes=["a"], retry=Retry(attempts=2))
    Client("id", "secret")
    Client("id", "secret", region="eu-west-1", timeouts=Timeouts(total=None), retry=Retry(jitter=lambda bound: bound))
    Client(access_token="token", base_url="https://llm.example.com", completions_path="/v1/chat/completions")
    Client(credentials=session, http_client=http, headers={"X-Team": "support"}, on_event=on_event)
    Client("id", "secret", base_url="https://a", login_url="https://b", push_path="/push", max_connections=10)
    AsyncClient(credentials=session, http_client=async_http, max_event_bytes=1024, allow_insecure_http=True)
    httpx.Client(auth=session)
    httpx.AsyncClient(auth=session)
    assert_type(Client.from_env(), Client)
    assert_type(AsyncClient.from_env(region="eu-west-1"), AsyncClient)


def use_client() -> None:
    with Client.from_env() as client:
        assert_type(client, Client)
        assert_type(client.completions, Completions)
        assert_type(client.push, PushClient)
        assert_type(client.with_options(timeouts=Timeouts(push=1.0), headers={"a": "b"}), Client)
        client.close()


async def use_async_client() -> None:
    async with AsyncClient.from_env() as client:
        assert_type(client, AsyncClient)
        assert_type(client.completions, AsyncCompletions)
        assert_type(client.push, AsyncPushClient)
        assert_type(client.with_options(retry=Retry(), on_event=print), AsyncClient)
        await client.aclose()


class MyClient(Client):
    """A subclass stays itself."""


assert_type(MyClient.from_env().with_options(), MyClient)


# Completions and streams.


def ask(client: Client) -> None:
    assert_type(client.completions.create(model="gpt-4o", messages=QUESTION), Completion)
    messages: Sequence[Message | Mapping[str, object]] = [Message(role="system", content="Be brief."), *QUESTION]
    stream = client.completions.stream(
        model="gpt-4o",
        messages=messages,
        temperature=0.2,
        max_tokens=100,
        stop=["\n"],
        n=2,
        tools=[{"type": "function", "function": {"name": "f"}}],
        tool_choice="auto",
        response_format={"type": "json_object"},
        stream_options={"include_usage": True},
        extra_body={"safety_profile": "strict"},
        extra_headers={"X-Team": "support"},
        timeouts=Timeouts(first_token=5.0),
        retry=Retry(attempts=1),
    )
    assert_type(stream, CompletionStream)
    client.completions.stream(model="gpt-4o", messages=QUESTION, response_format=Timeouts)
    client.completions.stream(model="gpt-4o", messages=QUESTION, temprature=0.2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # misspelt
    client.completions.stream("gpt-4o", QUESTION)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # names are required


def options_of_ones_own(client: Client) -> None:
    options: CompletionOptions = {"temperature": 0.0, "seed": 1}
    client.completions.stream(model="gpt-4o", messages=QUESTION, **options)


def read(stream: CompletionStream) -> None:
    for chunk in stream:
        assert_type(chunk, CompletionChunk)
    for text in stream.text_stream:
        assert_type(text, str)
    with stream as same:
        assert_type(same, CompletionStream)
    assert_type(next(stream), CompletionChunk)
    assert_type(stream.result(), Completion)
    assert_type(stream.completion, Completion)
    assert_type(stream.committed, bool)
    assert_type(stream.status, int | None)
    assert_type(stream.headers, Mapping[str, str])
    assert_type(stream.request_id, str)
    assert_type(stream.timing, Timing)
    assert_type(stream.timing.first_token, float | None)
    stream.close()


def ask_with_messages(client: Client) -> None:
    typed: list[MessageDict] = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": None}]
    strings: list[dict[str, str]] = [{"role": "user", "content": "Hi"}]
    client.completions.stream(model="m", messages=typed)
    client.completions.stream(model="m", messages=strings)
    client.completions.stream(model="m", messages=[{"role": "user", "content": "Hi"}, Message(content="Hello")])
    client.completions.create(model="m", messages=[{"role": "tool", "tool_call_id": "1", "content": "4", "extra": 1}])
    MessageDict(content="Hi")  # type: ignore[typeddict-item]  # pyright: ignore[reportCallIssue]  # the role is missing


async def ask_async(client: AsyncClient) -> None:
    assert_type(await client.completions.create(model="gpt-4o", messages=QUESTION), Completion)
    assert_type(client.completions.stream(model="gpt-4o", messages=QUESTION), AsyncCompletionStream)
    async for chunk in client.completions.stream(model="gpt-4o", messages=QUESTION, temperature=None):
        assert_type(chunk, CompletionChunk)


async def read_async(stream: AsyncCompletionStream) -> None:
    async for chunk in stream:
        assert_type(chunk, CompletionChunk)
    async for text in stream.text_stream:
        assert_type(text, str)
    async with stream as same:
        assert_type(same, AsyncCompletionStream)
    assert_type(await stream.result(), Completion)
    assert_type(stream.completion, Completion)
    assert_type(stream.committed, bool)
    assert_type(stream.status, int | None)
    assert_type(stream.headers, Mapping[str, str])
    assert_type(stream.request_id, str)
    assert_type(stream.timing, Timing)
    await stream.aclose()


def look_into(chunk: CompletionChunk, completion: Completion) -> None:
    assert_type(chunk.text, str)
    assert_type(chunk.choices, tuple[ChunkChoice, ...])
    assert_type(chunk.choices[0].delta, Delta)
    assert_type(chunk.choices[0].delta.tool_calls, tuple[ToolCall, ...])
    assert_type(chunk.usage, Usage | None)
    assert_type(chunk.finish_reason, str | None)
    assert_type(CompletionChunk.of_text("Hi"), CompletionChunk)
    assert_type(completion.text, str)
    assert_type(completion.finish_reason, str | None)
    assert_type(completion.tool_calls, tuple[ToolCall, ...])
    assert_type(completion.choices, tuple[Choice, ...])
    assert_type(completion.choices[0].message, Message)
    assert_type(completion.usage, Usage | None)
    for call in completion.choices[0].message.tool_calls or ():
        assert_type(call.function, FunctionCall)
        assert_type(call.function.arguments, str | None)


@frozen
class Article:
    title: str
    minutes: int = 1


def parse(completion: Completion) -> None:
    assert_type(completion.parse(Article), Article)
    assert_type(completion.parse(list[Article]), list[Article])
    assert_type(completion.parse(int), int)
    for call in completion.tool_calls:
        assert_type(call.name, str)
        assert_type(call.parse(Article), Article)
        assert_type(call.parse(dict[str, int]), dict[str, int])


def machines(data: bytes, chunk: CompletionChunk) -> None:
    decoder = EventDecoder(max_event_bytes=1024)
    for event in decoder.feed(data):
        assert_type(event, ServerSentEvent)
        assert_type(event.data, str)
        assert_type(event.retry, int | None)
    decoder.close()
    accumulator = CompletionAccumulator(n=2)
    assert_type(accumulator.add(chunk), bool)
    assert_type(accumulator.finished, bool)
    assert_type(accumulator.completion, Completion)


# Pushes and payloads.


def send(client: PushClient) -> None:
    receipt = client.send(["device"], "Title", "Body", {"k": "v"})
    assert_type(receipt, PushReceipt)
    assert_type(receipt.targets_count, int | None)
    client.send(("device",), "Title", "Body", {"k": {"nested": 1}}, stringify=True, resend_lost=True, dry_run=True)
    sink = client.to(
        "device-1", "device-2", title="Title", body=lambda batch: f"{batch.seq}", data={"k": "v"}, ref="42"
    )
    assert_type(sink, Sink)
    assert_type(sink.encode(Batch("text")), bytes)
    assert_type(sink.send(b"{}", Batch("text")), object)
    assert_type(sink.max_bytes, int | None)

    def log_and_send(content: bytes, batch: Batch) -> object:
        print(len(content), batch.seq)
        return sink.send(content, batch)

    assert_type(evolve(sink, send=log_and_send), Sink)


async def send_async(client: AsyncPushClient) -> None:
    assert_type(await client.send(["device"], "Title", "Body"), PushReceipt)
    sink = client.to("device", max_payload_bytes=2048, dry_run=True)
    assert_type(sink, AsyncSink)
    assert_type(await sink.send(b"{}", Batch("text")), object)


def receive(payload: Mapping[str, str]) -> None:
    assembler = StreamAssembler("01JD")
    assert_type(assembler.receive(payload), bool)
    assert_type(assembler.text, str)
    assert_type(assembler.complete, bool)
    assert_type(assembler.suspect, bool)
    assert_type(assembler.total, int | None)
    assert_type(assembler.missing, tuple[tuple[int, int], ...])


def envelope(batch: Batch) -> None:
    made = Envelope(["device"], title="Title", body="Body", data={}, ref="", mode="delta", max_payload_bytes=4096)
    assert_type(made.encode(batch), bytes)
    assert_type(made.fit(batch), int)
    assert_type(batch.final, bool)


# Coalescers.


class OnePerDelta:
    """A strategy with nothing but the two methods."""

    def cut(self, waiting: WaitingText, now: float) -> int:
        return waiting.length if now > waiting.first_at or waiting.text else 0

    def due(self, waiting: WaitingText) -> float | None:
        return None


strategies: list[Coalescer] = [PassThrough(), TimeSize(), TimeSize(0.2, 500), Sentence(min_chars=20), OnePerDelta()]


def batches() -> None:
    batcher = Batcher(Paced(0.5))
    assert_type(batcher.feed("text", 0.0), list[Batch])
    assert_type(batcher.due, float | None)
    assert_type(batcher.close(1.0), list[Batch])
    for batch in coalesce(["text"], Sentence()):
        assert_type(batch, Batch)


async def async_batches(stream: AsyncCompletionStream) -> None:
    async for batch in coalesce(stream, Sentence()):
        assert_type(batch, Batch)


def make_sinks(limits: RateLimits) -> Sink:
    limiter: Limiter = limits.limiter(["device"], Rate(4, 1.0))
    turn: Turn = limiter.turn()
    turn.request(0.0, final=False)
    turn.cancel()
    return Sink(
        send=lambda content, batch: None, encode=lambda batch: batch.text.encode(), max_bytes=4096, limiter=limiter
    )


# The relay takes the colour of its source.


def to_a_function(batch: Batch) -> None:
    print(batch.text)


async def to_a_coroutine(batch: Batch) -> int:
    return batch.seq


def texts() -> Iterator[str]:
    yield "text"


async def async_texts() -> AsyncIterator[str]:
    yield "text"


def relay_it(client: Client) -> None:
    stream = client.completions.stream(model="gpt-4o", messages=QUESTION)
    assert_type(relay(stream, client.push.to("device")), RelayReport)
    assert_type(relay(["any ", "strings"], to_a_function), RelayReport)
    assert_type(relay(texts(), print), RelayReport)
    gathered: list[Batch] = []
    assert_type(relay([CompletionChunk.of_text("Hi")], gathered.append), RelayReport)
    relay(
        stream,
        client.push.to("device"),
        coalescer=OnePerDelta(),
        stream_id="01JD",
        retry=Retry(attempts=8),
        give_up_after=60.0,
        grace=1.0,
        max_backlog_bytes=65536,
        on_event=on_event,
    )
    relay(12, print)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]  # not iterable
    relay(stream, "device")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]  # not callable


async def relay_it_async(client: AsyncClient) -> None:
    stream = client.completions.stream(model="gpt-4o", messages=QUESTION)
    asyncio.create_task(relay(stream, client.push.to("device")))  # noqa: RUF006 - it is only checked
    async with asyncio.TaskGroup() as group:
        assert_type(group.create_task(relay(async_texts(), print)), asyncio.Task[RelayReport])
    relay(async_texts(), print)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]  # not awaited
    assert_type(await relay(stream, client.push.to("device"), coalescer=Sentence()), RelayReport)
    assert_type(await relay(async_texts(), to_a_coroutine), RelayReport)
    assert_type(await relay(async_texts(), to_a_function), RelayReport)


sinks: list[Callable[[Batch], object]] = [to_a_function, to_a_coroutine, print]
options: RelayOptions = {"grace": 1.0, "strict": True, "epoch": 2}


def relay_to_several(client: Client) -> None:
    stream = client.completions.stream(model="gpt-4o", messages=QUESTION)
    phones = [client.push.to(token) for token in ("a", "b")]
    assert_type(relay_each(stream, phones, **options), tuple[RelayReport, ...])
    assert_type(relay_each(texts(), [to_a_function, client.push.to("a")]), tuple[RelayReport, ...])


async def relay_to_several_async(client: AsyncClient, blocking: Client) -> None:
    phones = [client.push.to(token) for token in ("a", "b")]
    running: Coroutine[Any, Any, tuple[RelayReport, ...]] = relay_each(async_texts(), phones)
    assert_type(await running, tuple[RelayReport, ...])
    relay(async_texts(), blocking.push.to("a"))  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]  # it blocks
    relay(texts(), client.push.to("a"))  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]  # nobody awaits it


def account(report: RelayReport) -> None:
    assert_type(report.completion, Completion)
    assert_type(report.pushes, tuple[Delivery, ...])
    assert_type(report.pushes[0].batch, Batch)
    assert_type(report.pushes[0].receipt, object)
    assert_type(report.undelivered, tuple[Undelivered, ...])
    assert_type(report.undelivered[0].error, BaseException)
    assert_type(report.delivered_text, str)
    assert_type(report.state, str)
    assert_type(report.held_seconds, float)
    assert_type(report.to_dict(text=True), dict[str, Any])
    report.raise_for_undelivered()


# Errors.


def handle(client: Client) -> None:
    try:
        ask(client)
    except RateLimited as error:
        assert_type(error.retry_after, float | None)
        assert_type(error.limit, Mapping[str, Any] | None)
    except InvalidToken as error:
        assert_type(error.gone, bool)
        assert_type(error.since, float | None)
    except StatusError as error:
        assert_type(error.status, int)
        assert_type(error.code, str)
        assert_type(error.correlation_id, str)
        assert_type(error.body, bytes)
    except UnexpectedContent as error:
        assert_type(error.first_bytes, bytes)
    except MalformedEvent as error:
        assert_type(error.data, str)
    except EventTooLarge as error:
        assert_type(error.limit, int)
    except AmbiguousDelivery as error:
        assert_type(error.attempts, int)
    except TimeoutExpired as error:
        assert_type(error.seconds, float | None)
    except InvalidArgument as error:
        assert_type(error.argument, str)
    except ParseError as error:
        assert_type(error.fields, tuple[str, ...])
    except GenesysStreamError as error:
        assert_type(error.retryable, bool)
        assert_type(error.partial, Completion | None)
        assert_type(error.report, RelayReport | None)
        assert_type(error.reports, tuple[RelayReport, ...])


# The fake.


def fake_it() -> None:
    fake = FakeGenesys(token_interval=0.01, rate_limit=(300, 60.0))
    fake.completions.say("Hello", Cut(3, "character"), every=0.1, times=None)
    fake.completions.queue(Say(("Hel", "lo")))
    fake.completions.say(tool_calls=[("get_time", {})])
    fake.push.rate_limit(retry_after=1.5, times=2)
    with fake.serve() as server:
        assert_type(server, FakeServer)
        assert_type(server.base_url, str)
    assert_type(fake.request_log, list[Entry])
    with httpx.Client(transport=fake.transport) as http:
        Client(**fake.client_options(), http_client=http)
    httpx.AsyncClient(transport=fake.transport)


def more_strategies() -> list[Coalescer]:
    return [
        Word(),
        Line(),
        Paragraph(),
        MarkdownBlock(),
        Pattern(r"\n"),
        FinalOnly(),
        JsonArtifact("element", "items"),
        ImmediateFirst(TimeSize(0.5)),
        Idle(TimeSize(1.0)),
        any_of(TimeSize(), Sentence()),
        bounded(Sentence(), max_latency=1.0),
    ]


def budgets(client: Client) -> None:
    profile = Profile(Rate(10, 0.5), window=2.0)
    for chosen in (profile, ANDROID_FOREGROUND, ANDROID_BACKGROUND, APNS_ALERT, APNS_BACKGROUND, LIVE_ACTIVITY, None):
        client.push.to("device", profile=chosen, mode="snapshot", alert="final")
    assert_type(GENESYS, Rate)


def artifacts(stream: CompletionStream, text: str) -> None:
    assert_type(list(stream.artifacts("items", Article)), list[Article])
    assert_type(ArtifactReader("items", Article).feed(text), list[Article])
    for artifact in ArtifactScanner("value").feed(text):
        assert_type(artifact, Artifact)
        assert_type(artifact.parse(Article), Article)


async def artifacts_async(stream: AsyncCompletionStream) -> None:
    assert_type([item async for item in stream.artifacts("items", Article)], list[Article])


# APNs.


def apns(path: Path, stream: CompletionStream) -> None:
    with Apns.from_p8(path, key_id="K", team_id="T", topic="com.example.app", sandbox=True, rate=Rate(10, 1.0)) as apns:
        assert_type(apns, Apns)
        assert_type(apns.to("c0ffee", profile=APP_CLOSED, mode="tail", sound=""), Sink)
        assert_type(apns.live_activity("c0ffee", stale_after=None), Sink)
        assert_type(apns.broadcast("channel"), Sink)
        assert_type(relay(stream, apns.to("c0ffee", profile=APP_OPEN)), RelayReport)
        apns.replace_key("-----BEGIN PRIVATE KEY-----", key_id="L")
        apns.to("c0ffee", mode="all")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # no such mode


async def apns_async(stream: AsyncCompletionStream) -> None:
    async with AsyncApns.from_p8(b"pem", key_id="K", team_id="T", topic="com.example.app") as apns:
        assert_type(apns, AsyncApns)
        assert_type(apns.to("c0ffee"), AsyncSink)
        assert_type(await relay(stream, apns.live_activity("c0ffee")), RelayReport)


def fake_apns() -> None:
    fake = FakeApns(first_streams=1)
    fake.push.fail(410, "Unregistered")
    fake.push.queue(ApnsAnswer(), RefuseStream(), NeverAnswer(), GoAway(), LimitStreams(1), Drop())
    with fake.serve() as server:
        assert_type(server, FakeApnsServer)
        Apns.from_p8(**fake.client_options(server)).close()
    assert_type(fake.request_log, list[ApnsEntry])


# Genesys' own messaging.


def messages(client: Client, body: bytes, headers: Mapping[str, str]) -> None:
    assert_type(client.messages, MessageClient)
    assert_type(client.bot_replies, BotReplyClient)
    sms = client.messages.to("+13175550001", from_address="+13175550000", messenger="sms")
    assert_type(sms, Sink)
    client.messages.to("a", from_address="b", messenger="fax")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # no such messenger
    turn = BotTurn.from_request(body, headers, secret_header="x-secret", secret="secret")
    assert_type(turn, BotTurn)
    assert_type(turn.parameters, Mapping[str, str])
    assert_type(relay(["text"], client.bot_replies.to(turn, end_state="MoreData")), RelayReport)


async def messages_async(client: AsyncClient, turn: BotTurn) -> None:
    assert_type(client.messages, AsyncMessageClient)
    assert_type(client.bot_replies, AsyncBotReplyClient)
    web = client.messages.to(from_address="deployment", messenger="webmessaging", external_contact_id="contact")
    assert_type(web, AsyncSink)
    assert_type(client.bot_replies.to(turn, parameters={"key": "value"}), AsyncSink)


def fake_messages(fake: FakeGenesys) -> None:
    fake.messages.rate_limit()
    fake.bot_replies.lose_answer()
    assert_type(fake.sent_messages, list[Any])
    assert_type(fake.sent_bot_replies, list[Any])


# Firebase Cloud Messaging.


def fcm() -> None:
    with Fcm.from_service_account_file("key.json", rate=FCM_PROJECT, timeouts=Timeouts(push=5.0)) as client:
        assert_type(client, Fcm)
        assert_type(client.to("token", title="Answer", platform="android"), Sink)
        assert_type(relay(["text"], client.to(fid="installation", profile=None)), RelayReport)


def forget(device: str, error: InvalidToken) -> None:
    Fcm.from_env(project_id=device, on_invalid_token=forget).close()


async def fcm_async() -> None:
    async with AsyncFcm.from_env(transport="aiohttp") as client:
        assert_type(client, AsyncFcm)
        assert_type(client.to("token"), AsyncSink)


def fake_fcm(fake: FakeFcm) -> None:
    fake.send.unregistered()
    fake.send.quota_exceeded("project", retry_after=1)
    fake.send.fail(401, "THIRD_PARTY_AUTH_ERROR")
    fake.dead.add("token")
    assert_type(fake.service_account("https://example.com"), dict[str, str])
    assert_type(fake.messages, list[Any])


# Web Push.


def web_push(subscription: dict[str, Any], urgency: Urgency) -> None:
    with WebPush.from_pem_file("vapid.pem", subject="mailto:me@example.com", rate=Rate(10, 1.0)) as push:
        assert_type(push, WebPush)
        assert_type(push.public_key, str)
        assert_type(
            push.to(subscription, title="Answer", ttl=60, urgency=urgency, declarative="https://a.example"), Sink
        )
        assert_type(relay(["text"], push.to("{}", profile=None)), RelayReport)
    assert_type(MAX_PLAINTEXT_BYTES, int)


def forget_browser(endpoint: str, error: InvalidToken) -> None:
    WebPush(endpoint, subject="https://me.example", on_invalid_token=forget_browser).close()


async def web_push_async() -> None:
    async with AsyncWebPush.from_env(transport="aiohttp") as push:
        assert_type(push, AsyncWebPush)
        assert_type(push.to("{}", profile=APNS_ALERT), AsyncSink)


def fake_web_push(fake: FakeWebPush) -> None:
    subscription = fake.subscribe("key", base_url="https://push.example.com")
    assert_type(subscription, dict[str, Any])
    fake.unsubscribe(subscription)
    fake.push.rate_limit(1)
    assert_type(fake.messages, list[WebPushMessage])
