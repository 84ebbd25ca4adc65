"""A stream in virtual time: retries before the first delta, none after it, the deadlines, and what complete means."""

import gzip
import json
from collections import deque
from copy import copy, deepcopy

import pytest
from attrs import define, evolve
from hypothesis import HealthCheck, given, settings as hypothesis_settings, strategies as st
from tests.core.samples import (
    ANTHROPIC,
    CLIENT,
    COHERE,
    DONE,
    EMPTY,
    GEMINI,
    HELLO,
    INVALID,
    LIMITED,
    MALFORMED,
    OPENED,
    PING,
    RESPONSES,
    ROLE,
    USAGE,
    a_call,
    delta,
    event,
    typed,
)
from tests.strategies import cuts

from genesys_stream import _errors
from genesys_stream._core.http.exchange import Reply
from genesys_stream._core.http.retry import Retry
from genesys_stream._core.reading.stream import Action, StreamState
from genesys_stream._values import Timeouts

at_leisure = hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def a_stream(now=0.0, **options):
    return StreamState(a_call(**options), reauthorise=True, now=now)


@define
class Body:
    """What a reply's body does: pieces, each after so many seconds, and then its end, or what broke it."""

    pieces: list
    end: BaseException | None = None
    reply: Reply = OPENED
    gap: float = 0.1


@define
class Played:
    state: StreamState
    chunks: list
    openings: list
    now: float
    states: list

    @property
    def text(self):
        return "".join(chunk.text for chunk in self.chunks)

    @property
    def failure(self):
        return self.state.failure


def play(state, *answers, now=0.0):
    """Play a shell: open what is to be opened, read what comes, and look at the clocks when they are due."""
    answers, played = deque(answers), Played(state, [], [], now, [])
    while state.next_action is not Action.NOTHING:
        played.states.append(state.next_action)
        if state.next_action is Action.OPEN:
            body = _open(state, answers, played)
        elif state.next_action is Action.READ:
            _read(state, body, played)
        else:
            played.chunks += state.ended(played.now)
    assert state.due is None
    assert not state.expire(played.now + 1e9)
    assert state.receive(HELLO, played.now) == state.ended(played.now) == ()
    assert state.lost(_errors.ConnectionLost("again"), played.now) == ()
    assert state.next_action is Action.NOTHING
    return played


def _advance(state, to, played):
    """Let time pass; returns whether a clock ran out before."""
    if state.due is not None and state.due <= to:
        played.now = max(played.now, state.due)
        assert state.expire(played.now)
        return True
    played.now = to
    assert not state.expire(to)
    return False


def _open(state, answers, played):
    conversation = state.opening()
    attempt = next(conversation)
    while True:
        if _advance(state, played.now + attempt.after, played):
            return None
        played.openings.append((played.now, attempt))
        answer = answers.popleft()
        try:
            attempt = conversation.send(answer.reply if isinstance(answer, Body) else answer)
        except StopIteration as done:
            state.opened(done.value, played.now)
            return evolve(answer, pieces=deque(answer.pieces))
        except _errors.GenesysStreamError as error:
            state.refused(error)
            return None


def _read(state, body, played):
    if _advance(state, played.now + body.gap, played):
        return
    if body.pieces:
        played.chunks += state.receive(body.pieces.popleft(), played.now)
    elif body.end is None:
        played.chunks += state.ended(played.now)
    else:
        played.chunks += state.lost(body.end, played.now)


def raws(played):
    return [chunk.raw for chunk in played.chunks]


def parsed(stream):
    return [json.loads(line[6:]) for line in stream.split(b"\n") if line[:7] == b"data: {"]


# ---------------------------------------------------------------------------------------------------------------------


class TestWhole:
    def test_hands_out_everything(self):
        """A stream is read to [DONE], its chunks as they came, and then drained."""
        played = play(a_stream(), Body([HELLO]))

        assert raws(played) == parsed(HELLO)
        assert played.states == [Action.OPEN, Action.READ, Action.DRAIN]
        assert (played.text, played.failure) == ("Hello", None)
        assert played.state.complete and played.state.committed
        assert played.state.completion.usage.total_tokens == 7

    _parts = st.sampled_from([ROLE, EMPTY, PING, delta("Hel"), delta("lo", index=1), delta(finish="stop"), USAGE])
    _ends = st.sampled_from(
        [b"", DONE, DONE + delta("after"), LIMITED, INVALID, MALFORMED, event(b"[1]"), event({"choices": 1})]
    )

    @at_leisure
    @given(st.data(), st.lists(_parts, max_size=6), _ends, st.booleans())
    def test_any_cut(self, data, parts, end, packed):
        """Any cut of any body hands out the same chunks, and ends alike."""
        body = b"".join(parts) + end
        reply = OPENED
        if packed:
            body = gzip.compress(body, mtime=0)
            reply = evolve(reply, headers={**reply.headers, "content-encoding": "gzip"})

        def outcome(pieces):
            played = play(a_stream(retry=Retry(attempts=1)), Body(pieces, reply=reply, gap=0.0))
            state = played.state
            return raws(played), type(played.failure), str(played.failure), state.committed, state.completion

        assert outcome(data.draw(cuts(body))) == outcome([body])

    @pytest.mark.parametrize(
        ("n", "parts", "whole"),
        [
            (1, [delta("a"), DONE], True),
            (1, [DONE], True),
            (1, [ROLE, DONE], True),
            (1, [delta("a", finish="stop")], True),
            (1, [delta("a"), delta(finish="length"), USAGE], True),
            (1, [delta("a")], False),
            (1, [ROLE], False),
            (1, [], False),
            (2, [delta("a", finish="stop")], False),
            (2, [delta("a", finish="stop"), delta("b", index=1)], False),
            (2, [delta("a", finish="stop"), delta("b", index=1, finish="stop")], True),
            (2, [delta("a", finish="stop"), delta("b", index=1), DONE], True),
        ],
    )
    @pytest.mark.parametrize("broken", [False, True])
    def test_complete(self, n, parts, whole, broken):
        """Complete means [DONE], or a finish reason for each choice that was asked for, however the body ends."""
        end = _errors.ConnectionLost("reset") if broken else None
        played = play(a_stream(n=n, retry=Retry(attempts=1)), Body(parts, end))

        assert (played.failure is None) == played.state.complete == whole
        if not whole:
            assert isinstance(played.failure, _errors.ConnectionLost if broken else _errors.StreamTruncated)
            assert played.failure.partial == played.state.completion
            assert played.failure.partial.text == played.text
        else:
            assert raws(played) == parsed(b"".join(parts))

    def test_nothing_after_done(self):
        """What comes after [DONE] is not read, and a connection that breaks then does no harm."""
        played = play(a_stream(), Body([delta("a") + DONE + delta("b"), INVALID], _errors.ConnectionLost("reset")))

        assert (played.text, played.failure) == ("a", None)

    def test_drain(self):
        """A body whose meaning is complete needs no clock."""
        state = a_stream(timeouts=Timeouts(total=10))
        state.opened(OPENED, 0.0)
        state.receive(HELLO, 1.0)

        assert (state.next_action, state.due, state.failure) == (Action.DRAIN, None, None)
        assert state.lost(_errors.ConnectionLost("reset"), 2.0) == ()
        assert (state.next_action, state.failure) == (Action.NOTHING, None)

    def test_a_chunk_that_is_none(self):
        """The chunks before one that makes no sense are handed out, those that came with it included."""
        played = play(a_stream(), Body([delta("a"), delta("b") + event({"choices": [1]}) + delta("c")]))

        assert (played.text, type(played.failure)) == ("ab", _errors.MalformedEvent)

    def test_too_early(self):
        """Bytes, or an end, of a connection that was not opened mean nothing."""
        state = a_stream()

        assert state.receive(HELLO, 0.0) == state.ended(0.0) == ()
        assert state.next_action is Action.OPEN


class TestKinds:
    def test_json(self):
        """A gateway that does not stream gives its whole answer as one chunk, with its tool calls."""
        calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
        choice = {"message": {"content": "Hello", "tool_calls": calls}, "finish_reason": "stop"}
        body = json.dumps({"choices": [choice]}).encode()
        played = play(a_stream(), Body([body[:9], body[9:]], reply=Reply(200, {"content-type": "application/json"})))
        (chunk,) = played.chunks

        assert (chunk.text, played.failure, played.state.complete) == ("Hello", None, True)
        assert played.state.completion.choices[0].message.tool_calls[0].function.arguments == "{}"

    def test_json_that_says_nothing(self):
        """An answer that is empty is an answer."""
        body = json.dumps({"choices": [{"message": {"content": ""}}]}).encode()
        played = play(a_stream(), Body([body], reply=Reply(200)))

        assert len(played.chunks) == 1
        assert played.failure is None

    def test_json_cut_off(self):
        """Half an answer is asked for again."""
        body = b'{"choices": [{"message": {"content": "Hel'
        half = Body([body], _errors.ConnectionLost("reset"), Reply(200))

        assert play(a_stream(), half, Body([HELLO])).text == "Hello"

    def test_error_with_200(self):
        """An error object with status 200 is the same exception as with its own."""
        body = b'{"error": {"code": "invalid_request", "message": "no such model"}}'
        played = play(a_stream(), Body([body], reply=Reply(200, {"content-type": "application/json"})))

        assert isinstance(played.failure, _errors.BadRequest)

    def test_page(self):
        """A page is an error that shows how it begins, and is not asked for again."""
        played = play(a_stream(), Body([b"<html>Sign in"], reply=Reply(200, {"content-type": "text/html"})))

        assert isinstance(played.failure, _errors.UnexpectedContent)
        assert played.failure.first_bytes == b"<html>Sign in"
        assert len(played.openings) == 1


class TestOtherFormats:
    @pytest.mark.parametrize(
        ("body", "name", "types"),
        [
            (ANTHROPIC, "Anthropic's Messages API", "message_start"),
            (RESPONSES, "OpenAI's Responses API", "response.created"),
            (COHERE, "Cohere's Chat API", "message-start"),
            (event({"event_type": "stream-start", "generation_id": "1"}), "Cohere's Chat API", "stream-start"),
        ],
    )
    @pytest.mark.parametrize("cut", [10**6, 1])
    def test_known(self, body, name, types, cut):
        """A stream of another format is asked for once; the error names the events, the format and what to do."""
        pieces = [body[at : at + cut] for at in range(0, len(body), cut)]
        played = play(a_stream(), Body([PING, *pieces]), Body([HELLO]))

        assert type(played.failure) is _errors.ProtocolError
        assert not played.failure.retryable
        assert len(played.openings) == 1
        assert str(played.failure).endswith(
            f"{types}; this is the format of {name}; set completions_path to a path that speaks OpenAI's chat completions"
        )

    @pytest.mark.parametrize("end", [b"", DONE])
    def test_unknown(self, end):
        """Of a stream of any other format the types of the events are named, or their keys, once it has ended."""
        body = typed("token", text="a") + typed("token", text="b") + event({"type": "end"}) + GEMINI
        played = play(a_stream(), Body([body + end]), Body([HELLO]))

        assert type(played.failure) is _errors.ProtocolError
        assert str(played.failure).endswith(": token, end, an object with candidates, usageMetadata, modelVersion")
        assert (len(played.openings), played.text) == (1, "")

    @pytest.mark.parametrize("other", [ANTHROPIC, RESPONSES, GEMINI, typed("status", state="queued")])
    @pytest.mark.parametrize("together", [False, True])
    def test_beside_chunks(self, other, together):
        """Events of other types do no harm where chunks come, too."""
        pieces = [ROLE, other, delta("a") + other, delta(finish="stop"), other, DONE]
        played = play(a_stream(), Body([b"".join(pieces)] if together else pieces))

        assert (played.text, played.failure) == ("a", None)

    def test_before_chunks(self):
        """Nor does an event of a type of its own before the first chunk."""
        played = play(a_stream(), Body([typed("status", state="queued"), HELLO]))

        assert (played.text, played.failure) == ("Hello", None)

    @pytest.mark.parametrize(
        "event_",
        [
            typed("ping"),
            typed("heartbeat", at=1),
            event({"type": "keep-alive"}),
            b"event: keepalive\ndata: {}\n\n",
            b"event: status\ndata: queued\n\n",
            event({}),
            event({"id": "1", "object": "chat.completion.chunk", "usage": None}),
        ],
    )
    def test_heartbeats(self, event_):
        """Heartbeats, and metadata without choices, are no other format: what ends after them is retried."""
        played = play(a_stream(), Body([event_]), Body([event_, HELLO]))

        assert (played.text, played.failure, len(played.openings)) == ("Hello", None, 2)

    def test_many_types(self):
        """Not more than a few types are named."""
        played = play(a_stream(), Body([b"".join(typed(f"type-{number}") for number in range(100))]))

        assert str(played.failure).endswith("type-6, type-7")

    def test_a_broken_connection(self):
        """A connection that breaks before it is known what comes is retried."""
        reset = _errors.ConnectionLost("reset")
        played = play(a_stream(), Body([typed("status", state="queued")], reset), Body([HELLO]))

        assert (played.text, len(played.openings)) == ("Hello", 2)


class TestRepetition:
    def test_a_message_that_repeats_the_stream(self):
        """A whole message at the end that repeats what was streamed is handed out without it."""
        whole = {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
        played = play(a_stream(), Body([ROLE + delta("Hel"), delta("lo") + event({"choices": [whole]}), DONE]))

        assert played.text == played.state.completion.text == "Hello"
        assert [chunk.finish_reason for chunk in played.chunks] == [None, None, None, "stop"]
        assert played.state.completion.finish_reason == "stop"


# What may go wrong with an attempt, and how it is reported.
_passing = st.one_of(
    st.sampled_from([Reply(429), Reply(502), Reply(503, {"retry-after": "7"}), Reply(504)]),
    st.sampled_from([_errors.ConnectFailed("no way"), _errors.ConnectionLost("reset"), _errors.PoolExhausted("full")]),
    st.builds(
        lambda noise, last, end: Body([*noise, last], end),
        st.lists(st.sampled_from([ROLE, EMPTY, PING, USAGE]), max_size=3),
        st.sampled_from([b"", LIMITED, event({"error": "overloaded"}), event({"status": 502, "message": "bad"})]),
        st.sampled_from([None, _errors.ConnectionLost("reset")]),
    ),
).map(deepcopy)  # an error keeps what was partial when it ended a stream
_final = st.sampled_from(
    [
        Reply(400),
        Reply(403),
        Reply(500),
        Reply(503, {"retry-after": "61"}),
        Body([ROLE, INVALID]),
        Body([MALFORMED]),
        Body([ROLE, event({"choices": 1})]),
        Body([event({"error": {"code": "rate_limit", "message": "Retry the request in [61] seconds"}})]),
    ]
)


class TestRetry:
    @at_leisure
    @given(st.lists(_passing, max_size=4), st.integers(1, 4))
    def test_before_the_first_delta(self, failures, attempts):
        """What passes is tried again within the policy; chunks that say nothing are handed out once, or never."""
        retry = evolve(CLIENT.retry, attempts=attempts)
        played = play(a_stream(retry=retry), *failures, Body([ROLE + EMPTY, HELLO]))

        if len(failures) < attempts:
            assert raws(played) == parsed(ROLE + EMPTY + HELLO)
            assert len(played.openings) == len(failures) + 1
            assert played.failure is None
            assert played.state.timing.chunks == len(played.chunks)
        else:
            assert played.chunks == []
            assert len(played.openings) == attempts
            assert played.failure.retryable
            assert not played.failure.partial.text
            assert not played.state.committed

    @at_leisure
    @given(st.lists(_passing, max_size=2), _final)
    def test_what_does_not_pass(self, failures, final):
        """What will not pass is not tried again."""
        played = play(a_stream(), *failures, final)

        assert played.chunks == []
        assert len(played.openings) == len(failures) + 1
        assert played.failure is not None

    @at_leisure
    @given(
        st.sampled_from([b"", LIMITED, event({"error": "overloaded"}), INVALID, MALFORMED, event({"choices": 1})]),
        st.sampled_from([None, _errors.ConnectionLost("reset"), _errors.TransportIdleTimeout("silent")]).map(copy),
        st.sampled_from(
            [delta("Hel"), delta(tool_calls=[{"index": 0}]), delta(refusal="No"), delta(finish="stop", index=1)]
        ),
        st.booleans(),
    )
    def test_after_the_first_delta(self, last, end, said, together):
        """Once something was said nothing is tried again, and all that was said comes before the failure."""
        pieces = [ROLE + said + last + DONE * bool(last)] if together else [ROLE, said, last or PING]
        played = play(a_stream(n=2), Body(pieces, end))

        assert raws(played) == parsed(ROLE + said)
        assert len(played.openings) == 1
        assert played.state.committed
        assert played.failure is not None
        assert played.failure.partial == played.state.completion

    @pytest.mark.parametrize("quiet", [ROLE, EMPTY, USAGE, delta(content=None), event({"choices": []})])
    def test_says_nothing(self, quiet):
        """A role, an empty delta and the usage are held back, and do not commit."""
        state = a_stream()
        state.opened(OPENED, 0.0)

        assert list(state.receive(quiet, 0.0)) == []
        assert not state.committed
        assert [chunk.raw for chunk in state.receive(delta("a"), 0.0)] == parsed(quiet + delta("a"))
        assert state.committed

    def test_waits(self):
        """Waits grow, and what the service asks for comes first."""
        played = play(a_stream(), Body([LIMITED]), Body([ROLE], gap=0.5), Body([HELLO]))

        assert [attempt.after for _, attempt in played.openings] == [0.0, 6.0, 2.0]
        assert [at for at, _ in played.openings] == pytest.approx([0.0, 6.1, 9.1])

    def test_partial_is_of_the_last_attempt(self):
        """What an earlier attempt received is not taken for the last one's."""
        told = event({"id": "first", "choices": [{"index": 0, "delta": {"role": "tool"}}]})
        played = play(a_stream(), Body([told]), Reply(400))

        assert (played.failure.partial.id, played.failure.partial.choices) == ("", ())

    def test_reauthorises_once(self):
        """A refused token is replaced, and that does not count as a failure."""
        played = play(a_stream(retry=Retry(attempts=1)), Reply(401, token="old"), Body([HELLO]))

        assert played.text == "Hello"
        assert played.openings[1][1].refused == "old"


CLOCKS = {
    "total": _errors.DeadlineExceeded,
    "first_token": _errors.FirstTokenTimeout,
    "token_idle": _errors.TokenIdleTimeout,
    "transport_idle": _errors.TransportIdleTimeout,
}


def when_out(timeouts, happened, *, begun=0.0):
    """The clocks that may run out first, as (time, names): the rule in its plainest form."""
    tokens = [at for at, what in happened if what != "ping"]
    started = {
        "total": 0.0,
        "first_token": None if tokens else 0.0,
        "token_idle": tokens[-1] if tokens else None,
        "transport_idle": max([begun, *(at for at, _ in happened)]),
    }
    ends = {name: at + timeouts[name] for name, at in started.items() if at is not None and timeouts[name] is not None}
    first = min(ends.values(), default=None)
    return first, {name for name, at in ends.items() if at == first}


class TestClocks:
    _seconds = st.none() | st.sampled_from([1, 2, 3, 5, 8])

    @at_leisure
    @given(
        st.fixed_dictionaries(dict.fromkeys(CLOCKS, _seconds)),
        st.lists(st.tuples(st.sampled_from([0, 1, 2, 4]), st.sampled_from(["ping", "token"])), max_size=8),
    )
    def test_any_order(self, timeouts, script):
        """Whatever comes when, the clock that runs out first ends the stream; heartbeats feed the transport's alone."""
        state = a_stream(timeouts=Timeouts(**timeouts), retry=Retry(attempts=1))
        assert state.due == min((timeouts[name] for name in ("total", "first_token") if timeouts[name]), default=None)
        state.opened(OPENED, 0)
        happened, now, said = [], 0, 0
        for gap, what in script:
            now += gap
            out, names = when_out(timeouts, happened)
            assert state.due == out
            if out is not None and out <= now:
                assert state.expire(now)
                assert type(state.failure) in {CLOCKS[name] for name in names}
                assert state.failure.seconds in {timeouts[name] for name in names}
                assert (state.next_action, state.due) == (Action.NOTHING, None)
                assert state.failure.partial.text == "a" * said
                return
            assert not state.expire(now)
            said += what == "token"
            assert len(state.receive(PING if what == "ping" else delta("a"), now)) == (what == "token")
            happened.append((now, what))
        assert state.due == when_out(timeouts, happened)[0]

    @at_leisure
    @given(
        st.fixed_dictionaries(dict.fromkeys(CLOCKS, _seconds)),
        st.lists(
            st.tuples(st.sampled_from([0, 1, 7, 100]), st.sampled_from(["open", "ping", "token", "look", "lost"]))
        ),
    )
    def test_never_due_in_the_past(self, timeouts, script):
        """After a look at the clocks none of them is due any more, however late the look was."""
        state = a_stream(timeouts=Timeouts(**timeouts), retry=evolve(CLIENT.retry, attempts=100))
        now = 0
        for gap, what in script:
            now += gap
            if what == "open" and state.next_action is Action.OPEN:
                state.opened(OPENED, now)
            elif what in {"ping", "token"}:
                state.receive(PING if what == "ping" else delta("a"), now)
            elif what == "lost" and state.next_action is Action.READ:
                state.lost(_errors.ConnectionLost("reset"), now)
            late = state.due is not None and state.due <= now
            assert state.expire(now) == late
            assert state.due is None or state.due > now
            assert (state.due is None) or state.next_action in {Action.OPEN, Action.READ}

    def test_first_token_includes_retries(self):
        """The first token has its time from the call on, however many connections that takes."""
        slow = Body([PING] * 9, gap=1.0)
        played = play(a_stream(timeouts=Timeouts(first_token=15.0)), slow, slow, slow)

        assert isinstance(played.failure, _errors.FirstTokenTimeout)
        assert (played.now, len(played.openings)) == (15.0, 2)

    def test_first_token_while_waiting(self):
        """A clock may run out between two attempts."""
        played = play(a_stream(timeouts=Timeouts(first_token=3.0)), Reply(503, {"retry-after": "50"}))

        assert isinstance(played.failure, _errors.FirstTokenTimeout)
        assert played.now == 3.0

    @pytest.mark.parametrize("first", [Body([LIMITED]), Reply(429, {"retry-after": "50"})])
    def test_no_time_to_wait(self, first):
        """Where a clock would run out during the wait for another attempt, the failure of the last one ends it."""
        hasty = _errors.DeadlineExceeded("no time")
        played = play(a_stream(timeouts=Timeouts(total=200.0)), first, hasty)

        assert isinstance(played.failure, _errors.RateLimited)

    def test_silence_before_the_first_token(self):
        """A connection that falls silent before anything was said is given up for another one."""
        silent = Body([ROLE, DONE], gap=9.0)
        played = play(a_stream(timeouts=Timeouts(transport_idle=8.0)), silent, Body([HELLO]))

        assert (played.text, len(played.openings)) == ("Hello", 2)

    @pytest.mark.parametrize(("timeouts", "due"), [(Timeouts(), 62.0), (Timeouts(token_idle=None, total=9), 9.0)])
    def test_every_token_winds_them(self, timeouts, due):
        """Once text comes, the next clock to run out is the one of the last token, unless the call's is sooner."""
        state = a_stream(timeouts=timeouts)
        state.opened(OPENED, 0.0)
        for now in (1.0, 2.0):
            state.receive(delta("a"), now)

        assert state.due == due

    def test_clocks_start_anew(self):
        """The next connection's silence is measured from its own beginning."""
        state = a_stream(timeouts=Timeouts(first_token=None, transport_idle=8.0))
        state.opened(OPENED, 0.0)
        state.lost(_errors.ConnectionLost("reset"), 1.0)

        assert state.due is None
        state.opened(OPENED, 100.0)
        assert state.due == 108.0

    @pytest.mark.parametrize("heartbeats", [False, True])
    def test_linger(self, heartbeats):
        """Once each choice has its finish reason, [DONE] and a usage asked for are waited for, but not for long."""
        asked = {"stream_options": {"include_usage": True}}
        pieces = [delta("a", finish="stop"), USAGE, *[PING] * 20 * heartbeats, DONE]
        played = play(a_stream(**asked), Body(pieces, gap=1.0 if heartbeats else 2.1))

        assert (played.text, played.failure) == ("a", None)
        assert played.state.completion.usage.total_tokens == 7
        assert Action.DRAIN not in played.states or not heartbeats

    @pytest.mark.parametrize(
        ("options", "end"), [({}, 6.5), ({"include_usage": False}, 6.5), ({"include_usage": True}, 11.0)]
    )
    def test_linger_ends(self, options, end):
        """A stream that said everything, and then nothing, is complete; sooner where no usage can follow."""
        played = play(a_stream(stream_options=options), Body([delta("a", finish="stop")], gap=6.0))

        assert (played.now, played.failure, played.state.complete) == (end, None, True)

    @pytest.mark.parametrize("pieces", [[DONE], [PING, DONE], [USAGE + DONE]])
    def test_what_follows_the_finish_reason_at_once(self, pieces):
        """[DONE] right after the finish reason is read, so that the connection can be used again."""
        played = play(a_stream(), Body([delta("a", finish="stop"), *pieces], gap=0.2))

        assert (played.failure, played.states[-1]) == (None, Action.DRAIN)

    @pytest.mark.parametrize("clock", ["total", "token_idle", "transport_idle"])
    def test_complete_in_time(self, clock):
        """A clock that runs out when all was said does no harm."""
        played = play(a_stream(timeouts=Timeouts(**{clock: 3.0})), Body([delta("a", finish="stop")], gap=2.0))

        assert (played.failure, played.state.complete) == (None, True)


class TestTiming:
    def test_of_a_stream(self):
        """The timing tells the wait for the first token, and the gaps between texts."""
        state = a_stream(now=100.0)
        assert (state.timing.first_token, state.timing.chunks, state.timing.last_activity) == (None, 0, None)
        state.opened(OPENED, 101.0)
        for at, piece in [
            (102.0, ROLE),
            (103.0, delta("a")),
            (104.0, PING),
            (107.0, delta("b") + delta("c")),
            (108.0, EMPTY),
        ]:
            state.receive(piece, at)
        state.receive(delta("d"), 109.0)

        timing = state.timing
        assert (timing.first_token, timing.chunks, timing.last_activity) == (3.0, 6, 109.0)
        assert (timing.mean_gap, timing.max_gap) == (3.0, 4.0)

    def test_of_one_token(self):
        """One token has no gaps."""
        state = a_stream()
        state.opened(OPENED, 0.0)
        state.receive(delta("a"), 1.0)

        assert (state.timing.mean_gap, state.timing.max_gap) == (0.0, 0.0)
