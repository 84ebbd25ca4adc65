"""Whatever is handed in, at any entry point: a typed error that names the argument, before anything is sent."""

import json
from functools import partial

import httpx
import pytest
from hypothesis import given, settings, strategies as st
from tests.strategies import json_values

from genesys_stream import (
    ArtifactScanner,
    AsyncClient,
    Batch,
    Batcher,
    Client,
    ClientCredentials,
    CompletionAccumulator,
    CompletionChunk,
    CompletionOptions,
    Envelope,
    EventDecoder,
    FinalOnly,
    GenesysStreamError,
    Idle,
    ImmediateFirst,
    InvalidArgument,
    Line,
    MarkdownBlock,
    Paced,
    Paragraph,
    PassThrough,
    Pattern,
    Profile,
    Rate,
    Retry,
    Sentence,
    Sink,
    StreamAssembler,
    Timeouts,
    TimeSize,
    Word,
    bounded,
    coalesce,
    relay,
    relay_each,
)
from genesys_stream.testing import FakeGenesys

HOST = "http://localhost:1"
ASK = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
PUSH = {"targets": ["device"], "title": "Title", "body": "Body", "data": {"key": "value"}}
PAYLOAD = json.loads(Envelope(["device"]).encode(Batch("x", stream_id="s", seq=1)))["data"]

# One of every kind: most are wrong anywhere, and whatever is right somewhere is taken there.
ODD = [
    *(None, True, 0, -1, 3.5, float("nan"), float("inf"), float("-inf"), 10**400, -(10**5000), 1j),
    *("", " ", "\0", "a\r\nX-Evil: 1", "a\nb", "\x85", "\ud800", "ü", "x" * 100_000, b"", b"b", bytearray(b"b")),
    *([], [None], ["a", 1], (), {}, {"a": object()}, {1: 2}, {"a\r\nb": "c"}, {"A": "b\r\nc"}, {"Content-Length": "1"}),
    *(object(), Ellipsis, print, str, Client, set(), range(3), NotImplementedError("x")),
]


def options_of(function, names):
    """(name, call): each call is a function of one argument, and makes the call with all the others in order."""
    return [(name, lambda value, name=name: function(**{name: value})) for name in names]


def _client(cls):
    def make(**arguments):
        identity = (
            {} if {"access_token", "credentials"} & arguments.keys() else {"client_id": "i", "client_secret": "s"}
        )
        return cls(**{**identity, "base_url": HOST, "login_url": HOST, **arguments})

    return make


CLIENT = Client("id", "secret", base_url=HOST)
ARGUMENTS = (
    *("client_id", "client_secret", "region", "base_url", "login_url", "access_token", "credentials", "scopes"),
    *("completions_path", "push_path", "headers", "timeouts", "retry", "http_client", "max_connections"),
    *("max_event_bytes", "push_rate", "on_event"),
)
STRATEGIES = [PassThrough, TimeSize, FinalOnly, Word, Sentence, Line, Paragraph, MarkdownBlock]
ENTRY_POINTS = {
    "Client": options_of(_client(Client), ARGUMENTS),
    "AsyncClient": options_of(_client(AsyncClient), ARGUMENTS),
    "with_options": options_of(CLIENT.with_options, ["timeouts", "retry", "headers", "max_event_bytes", "on_event"]),
    "ClientCredentials": options_of(
        lambda **a: ClientCredentials(**{"client_id": "i", "client_secret": "s", "login_url": HOST, **a}),
        ["client_id", "client_secret", "region", "login_url", "scopes", "retry"],
    ),
    "stream": options_of(
        lambda **a: CLIENT.completions.stream(**{**ASK, **a}), [*ASK, *CompletionOptions.__annotations__, "nonsense"]
    ),
    "message": options_of(
        lambda **a: CLIENT.completions.stream(model="m", messages=[{**ASK["messages"][0], **a}]), ["role", "content"]
    ),
    "send": options_of(lambda **a: CLIENT.push.send(**{**PUSH, **a}, dry_run=True), PUSH),
    "data": options_of(lambda **a: CLIENT.push.send(**{**PUSH, "data": a}, dry_run=True), ["key"]),
    "stringify": options_of(lambda **a: CLIENT.push.send(**{**PUSH, "data": a}, stringify=True, dry_run=True), ["key"]),
    "send_payload": options_of(
        lambda **a: CLIENT.push.send_payload(**{"content": b"{}", **a}, dry_run=True), ["content", "retry"]
    ),
    "to": [
        ("targets", CLIENT.push.to),
        *options_of(
            lambda **a: CLIENT.push.to("device", **a),
            ["title", "body", "data", "ref", "mode", "max_payload_bytes", "profile"],
        ),
    ],
    "Envelope": [
        ("targets", Envelope),
        ("batch", Envelope(["device"]).encode),
        *options_of(
            lambda **a: Envelope(["device"], **a), ["title", "body", "data", "ref", "mode", "max_payload_bytes"]
        ),
    ],
    "relay": options_of(
        lambda **a: relay(**{"source": ["x"], "sink": lambda _: None, **a}),
        [
            "source",
            "sink",
            "coalescer",
            "stream_id",
            "retry",
            "give_up_after",
            "grace",
            "max_backlog_bytes",
            "epoch",
            "strict",
            "on_event",
        ],
    ),
    "relayed": [("item", lambda value: relay([value], lambda _: None))],
    "EventDecoder": [("data", EventDecoder().feed), *options_of(EventDecoder, ["max_event_bytes"])],
    "CompletionAccumulator": [("n", CompletionAccumulator), ("chunk", CompletionAccumulator().add)],
    "CompletionChunk": [
        ("raw", lambda value: CompletionAccumulator().add(CompletionChunk(value))),
        ("choices", lambda value: CompletionAccumulator().add(CompletionChunk({"choices": value}))),
    ],
    "StreamAssembler": [
        ("stream_id", StreamAssembler),
        ("payload", StreamAssembler().receive),
        *[(key, lambda value, key=key: StreamAssembler().receive({**PAYLOAD, key: value})) for key in PAYLOAD],
    ],
    "Timeouts": options_of(Timeouts, list(Timeouts.__annotations__)),
    "Retry": options_of(Retry, ["attempts", "wait_initial", "wait_max", "retry_after_max", "jitter"]),
    "Rate": [("burst", lambda value: Rate(value, 1.0)), ("per_second", lambda value: Rate(1, value))],
    "Profile": [("device", Profile), ("window", lambda value: Profile(Rate(1, 1.0), value))],
    "Batcher": [
        ("coalescer", Batcher),
        ("text", lambda value: Batcher(TimeSize()).feed(value, 0.0)),
        ("now", lambda value: Batcher(TimeSize()).feed("text", value)),
    ],
    "Paced": options_of(Paced, ["window", "max_bytes"]),
    "Sink": options_of(partial(Sink, send=print, encode=bytes), ["max_bytes", "repeat", "window", "final_only"]),
    "relay_each": [("sinks", lambda value: relay_each(["a"], value))],
    "coalesce": [
        ("source", lambda value: list(coalesce(value, TimeSize()))),
        ("coalescer", lambda value: coalesce(["a"], value)),
    ],
    "TimeSize": options_of(TimeSize, ["window", "max_bytes"]),
    "Idle": [("seconds", Idle)],
    "Pattern": [("pattern", Pattern)],
    "ImmediateFirst": [("inner", ImmediateFirst)],
    "bounded": [("inner", bounded)],
    "ArtifactScanner": [
        ("mode", ArtifactScanner),
        ("path", lambda value: ArtifactScanner("element", value)),
        ("text", lambda value: ArtifactScanner("value").feed(value)),
    ],
    **{
        f"{cls.__name__}.feed": [("text", lambda value, cls=cls: Batcher(cls()).feed(value, 0.0))] for cls in STRATEGIES
    },
}


@pytest.mark.parametrize("entry", ENTRY_POINTS)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # clients that were made in good order are dropped here
def test_every_entry_point(entry):
    """Every argument of every entry point, given one of everything: taken, or refused by name."""
    for argument, call in ENTRY_POINTS[entry]:
        for value in ODD:
            try:
                call(value)
            except GenesysStreamError as error:
                complaint = error
            except BaseException as error:
                raise AssertionError(f"{entry}: {argument} raised {type(error).__name__}: {error}") from error
            else:
                continue
            assert getattr(complaint, "argument", "named")
            assert 0 < len(str(complaint)) < 2000, (entry, argument)


ROUND = []
ROUND.append(ROUND)
NAMED = [
    ("burst", lambda: Rate(0, 1.0)),
    ("burst", lambda: Rate("40", 1.0)),
    ("per_second", lambda: Rate(1, 0)),
    ("per_second", lambda: Rate(1, float("nan"))),
    ("device", lambda: Profile(5)),
    ("window", lambda: Profile(Rate(1, 1.0), -1.0)),
    ("push_rate", lambda: Client("i", "s", base_url=HOST, push_rate=40)),
    ("max_connections", lambda: Client("i", "s", base_url=HOST, max_connections="9")),
    ("total", lambda: Timeouts(total=float("inf"))),
    ("total", lambda: Timeouts(total=ROUND)),
    ("temperature", lambda: CLIENT.completions.stream(**ASK, temperature="hot")),
    ("stop", lambda: CLIENT.completions.stream(**ASK, stop=ROUND)),
    ("data", lambda: CLIENT.push.to("device", data=0)),
    ("total", lambda: Timeouts(total=10**400)),
    ("wait_initial", lambda: Retry(wait_initial=float("inf"))),
    ("attempts", lambda: Retry(attempts=-(10**5000))),
    ("window", lambda: TimeSize(10**400)),
    ("profile", lambda: CLIENT.push.to("device", profile="android")),
    ("mode", lambda: CLIENT.push.to("device", mode=[])),
    ("alert", lambda: CLIENT.push.to("device", alert="never")),
    ("targets", lambda: CLIENT.push.to(*["f" * 163] * 25)),
    ("content", lambda: CLIENT.push.send_payload("{}")),
    ("raw", lambda: CompletionChunk(None)),
    ("chunk", lambda: CompletionAccumulator().add({"choices": []})),
    ("batch", lambda: Envelope(["device"]).encode("text")),
    ("text", lambda: Batcher(TimeSize()).feed(b"x", 0.0)),
    ("now", lambda: Batcher(TimeSize()).feed("x", "0")),
    ("stream_id", lambda: StreamAssembler(5)),
    ("retry", lambda: relay(["x"], print, retry=3)),
    ("grace", lambda: relay(["x"], print, grace="5")),
    ("stream_id", lambda: relay(["x"], print, stream_id=5)),
    ("on_event", lambda: relay(["x"], print, on_event=5)),
    ("give_up_after", lambda: relay(["x"], print, give_up_after=float("nan"))),
    ("retry", lambda: ClientCredentials("i", "s", retry=3)),
    ("headers['X-Key']", lambda: Client("i", "s", base_url=HOST, headers={"X-Key": "a\r\nX-Evil: 1"})),
    ("extra_headers['X-Key']", lambda: CLIENT.completions.stream(**ASK, extra_headers={"X-Key": "a\nb"})),
    ("stop", lambda: CLIENT.completions.stream(**ASK, retry=Retry(), stop={"a"})),
    (
        "messages[0]",
        lambda: CLIENT.completions.stream(model="m", messages=[{"role": "user", "content": {"a"}}], stop="a"),
    ),
    ("extra_body", lambda: CLIENT.completions.stream(**ASK, stop="a", extra_body={"x": object()})),
    ("completions_path", lambda: Client("i", "s", base_url=HOST, completions_path="/a HTTP/1.1\r\nX-Evil: 1")),
    ("push_path", lambda: Client("i", "s", base_url=HOST, push_path="//evil.example\r\n")),
    ("data['key']", lambda: CLIENT.push.send(["device"], "t", "b", {"key": 5})),
    ("targets[1]", lambda: CLIENT.push.send(["device", None], "t", "b")),
]


@pytest.mark.parametrize(("argument", "call"), NAMED, ids=[f"{n}-{name}" for n, (name, _) in enumerate(NAMED)])
def test_the_argument_is_named(argument, call):
    """The error knows the argument by the name that its caller wrote."""
    with pytest.raises(InvalidArgument) as caught:
        call()

    assert argument == caught.value.argument


async def test_nothing_is_sent(world, fake, server):
    """What is refused has cost nothing: no connection, no token, no request."""
    async with world.client(server) as client:
        for name in ("model", "messages", "n", "extra_body", "extra_headers", "stop"):
            for value in (5j, b"b", object(), {"a\r\n": object()}, [object()]):
                with pytest.raises(GenesysStreamError):
                    client.completions.stream(**{**ASK, name: value})
        for name in PUSH:
            for value in (5j, b"b", object(), [object()], {"a": object()}):
                with pytest.raises(GenesysStreamError):
                    await client.push.send(**{**PUSH, name: value})

    assert fake.request_log == []
    assert fake.connections == 0


@given(st.text() | st.binary() | json_values)
@settings(max_examples=100, deadline=None)
def test_any_token(value):
    """A token that gets into a header cannot bring another header along."""
    try:
        Client(access_token=value, base_url=HOST).close()
    except GenesysStreamError:
        return
    assert isinstance(value, str)
    assert value.isascii() and value.isprintable() and " " not in value


@given(st.text(min_size=1), st.text())
@settings(max_examples=100, deadline=None)
def test_any_header(name, value):
    """A header is one header, or it is refused."""
    fake = FakeGenesys()
    with httpx.Client(transport=fake.transport) as http:
        try:
            client = Client("client-id", "client-secret", base_url=HOST, headers={name: value}, http_client=http)
        except GenesysStreamError:
            return
        client.push.send(**PUSH)
    assert not {"\r", "\n", "\0"} & set(name + value)


@given(st.recursive(json_values, lambda inner: st.dictionaries(st.text(), inner) | st.lists(inner)))
@settings(max_examples=200, deadline=None)
def test_any_payload(payload):
    """What a phone is sent by anybody is taken or refused, and leaves the text as it was when it is refused."""
    phone = StreamAssembler()
    phone.receive(PAYLOAD)
    for one in (payload, {"data": payload}, {**PAYLOAD, **payload} if isinstance(payload, dict) else payload):
        before = phone.text
        try:
            phone.receive(one)
        except InvalidArgument:
            assert phone.text == before


@given(json_values)
@settings(max_examples=200, deadline=None)
def test_any_message(value):
    """Whatever a message holds is sent as JSON, or refused."""
    for call in ({"messages": value}, {"messages": [value]}, {"extra_body": value}, {"stop": value}, {"n": value}):
        try:
            CLIENT.completions.stream(**{**ASK, **call})
        except InvalidArgument:
            continue
