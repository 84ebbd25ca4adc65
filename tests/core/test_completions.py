"""The request for a completion, and a whole answer."""

import json

import pytest
from attrs import evolve
from hypothesis import HealthCheck, settings as hypothesis_settings
from tests.core.samples import ASK, CLIENT, DONE, HELLO, LIMITED, OPENED, ROLE, a_call, delta

from genesys_stream import _errors
from genesys_stream._core.http.exchange import Reply
from genesys_stream._core.http.retry import Retry
from genesys_stream._core.reading.completions import (
    _OF_THE_CALL,
    _OPTIONS,
    CompletionOptions,
    complete,
    completion_call,
)
from genesys_stream._values import Message, Timeouts, ToolCall

at_leisure = hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

ROUND = {"role": "user"}
ROUND["content"] = ROUND


class TestCreate:
    def ask(self, *replies):
        conversation = complete(a_call(stream=False), reauthorise=True)
        next(conversation)
        for reply in replies[:-1]:
            conversation.send(reply)
        with pytest.raises(StopIteration) as done:
            conversation.send(replies[-1])
        return done.value.value

    def test_json(self):
        """A whole completion comes as JSON."""
        body = b'{"choices": [{"message": {"content": "Hello"}}]}'

        assert self.ask(Reply(503), Reply(200, {"content-type": "application/json"}, body)).text == "Hello"

    @pytest.mark.parametrize("end", [DONE, b""])
    def test_stream(self, end):
        """A gateway that streams all the same is understood."""
        assert self.ask(evolve(OPENED, body=HELLO.removesuffix(DONE) + end)).text == "Hello"

    @pytest.mark.parametrize(
        ("body", "cls"),
        [(ROLE + delta("Hel"), _errors.StreamTruncated), (ROLE + delta("Hel") + LIMITED, _errors.RateLimited)],
    )
    def test_half_a_stream(self, body, cls):
        """Half a completion is an error that has it."""
        conversation = complete(a_call(stream=False), reauthorise=True)
        next(conversation)
        with pytest.raises(cls) as caught:
            conversation.send(evolve(OPENED, body=body))

        assert caught.value.partial.text == "Hel"

    def test_page(self):
        """A page is an error."""
        conversation = complete(a_call(stream=False), reauthorise=True)
        next(conversation)
        with pytest.raises(_errors.UnexpectedContent):
            conversation.send(Reply(200, {"content-type": "text/html"}, b"<html>"))


def body_of(call):
    return json.loads(call.request.content)


class TestCall:
    @pytest.mark.parametrize(("stream", "accept"), [(True, "text/event-stream"), (False, "application/json")])
    def test_request(self, stream, accept):
        """The request says what is wanted, and in which form."""
        request = a_call(stream=stream, extra_headers={"X-Mine": "yes"}).request

        assert (request.method, request.url) == ("POST", "https://api.mypurecloud.com/llm")
        assert body_of(a_call(stream=stream)) == {"model": "m", "messages": ASK, "stream": stream}
        assert {**request.headers}["Accept"] == accept
        assert {**request.headers}["X-Mine"] == "yes"
        assert request.token_margin > 0

    def test_options(self):
        """Options go into the body under their names, None stays out, and fields of one's own come last."""
        call = a_call(temperature=0.5, top_p=None, n=3, metadata={"a": "b"}, extra_body={"seed": 1, "mine": [None]})

        assert body_of(call) == {
            "model": "m",
            "messages": ASK,
            "stream": True,
            "temperature": 0.5,
            "n": 3,
            "metadata": {"a": "b"},
            "seed": 1,
            "mine": [None],
        }
        assert call.choices == 3

    @pytest.mark.parametrize(("options", "n"), [({}, 1), ({"n": None}, 1), ({"extra_body": {"n": 2}}, 2)])
    def test_choices(self, options, n):
        """As many choices are waited for as were asked for, in whichever way."""
        assert a_call(**options).choices == n

    def test_messages(self):
        """Messages may be mappings or values of this library, with halves of characters joined."""
        messages = (
            Message("user", "\ud83d\ude00"),
            {"role": "tool", "content": None, "tool_calls": [ToolCall(id="c")]},
        )
        call = completion_call(CLIENT, model="m", messages=messages, stream=True, options={})

        assert body_of(call)["messages"] == [
            {"role": "user", "content": "😀"},
            {"role": "tool", "content": None, "tool_calls": [{"id": "c", "function": {}}]},
        ]

    def test_every_option_has_its_type(self):
        """Each option of the body is checked, and one of its type is sent as it is."""
        of_a_type = {int: 1, float: 0.5, str: "x", bool: True, list: ["x"], dict: {"x": 1}}
        assert _OPTIONS.keys() == CompletionOptions.__annotations__.keys() - set(_OF_THE_CALL)
        for name, types in _OPTIONS.items():
            for type_ in types:
                call = a_call(**{name: of_a_type[type_]})
                assert json.loads(call.request.content)[name] == of_a_type[type_]

    def test_response_format(self):
        """A class stands for its JSON schema."""
        sent = body_of(a_call(response_format=Timeouts))["response_format"]

        assert sent["type"] == "json_schema"
        assert sent["json_schema"]["name"] == "Timeouts"
        assert body_of(a_call(response_format={"type": "json_object"}))["response_format"] == {"type": "json_object"}

    @pytest.mark.parametrize(
        ("stream_options", "wanted"),
        [(None, False), ({}, False), ({"include_usage": False}, False), ({"include_usage": True}, True)],
    )
    def test_usage_wanted(self, stream_options, wanted):
        """Whether the usage follows the text depends on the stream's options."""
        assert a_call(stream_options=stream_options).usage_wanted is wanted
        assert a_call(extra_body={"stream_options": stream_options}).usage_wanted is wanted

    def test_settings(self):
        """Timeouts and the retry policy may be set for one call."""
        call = a_call(timeouts=Timeouts(total=1.0), retry=Retry(attempts=9))

        assert (call.settings.timeouts.total, call.settings.retry.attempts) == (1.0, 9)
        assert a_call().settings == CLIENT

    @pytest.mark.parametrize(
        ("argument", "changes"),
        [
            ("colour", {"options": {"colour": 1}}),
            ("model", {"model": ""}),
            ("model", {"model": None}),
            ("messages", {"messages": "Hi"}),
            ("messages", {"messages": {"role": "user"}}),
            ("messages", {"messages": iter(ASK)}),
            ("messages", {"messages": []}),
            ("messages[1]", {"messages": [*ASK, "Hi"]}),
            ("messages[0]['role']", {"messages": [{"content": "Hi"}]}),
            ("messages[0]['content']", {"messages": [{"role": "user", "content": 5}]}),
            ("messages[0]", {"messages": [ROUND]}),
            ("messages[1]", {"messages": [*ASK, {"role": "user", "content": b"Hi"}]}),
            ("extra_body", {"options": {"extra_body": {"x": object()}}}),
            ("extra_body", {"options": {"extra_body": 0}}),
            ("extra_headers", {"options": {"extra_headers": 0}}),
            ("temperature", {"options": {"temperature": float("nan")}}),
            ("temperature", {"options": {"temperature": "hot"}}),
            ("temperature", {"options": {"temperature": True}}),
            ("max_tokens", {"options": {"max_tokens": 1.5}}),
            ("stop", {"options": {"stop": {"a", "b"}}}),
            ("tools", {"options": {"tools": "search"}}),
            ("logit_bias", {"options": {"logit_bias": {"50256": float("inf")}}}),
            ("response_format", {"options": {"response_format": str}}),
            ("response_format", {"options": {"response_format": list[int]}}),
            ("logprobs", {"options": {"logprobs": 1}}),
            ("n", {"options": {"n": 0}}),
            ("n", {"options": {"n": True}}),
            ("n", {"options": {"n": 1.5}}),
            ("n", {"options": {"extra_body": {"n": "two"}}}),
            ("extra_body", {"options": {"extra_body": [1]}}),
            ("extra_headers['X']", {"options": {"extra_headers": {"X": 1}}}),
            ("timeouts", {"options": {"timeouts": 5}}),
            ("retry", {"options": {"retry": 5}}),
        ],
    )
    def test_refuses(self, argument, changes):
        """What is invalid is refused by its name before anything is sent."""
        with pytest.raises(_errors.InvalidArgument) as caught:
            completion_call(CLIENT, **{"model": "m", "messages": ASK, "stream": True, "options": {}, **changes})

        assert caught.value.argument == argument
