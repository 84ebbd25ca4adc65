"""Genesys Cloud's own messaging: agentless messages, and the Digital Bot Connector.

The names and limits are those of `SendAgentlessOutboundMessageRequest`, `OutgoingMessageRequest` and `ReplyMessage` in
Genesys' Python SDK, PureCloudPlatformClientV2 269.0.0.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from attrs import field, frozen

from ... import _errors
from ..._errors import InvalidArgument
from ..._values import Batch, PushReceipt
from ..._values._checks import check_kind, shown
from ..._wire import dumps, json_type, type_name
from ..http.retry import RequestFlow
from ..relaying.coalescers.prose import Sentence

AGENTLESS_PATH = "/api/v2/conversations/messages/agentless"
"""Documented for client credentials; the permission is conversation:message:create."""

BOT_REPLIES_PATH = "/api/v2/integrations/botconnectors/outgoing/messages"
"""A preview method of the SDK; the permission is integration:botconnector:send."""

MAX_CHARS = 2000
MAX_SMS_CHARS = 765
"""The longest text of a message, in characters, by the SDK's model; those of an SMS are fewer."""

PIECES = Sentence(max_latency=5.0, max_bytes=MAX_CHARS)
"""Where text is cut unless a relay is told otherwise: each piece is a bubble that stays, so half a sentence is worse
than a wait."""

Messenger: TypeAlias = Literal["sms", "whatsapp", "open", "webmessaging", "apple"]
_MESSENGERS = ("sms", "whatsapp", "open", "webmessaging", "apple")
_BY_CONTACT = ("sms", "open", "webmessaging")  # whose recipient may be named by an external contact


def _check_word(name: str, value: object, *, optional: bool = False) -> None:
    if optional and value is None:
        return
    if not isinstance(value, str):
        raise InvalidArgument(name, f"must be a string, not {type_name(value)}")
    if not value.strip():
        raise InvalidArgument(name, "must not be empty")


@frozen(kw_only=True)
class Agentless:
    """To whom messages go, and from where.

    Raises:
        InvalidArgument: An argument is of the wrong kind, or the messenger type does not take it.
    """

    from_address: str = field(repr=False)
    messenger: str
    to_address: str | None = field(default=None, repr=False)
    external_contact_id: str | None = field(default=None, repr=False)
    use_existing_active_conversation: bool = False

    def __attrs_post_init__(self) -> None:
        messenger = self.messenger
        if not isinstance(messenger, str) or messenger not in _MESSENGERS:
            names = ", ".join(map(repr, _MESSENGERS))
            raise InvalidArgument("messenger", f"must be one of {names}, not {shown(messenger)}")
        _check_word("from_address", self.from_address)
        _check_word("to_address", self.to_address, optional=True)
        _check_word("external_contact_id", self.external_contact_id, optional=True)
        check_kind("use_existing_active_conversation", self.use_existing_active_conversation, bool)
        if messenger == "webmessaging" and self.to_address is not None:
            raise InvalidArgument("to_address", "is not for web messaging; give external_contact_id")
        if messenger not in _BY_CONTACT and self.external_contact_id is not None:
            raise InvalidArgument("external_contact_id", f"is not for the messenger {messenger!r}; give to_address")
        if self.to_address is None and self.external_contact_id is None:
            name = "external_contact_id" if messenger == "webmessaging" else "to_address"
            raise InvalidArgument(name, f"is missing, which says whom a message of {messenger!r} is for")

    @property
    def max_chars(self) -> int:
        """The longest text of one message, in characters."""
        return MAX_SMS_CHARS if self.messenger == "sms" else MAX_CHARS

    def encode(self, batch: Batch) -> bytes:
        """Make the message of a batch; b"" for one without text, which is no message."""
        check_kind("batch", batch, Batch)
        if not batch.text.strip():
            return b""
        body: dict[str, Any] = {"fromAddress": self.from_address, "toAddressMessengerType": self.messenger}
        if self.to_address is not None:
            body["toAddress"] = self.to_address
        if self.external_contact_id is not None:
            body["externalContactId"] = self.external_contact_id
        if self.use_existing_active_conversation:
            body["useExistingActiveConversation"] = True
        return dumps({**body, "textBody": batch.text})


def no_message() -> RequestFlow[PushReceipt]:
    """Send nothing, for a batch without text; returns a receipt that says so."""
    return PushReceipt(status="empty", attempts=0)
    yield  # which makes it a flow like any other


def _size(value: object) -> str:
    return f"<{len(value)} characters>" if isinstance(value, str) else type_name(value)


@frozen(kw_only=True)
class BotTurn:
    """What a user said to a bot of yours: the request that Genesys Cloud's Digital Bot Connector posts to it.

    Attributes:
        bot_id: The bot's id.
        bot_session_id: The session, which the replies belong to.
        bot_version: The bot's version.
        message_id: The id of what the user said.
        language_code: The language, such as "en-us".
        conversation_id: The conversation of Genesys Cloud.
        text: What the user said; "" where it is no text.
        content: What else came with it, such as a button that was pressed, as Genesys sent it.
        parameters: What the Architect flow passes to the bot.
        extra: The request's other fields.
    """

    bot_id: str
    bot_session_id: str
    bot_version: str = ""
    message_id: str = ""
    language_code: str = ""
    conversation_id: str = ""
    text: str = field(default="", repr=_size)
    content: tuple[Any, ...] = field(default=(), repr=False)
    parameters: Mapping[str, str] = field(factory=dict, repr=False)
    extra: Mapping[str, Any] = field(factory=dict, repr=False)

    @classmethod
    def from_request(cls, body: bytes | str, headers: Mapping[str, str], *, secret_header: str, secret: str) -> BotTurn:
        """Read a turn from the request that Genesys Cloud has posted, once it is known to be from there.

        Args:
            body: The request's body.
            headers: The request's headers, with names in any case.
            secret_header: The name of the header that you have added to the credentials of the integration.
            secret: Its value, which is compared in constant time.

        Returns:
            The turn.

        Raises:
            AuthenticationError: The header is missing, or its value is another one; answer with 401.
            ParseError: The body is not such a request; answer with 400. Its `fields` say what is wrong, without text.
            InvalidArgument: An argument is of the wrong kind, or the secret is empty.
        """
        known, request = [(secret_header, secret)], [body]
        del secret, body  # a report that shows the locals of every frame shows neither a secret nor what was said
        check_kind("headers", headers, Mapping)
        if not isinstance(request[0], (bytes, str)):
            raise InvalidArgument("body", f"must be bytes or a string, not {type_name(request[0])}")
        authentic = _is_authentic(headers, *known.pop())
        del headers
        if not authentic:
            request.clear()
            msg = "the request does not carry the shared secret, so it may not be from Genesys Cloud"
            raise _errors.AuthenticationError(msg, status=401)
        fields, problems = _read_turn(request.pop())
        if problems:
            fields.clear()
            raise _errors.ParseError("the body is no turn of a bot: " + "; ".join(problems), fields=tuple(problems))
        return cls(**fields)


def _is_authentic(headers: Mapping[str, str], name: str, secret: str) -> bool:
    _check_word("secret_header", name)
    _check_word("secret", secret)
    sent = [value for header, value in headers.items() if str(header).lower() == name.lower()]
    given, known = (str(value).encode(errors="surrogatepass") for value in (sent[0] if len(sent) == 1 else "", secret))
    return hmac.compare_digest(given, known)


_NAMES = {
    "botId": "bot_id",
    "botSessionId": "bot_session_id",
    "botVersion": "bot_version",
    "messageId": "message_id",
    "languageCode": "language_code",
    "genesysConversationId": "conversation_id",
}
_REQUIRED = ("botId", "botSessionId")
_READ = {*_NAMES, "inputMessage", "parameters"}


def _read_turn(body: bytes | str) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of a turn, and what is wrong with it, in words that do not quote it."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        return {}, ["it is not JSON"]
    if not isinstance(request, dict):
        return {}, [f"expected an object, not {json_type(request)}"]
    problems: list[str] = []

    def get(where: Mapping[str, Any], name: str, cls: type[Any], default: Any, *, path: str = "") -> Any:
        value = where.get(name)
        if value is None:
            return default
        if isinstance(value, cls):
            return value
        problems.append(
            f"{path}{name}: expected {json_type(default) if default != '' else 'str'}, not {json_type(value)}"
        )
        return default

    fields = {ours: get(request, theirs, str, "") for theirs, ours in _NAMES.items()}
    missing = [name for name in _REQUIRED if not fields[_NAMES[name]] and isinstance(request.get(name, ""), str)]
    problems += [f"{name}: is missing" for name in missing]
    said = get(request, "inputMessage", dict, {})
    fields["text"] = get(said, "text", str, "", path="inputMessage.")
    fields["content"] = tuple(get(said, "content", list, [], path="inputMessage."))
    parameters = get(request, "parameters", dict, {})
    fields["parameters"] = {name: value for name, value in parameters.items() if isinstance(value, str)}
    fields["extra"] = {name: value for name, value in request.items() if name not in _READ}
    return fields, problems


@frozen(kw_only=True)
class BotReply:
    """What the replies to one turn have in common.

    Raises:
        InvalidArgument: An argument is of the wrong kind.
    """

    turn: BotTurn = field(repr=False)
    end_state: str = "Complete"
    intent: str = ""
    parameters: Mapping[str, str] | None = field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        check_kind("turn", self.turn, BotTurn)
        if not isinstance(self.end_state, str) or self.end_state not in {"Complete", "MoreData"}:
            raise InvalidArgument("end_state", f"must be 'Complete' or 'MoreData', not {shown(self.end_state)}")
        check_kind("intent", self.intent, str)
        check_kind("parameters", self.parameters, Mapping, optional=True)
        for name, value in (self.parameters or {}).items():
            if not isinstance(name, str) or not isinstance(value, str):
                raise InvalidArgument("parameters", "must be a mapping of strings to strings")

    def encode(self, batch: Batch) -> bytes:
        """Make the reply of a batch; b"" for one without text, unless it is the last, which ends the turn."""
        check_kind("batch", batch, Batch)
        has_text = bool(batch.text.strip())
        if not has_text and not batch.final:
            return b""
        turn = self.turn
        state = "MoreData" if not batch.final else self.end_state if batch.state == "complete" else "Failed"
        reply: dict[str, Any] = {
            "botId": turn.bot_id,
            "botVersion": turn.bot_version,
            "botSessionId": turn.bot_session_id,
            "botState": state,
            "languageCode": turn.language_code,
            "replyMessages": [{"type": "Text", "text": batch.text}] if has_text else [],
        }
        if self.intent:
            reply["intent"] = self.intent
        if self.parameters:
            reply["parameters"] = dict(self.parameters)
        if state == "Failed":
            reply["errorInfo"] = {"code": batch.finish_reason or batch.state, "message": "the answer broke off"}
        return dumps(reply)
