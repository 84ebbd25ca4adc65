"""Which fields of a message, and of a bot's reply, Genesys Cloud would refuse, as far as its SDK's models say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

AGENTLESS_PATH = "/api/v2/conversations/messages/agentless"
BOT_REPLIES_PATH = "/api/v2/integrations/botconnectors/outgoing/messages"

_MAX_CHARS = {"sms": 765, "whatsapp": 2000, "open": 2000, "webmessaging": 2000, "apple": 2000}
_BY_CONTACT = {"sms", "open", "webmessaging"}


def _is_word(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _fits(text: object, max_chars: int) -> bool:
    # Counted as in the platform's own languages: in UTF-16 code units, of which an emoji has two.
    return isinstance(text, str) and bool(text.strip()) and len(text.encode("utf-16-le")) // 2 <= max_chars


def wrong_message(payload: Mapping[str, Any]) -> list[str]:
    """Return the names of the fields of an agentless message that are missing, or not valid."""
    kind = payload.get("toAddressMessengerType")
    if not isinstance(kind, str) or kind not in _MAX_CHARS:
        return ["toAddressMessengerType"]
    wrong = [] if _is_word(payload.get("fromAddress")) else ["fromAddress"]
    to, contact = payload.get("toAddress"), payload.get("externalContactId")
    if (kind == "webmessaging" and to is not None) or (to is not None and not _is_word(to)):
        wrong.append("toAddress")
    if contact is not None and not (_is_word(contact) and kind in _BY_CONTACT):
        wrong.append("externalContactId")
    if to is None and contact is None:
        wrong.append("externalContactId" if kind == "webmessaging" else "toAddress")
    if not _fits(payload.get("textBody"), _MAX_CHARS[kind]):
        wrong.append("textBody")
    if not isinstance(payload.get("useExistingActiveConversation", False), bool):
        wrong.append("useExistingActiveConversation")
    return wrong


def wrong_reply(payload: Mapping[str, Any]) -> list[str]:
    """Return the names of the fields of a bot's reply that are missing, or not valid."""
    wrong = [name for name in ("botId", "botSessionId") if not _is_word(payload.get(name))]
    wrong += [name for name in ("botVersion", "languageCode", "intent") if not isinstance(payload.get(name, ""), str)]
    state = payload.get("botState")
    if not isinstance(state, str) or state not in {"Complete", "Failed", "MoreData"}:
        wrong.append("botState")
    messages = payload.get("replyMessages") or []
    if not isinstance(messages, list):
        wrong.append("replyMessages")
    else:
        wrong += [f"replyMessages[{i}]" for i, message in enumerate(messages) if not _is_text(message)]
    if payload.get("errorInfo") is not None and (state != "Failed" or not isinstance(payload["errorInfo"], Mapping)):
        wrong.append("errorInfo")
    parameters = payload.get("parameters") or {}
    if not isinstance(parameters, Mapping) or not all(isinstance(value, str) for value in parameters.values()):
        wrong.append("parameters")
    return wrong


def _is_text(message: object) -> bool:
    return isinstance(message, Mapping) and message.get("type") == "Text" and _fits(message.get("text"), 2000)
