"""Nothing that ends up in a log, a report or a terminal shows a secret, a token, a device or what was said."""

import base64
import json
import logging
import pickle
import traceback
from pathlib import Path

import pytest
from tests.shells.wire import CHUNKED, Wire, chunked
from tests.shells.worlds import Dressed

from genesys_stream import (
    Batch,
    Batcher,
    ClientCredentials,
    CompletionAccumulator,
    Envelope,
    EventDecoder,
    GenesysStreamError,
    InvalidArgument,
    Retry,
    StreamAssembler,
    Timeouts,
    TimeSize,
)
from genesys_stream.testing import FakeGenesys

SECRET = "sesame-secret"
BASIC = base64.b64encode(f"client-id:{SECRET}".encode()).decode()
TOKEN = "sesame-access-token"
DEVICE = "sesame-device-token"
ASKED = "sesame-question"
SAID = "sesame-answer"
WORD = "sesame"
ASK = {"model": "gpt-4o", "messages": [{"role": "user", "content": ASKED}]}
PUSH = ([DEVICE], ASKED, SAID, {"key": SAID})
ONCE = Retry(attempts=1)
HERE = Path(__file__).parent


@pytest.fixture
def fake():
    return FakeGenesys(client_secret=SECRET)


def shown(error):
    """An exception as a tool shows it that prints the locals of every frame; the frames of the tests are left out."""
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    seen = set()

    def lines(one):
        if one is None or id(one) in seen:
            return
        seen.add(id(one))
        yield from one.format_exception_only()
        for frame in one.stack:
            if Path(frame.filename).parent != HERE:
                yield f"{frame.filename}:{frame.lineno} {frame.name} {frame.locals}"
        yield from lines(one.__cause__)
        yield from lines(one.__context__)

    return "\n".join(lines(report)) + repr(error) + str(error)


def check(text, *, tokens=(), where=""):
    for secret in (WORD, BASIC, *tokens):
        assert secret not in text, f"{where}: {secret!r} in {text[max(0, text.index(secret) - 600) :][:900]}"


def check_pickle(error, tokens):
    """What was said travels with an exception, in `partial` and `report`; secrets do not."""
    raw = pickle.dumps(error)
    for secret in (SECRET, BASIC, TOKEN, DEVICE, *tokens):
        assert secret.encode() not in raw


def chunk(text, finish_reason=None):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}
    return f"data: {json.dumps({'choices': [choice]})}\n\n".encode()


MISHAPS = {
    "none": lambda fake: None,
    "drop": lambda fake: fake.completions.drop(),
    "drop later": lambda fake: fake.completions.drop(after_events=3, text=[SAID, SAID]),
    "reset later": lambda fake: fake.completions.drop(after_events=3, text=[SAID, SAID], reset=True),
    "truncated": lambda fake: fake.completions.say([SAID], finish_reason=None, done=False),
    "stall": lambda fake: fake.completions.stall(5, after_events=2, text=[SAID, SAID]),
    "error event": lambda fake: fake.completions.error_event(after_events=2, text=[SAID, SAID]),
    "malformed": lambda fake: fake.completions.raw([chunk(SAID), f'data: {{"{SAID}\n\n'.encode()]),
    "not an object": lambda fake: fake.completions.raw([chunk(SAID), f'data: ["{SAID}"]\n\n'.encode()]),
    "not a chunk": lambda fake: fake.completions.raw([f'data: {{"choices": "{SAID}"}}\n\n'.encode()]),
    "too large": lambda fake: fake.completions.raw([chunk(SAID), b"data: " + SAID.encode() * 9999]),
    "status": lambda fake: fake.completions.fail(400),
    "refused": lambda fake: fake.completions.fail(401, times=2),
    "unknown client": lambda fake: fake.tokens.fail(401),
    "no token": lambda fake: fake.tokens.answer(200, json={"access_token": f"{WORD} {WORD}"}),
    "token lost": lambda fake: fake.tokens.drop(),
}
PUSH_MISHAPS = {
    "push status": lambda fake: fake.push.fail(400, times=None),
    "push drop": lambda fake: fake.push.drop(times=None),
    "push late": lambda fake: fake.push.late(2, times=None),
    "push lost": lambda fake: fake.push.lose_answer(times=None),
    "push refused": lambda fake: fake.push.fail(401, times=None),
}


class Stop(BaseException):
    """Like a Ctrl-C, and unlike one no business of pytest's."""


class TestAFullRun:
    @pytest.mark.parametrize("fault", [*MISHAPS.values(), *PUSH_MISHAPS.values()], ids=[*MISHAPS, *PUSH_MISHAPS])
    async def test_nothing_is_shown(self, world, fake, server, fault, caplog):
        """A stream, a relay, a whole completion and a push, with each fault: logs, reprs, tracebacks, pickles."""
        caplog.set_level(logging.INFO)
        caplog.set_level(logging.DEBUG, "genesys_stream")  # last, because it holds for the handler as well
        values, errors = [], []
        options = {
            "client_secret": SECRET,
            "retry": ONCE,
            "max_event_bytes": 4096,
            "timeouts": Timeouts(token_idle=0.1, push=0.1),
            "on_event": values.append,
            "headers": {"X-Api-Key": SECRET},
        }

        async def attempt(call):
            try:
                values.append(await call)
            except GenesysStreamError as error:
                errors.append(error)

        async def loop(stream):
            async for one in stream:
                values.append(one)

        async with world.client(server, **options) as client:
            stream = client.completions.stream(**ASK)
            sink = client.push.to(DEVICE, data={"key": SAID}, ref=SAID)
            relayed = client.completions.stream(**ASK)
            fake.completions.say([SAID], times=None)
            for call in (
                lambda: loop(stream),
                lambda: client.completions.create(**ASK),
                lambda: client.completions.stream(**ASK).result(),
                lambda: client.push.send(*PUSH),
                lambda: world.relay(relayed, sink, retry=ONCE, give_up_after=0.0, on_event=values.append),
            ):
                fault(fake)
                await attempt(call())
                fake.completions._queue.clear()
                fake.tokens._queue.clear()
            values += [client, client.completions, client.push, stream, sink, sink.limiter]
            values += [getattr(one, "it", one) for one in values if isinstance(one, Dressed)]
            values += [stream.completion, stream.timing]
        tokens = fake.issued_tokens
        errors += [error.__cause__ for error in errors if error.__cause__ is not None]
        for one in [*values, *errors]:
            report = getattr(one, "report", None) or one
            errors += [lost.error for lost in getattr(report, "undelivered", ()) if lost.error not in errors]

        assert bool(errors) == (fault is not MISHAPS["none"])
        check(caplog.text, tokens=tokens, where="the log")
        for value in values:
            check(f"{value!r} {value}" if type(value).__str__ is object.__str__ else repr(value), tokens=tokens)
        for error in errors:
            check(shown(error), tokens=tokens, where=repr(error))
            check_pickle(error, tokens)

    async def test_a_token_of_ones_own(self, world):
        """A connection that breaks while the request is sent, or after it, shows no token either."""
        for script in ([b""], [b"nonsense\r\n\r\n"], [CHUNKED + chunked(chunk(SAID)) + b"ZZ\r\n"]):
            with Wire(script) as wire:
                async with world.make({"base_url": wire.base_url, "access_token": TOKEN, "retry": ONCE}) as client:
                    for call in (client.completions.stream(**ASK).result(), client.push.send(*PUSH)):
                        with pytest.raises(GenesysStreamError) as caught:
                            await call
                        check(shown(caught.value))
                        check_pickle(caught.value, ())

    async def test_a_hook_that_raises(self, world, fake, server, caplog):
        """The log names what a hook raised, and does not say it."""

        def hook(event):
            raise ZeroDivisionError(SAID)

        fake.completions.say([SAID])
        async with world.client(server, access_token=fake.issue_token(), on_event=hook) as client:
            await client.completions.stream(**ASK).result()
            await client.push.send(*PUSH)

        assert caplog.text.count("ZeroDivisionError") == 4  # the start and the end of a stream, and of a push
        check(caplog.text, tokens=fake.issued_tokens)

    async def test_ctrl_c_in_a_hook(self, world, fake, server):
        """What passes through frames that have the token does not show it."""

        def hook(event):
            raise Stop

        async with world.client(server, access_token=fake.issue_token(), on_event=hook) as client:
            for call in (client.completions.stream(**ASK).result(), client.push.send(*PUSH)):
                with pytest.raises(Stop) as caught:
                    await call
                check(shown(caught.value), tokens=fake.issued_tokens)


class TestArguments:
    @pytest.mark.parametrize(
        "call",
        [
            lambda client: client.completions.stream(model="", messages=[{"role": "user", "content": ASKED}]),
            lambda client: client.completions.stream(**ASK, n=0),
            lambda client: client.completions.stream(model="m", messages=[{"role": 5, "content": ASKED}]),
            lambda client: client.completions.stream(**ASK, extra_headers={"X": f"{SECRET}\r\n"}),
            lambda client: client.completions.stream(**ASK, extra_body={"x": object()}),
            lambda client: client.push.to(DEVICE, data={"seq": SAID}),
            lambda client: client.push.to(DEVICE, ""),
            lambda client: client.push.to(DEVICE, data={"x": {"y": SAID}}),
            lambda client: client.with_options(headers={"X-Key": f"{SECRET}\n"}),
        ],
    )
    async def test_messages_name_the_argument_and_not_its_value(self, world, fake, server, call):
        """What is wrong with an argument is said without saying what it was."""
        async with world.client(server, client_secret=SECRET) as client:
            with pytest.raises(InvalidArgument) as caught:
                call(client)
        check(f"{caught.value} {caught.value!r}")
        check_pickle(caught.value, ())

    @pytest.mark.parametrize(
        "arguments",
        [
            {"client_secret": f"{SECRET}\n"},
            {"access_token": f"{SECRET} x"},
            {"access_token": SECRET, "client_secret": SECRET},
            {"client_secret": SECRET, "base_url": f"https://me:{SECRET}@host"},
            {"client_secret": SECRET, "base_url": f"https://host/?key={SECRET}"},
            {"client_secret": SECRET, "login_url": f"http://{SECRET}.example"},
            {"client_secret": SECRET, "headers": {"X-Key": f"{SECRET}\n"}},
            {"client_secret": SECRET, "completions_path": f"/a b{SECRET}"},
        ],
    )
    def test_constructors(self, world, arguments):
        """Neither the error nor its pickle has a secret in it."""
        options = {"client_id": "client-id", **arguments}
        if "access_token" in options and "client_secret" not in options:
            del options["client_id"]
        with pytest.raises(GenesysStreamError) as caught:
            world.make(options)
        check(f"{caught.value} {caught.value!r}")
        check_pickle(caught.value, ())


def test_reprs_of_the_parts():
    """Objects that hold text show how much there is, never the text."""
    decoder, accumulator, assembler, batcher = (
        EventDecoder(),
        CompletionAccumulator(),
        StreamAssembler(),
        Batcher(TimeSize()),
    )
    (event,) = decoder.feed(chunk(SAID))
    decoder.feed(SAID.encode())
    batcher.feed(SAID, 0.0)
    batch = Batch(SAID, before=SAID, stream_id="s", state="complete", total=len(SAID))
    envelope = Envelope([DEVICE], title=ASKED, data={"key": SAID}, ref=SAID)
    session = ClientCredentials("client-id", SECRET)

    for value in (decoder, accumulator, assembler, batcher, event, batch, envelope, session):
        check(f"{value!r} {value}")
