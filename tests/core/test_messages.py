"""Messages, a bot's replies and the turn that they answer: what is sent, and what is refused before that."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from genesys_stream import AuthenticationError, Batch, BotTurn, InvalidArgument, ParseError
from genesys_stream._core.services.messages import Agentless, BotReply, no_message

BY_SMS: dict[str, Any] = {"from_address": "+13175550000", "messenger": "sms", "to_address": "+13175550001"}
TURN = BotTurn(bot_id="bot", bot_session_id="session", bot_version="1", language_code="en-us")
HEADER = {"secret_header": "X-Bot-Secret", "secret": "sesame"}
POSTED: dict[str, Any] = {
    "botId": "bot",
    "botVersion": "2",
    "botSessionId": "session",
    "messageId": "message",
    "inputMessage": {"type": "Text", "text": "Hi"},
    "languageCode": "en-us",
    "botSessionTimeout": 4320,
    "genesysConversationId": "conversation",
    "parameters": {"name": "Ada"},
}


class TestAgentless:
    def test_a_message_has_the_fields_of_the_sdks_model(self) -> None:
        """Those that are not given are left out, and text is as it was."""
        assert json.loads(Agentless(**BY_SMS).encode(Batch("Hello. "))) == {
            "fromAddress": "+13175550000",
            "toAddress": "+13175550001",
            "toAddressMessengerType": "sms",
            "textBody": "Hello. ",
        }

    def test_a_contact_may_be_named_and_a_conversation_joined(self) -> None:
        """Web messaging has no address."""
        message = Agentless(
            from_address="deployment",
            messenger="webmessaging",
            external_contact_id="contact",
            use_existing_active_conversation=True,
        )

        assert json.loads(message.encode(Batch("Hello."))) == {
            "fromAddress": "deployment",
            "externalContactId": "contact",
            "toAddressMessengerType": "webmessaging",
            "useExistingActiveConversation": True,
            "textBody": "Hello.",
        }

    @pytest.mark.parametrize("text", ["", " ", "\n\n"])
    def test_without_text_there_is_no_message(self, text: str) -> None:
        """A bubble without text says nothing, at the end neither."""
        assert Agentless(**BY_SMS).encode(Batch(text)) == b""
        assert Agentless(**BY_SMS).encode(Batch(text, state="complete")) == b""

    def test_an_sms_is_shorter(self) -> None:
        """The limits are those of the SDK's model."""
        assert Agentless(**BY_SMS).max_chars == 765
        assert Agentless(**BY_SMS | {"messenger": "open"}).max_chars == 2000

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"messenger": "fax"}, "messenger must be one of 'sms', .*'apple', not 'fax'"),
            ({"messenger": None}, "messenger must be one of .*, not None"),
            ({"from_address": ""}, "from_address must not be empty"),
            ({"from_address": 49}, "from_address must be a string, not int"),
            ({"to_address": " "}, "to_address must not be empty"),
            ({"to_address": None}, "to_address is missing, which says whom a message of 'sms' is for"),
            ({"external_contact_id": ["a"]}, "external_contact_id must be a string, not list"),
            ({"messenger": "webmessaging"}, "to_address is not for web messaging; give external_contact_id"),
            ({"messenger": "webmessaging", "to_address": None}, "external_contact_id is missing"),
            ({"messenger": "whatsapp", "external_contact_id": "a"}, "external_contact_id is not for .*'whatsapp'"),
            ({"use_existing_active_conversation": 1}, "use_existing_active_conversation must be bool"),
        ],
    )
    def test_what_the_service_would_refuse_is_refused_before(self, changes: dict[str, Any], problem: str) -> None:
        """The error names the argument."""
        with pytest.raises(InvalidArgument, match=problem):
            Agentless(**{**BY_SMS, **changes})

    def test_a_repr_has_no_address(self) -> None:
        """A phone number belongs into no log."""
        assert "+1317" not in repr(Agentless(**BY_SMS))

    def test_a_batch_is_a_batch(self) -> None:
        """Whatever else is handed over is named."""
        with pytest.raises(InvalidArgument, match="batch must be Batch, not str"):
            Agentless(**BY_SMS).encode("text")  # type: ignore[arg-type]  # that is what is refused
        with pytest.raises(InvalidArgument, match="batch must be Batch, not str"):
            BotReply(turn=TURN).encode("text")  # type: ignore[arg-type]  # as above

    def test_nothing_is_sent_without_text(self) -> None:
        """The flow asks for no request, and its receipt says so."""
        with pytest.raises(StopIteration) as done:
            next(no_message())

        assert (done.value.value.status, done.value.value.attempts) == ("empty", 0)


class TestBotReply:
    def test_a_reply_has_the_fields_of_the_sdks_model(self) -> None:
        """More follows, until the last one."""
        reply = BotReply(turn=TURN, intent="greet", parameters={"mood": "good"})

        assert json.loads(reply.encode(Batch("Hello. "))) == {
            "botId": "bot",
            "botVersion": "1",
            "botSessionId": "session",
            "botState": "MoreData",
            "languageCode": "en-us",
            "replyMessages": [{"type": "Text", "text": "Hello. "}],
            "intent": "greet",
            "parameters": {"mood": "good"},
        }
        assert reply.encode(Batch(" ")) == b""

    @pytest.mark.parametrize("end_state", ["Complete", "MoreData"])
    def test_the_last_one_ends_the_turn_without_text_as_well(self, end_state: str) -> None:
        """The flow waits for its state."""
        reply = json.loads(BotReply(turn=TURN, end_state=end_state).encode(Batch("", state="complete")))

        assert (reply["botState"], reply["replyMessages"]) == (end_state, [])
        assert "errorInfo" not in reply

    @pytest.mark.parametrize(
        ("batch", "code"),
        [
            (Batch("Hel", state="error", finish_reason="StreamTruncated"), "StreamTruncated"),
            (Batch("Hel", state="cancelled"), "cancelled"),
        ],
    )
    def test_a_stream_that_broke_off_has_failed(self, batch: Batch, code: str) -> None:
        """The text that there was is sent, and the error is named."""
        reply = json.loads(BotReply(turn=TURN).encode(batch))

        assert reply["botState"] == "Failed"
        assert reply["replyMessages"] == [{"type": "Text", "text": "Hel"}]
        assert reply["errorInfo"] == {"code": code, "message": "the answer broke off"}

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"turn": "turn"}, "turn must be BotTurn, not str"),
            ({"end_state": "Failed"}, "end_state must be 'Complete' or 'MoreData', not 'Failed'"),
            ({"end_state": None}, "end_state must be 'Complete' or 'MoreData', not None"),
            ({"intent": 1}, "intent must be str, not int"),
            ({"parameters": "a=b"}, "parameters must be Mapping or None, not str"),
            ({"parameters": {"a": 1}}, "parameters must be a mapping of strings to strings"),
            ({"parameters": {1: "a"}}, "parameters must be a mapping of strings to strings"),
        ],
    )
    def test_bad_input_is_named(self, changes: dict[str, Any], problem: str) -> None:
        """Before anything is sent."""
        with pytest.raises(InvalidArgument, match=problem):
            BotReply(**{"turn": TURN, **changes})


class TestBotTurn:
    @pytest.mark.parametrize("name", ["X-Bot-Secret", "x-bot-secret"])
    @pytest.mark.parametrize("as_text", [True, False])
    def test_what_was_posted_is_read(self, name: str, as_text: bool) -> None:
        """Header names have any case, and what is not known is kept."""
        body = json.dumps(POSTED)
        turn = BotTurn.from_request(body if as_text else body.encode(), {"Host": "bot", name: "sesame"}, **HEADER)

        assert turn == BotTurn(
            bot_id="bot",
            bot_version="2",
            bot_session_id="session",
            message_id="message",
            language_code="en-us",
            conversation_id="conversation",
            text="Hi",
            parameters={"name": "Ada"},
            extra={"botSessionTimeout": 4320},
        )

    def test_a_turn_may_have_no_text(self) -> None:
        """Such as a button that was pressed; null counts as left out."""
        content = [{"contentType": "ButtonResponse"}]
        posted = {"botId": "b", "botSessionId": "s", "inputMessage": {"type": "Structured", "content": content}}
        turn = BotTurn.from_request(json.dumps({**posted, "parameters": None}), {"x-bot-secret": "sesame"}, **HEADER)

        assert (turn.text, turn.content, turn.parameters) == ("", tuple(content), {})

    @pytest.mark.parametrize(
        "headers", [{}, {"X-Bot-Secret": "other"}, {"X-Bot-Secret": ""}, {"X-Bot-Secret": "sesame\ud800"}]
    )
    def test_a_request_without_the_secret_is_refused(self, headers: dict[str, str]) -> None:
        """It is not read at all."""
        with pytest.raises(AuthenticationError, match="does not carry the shared secret") as caught:
            BotTurn.from_request(b"nonsense", headers, **HEADER)

        assert caught.value.status == 401

    def test_a_secret_may_be_any_string(self) -> None:
        """Half a surrogate pair, too, which UTF-8 has no bytes for."""
        known = {"secret_header": "X-Bot-Secret", "secret": "\ud800"}

        assert BotTurn.from_request(json.dumps(POSTED), {"X-Bot-Secret": "\ud800"}, **known).text == "Hi"
        with pytest.raises(AuthenticationError):
            BotTurn.from_request(json.dumps(POSTED), {"X-Bot-Secret": "?"}, **known)

    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            (b"nonsense", ("it is not JSON",)),
            (b"\xff", ("it is not JSON",)),
            (b"[" * 100_000, ("it is not JSON",)),
            (b"[]", ("expected an object, not a list",)),
            (b"{}", ("botId: is missing", "botSessionId: is missing")),
            ({**POSTED, "botId": 1}, ("botId: expected str, not int",)),
            ({**POSTED, "inputMessage": "Hi"}, ("inputMessage: expected an object, not str",)),
            ({**POSTED, "inputMessage": {"text": ["Hi"]}}, ("inputMessage.text: expected str, not a list",)),
            ({**POSTED, "inputMessage": {"content": {}}}, ("inputMessage.content: expected a list, not an object",)),
            ({**POSTED, "parameters": []}, ("parameters: expected an object, not a list",)),
        ],
    )
    def test_a_body_that_is_no_turn_says_why(self, body: Any, fields: tuple[str, ...]) -> None:
        """Each problem names its field, and quotes nothing."""
        content = body if isinstance(body, bytes) else json.dumps(body)
        with pytest.raises(ParseError, match="the body is no turn of a bot: ") as caught:
            BotTurn.from_request(content, {"X-Bot-Secret": "sesame"}, **HEADER)

        assert caught.value.fields == fields

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            ({"body": {}}, "body must be bytes or a string, not dict"),
            ({"headers": []}, "headers must be Mapping, not list"),
            ({"secret": ""}, "secret must not be empty"),
            ({"secret": None}, "secret must be a string, not None"),
            ({"secret_header": ""}, "secret_header must not be empty"),
        ],
    )
    def test_bad_input_is_named(self, arguments: dict[str, Any], problem: str) -> None:
        """An empty secret would let everybody in."""
        given_: dict[str, Any] = {"body": b"{}", "headers": {}, **HEADER, **arguments}
        with pytest.raises(InvalidArgument, match=problem):
            BotTurn.from_request(given_.pop("body"), given_.pop("headers"), **given_)

    def test_a_repr_has_nothing_that_was_said(self) -> None:
        """A turn may be logged."""
        turn = BotTurn.from_request(json.dumps(POSTED), {"X-Bot-Secret": "sesame"}, **HEADER)

        assert "text=<2 characters>" in repr(turn)
        assert "Ada" not in repr(turn)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda v: st.lists(v) | st.dictionaries(st.sampled_from([*POSTED, "text"]), v),
        )
    )
    def test_any_json_is_read_or_refused(self, value: Any) -> None:
        """There is no other way out."""
        read: list[BotTurn] = []
        with contextlib.suppress(ParseError):
            read.append(BotTurn.from_request(json.dumps(value), {"X-Bot-Secret": "sesame"}, **HEADER))

        assert all(turn.bot_id and turn.bot_session_id for turn in read)
