"""Firebase Cloud Messaging: the messages of its HTTP v1 API, their size, and what its answers mean.

https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages has the messages, and
https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode the errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from attrs import define, evolve, field

from ... import _errors
from ..._errors import StatusError
from ..._values import Batch, PushReceipt
from ..http.exchange import Reply, status_error
from ..relaying.payload import PayloadEncoder, json_string
from .apns import collapse_id

FCM_MAX_BYTES = 4096
"""The largest message, keys and values of `data` counted."""

_SILENT_ANDROID = '"android":{"priority":"NORMAL","ttl":"0s"}'
_SILENT_OTHERS = (
    ',"apns":{"headers":{"apns-priority":"5","apns-push-type":"background","apns-expiration":"0"},'
    '"payload":{"aps":{"content-available":1}}},"webpush":{"headers":{"TTL":"0"}}'
)

# What FCM counts beside the keys of `data`: the figures that users have measured for Android, and what it puts into the
# payload for APNs, of which it makes JSON again. The notification's own keys are longer there than in our request.
_ANDROID_BYTES = 40
_ANDROID_ALERT_BYTES = 120
_APPLE_BYTES = len(
    '{"aps":{"content-available":1},"gcm.message_id":"0000000000000000","google.c.a.e":"1",'
    '"google.c.fid":"0000000000000000000000","google.c.sender.id":"000000000000",}'
)
_APPLE_ALERT_BYTES = _APPLE_BYTES + 80

_SHORTEST_TOKEN = 8  # which is never a word of an answer

_WAIT_AFTER_429 = 60.0
_WAIT_AFTER_5XX = 10.0
"""https://firebase.google.com/docs/cloud-messaging/scale-fcm, where an answer has no Retry-After."""


@define(frozen=True)
class FcmEncoder(PayloadEncoder):
    """Encodes batches to messages for one device: silent on the way, visible at the end.

    A silent message has `data` alone, and is delivered now or never; a visible one has a notification, whose tag is the
    stream's id, so that a resent one replaces the first.

    Args:
        kind: What names the device: "token", or "fid" for a Firebase installation id.
        target: The device.
        platform: "any", or "android" for what is surely an Android phone, for which a message has more room.
    """

    kind: Literal["token", "fid"]
    target: str = field(repr=False)
    platform: Literal["any", "android"] = field(default="any", kw_only=True)
    _head: str = field(init=False, repr=False, eq=False)
    _silent: str = field(init=False, repr=False, eq=False)
    _silent_bytes: bytes = field(init=False, repr=False, eq=False)
    _around: tuple[int, int] = field(init=False, repr=False, eq=False)

    def _prepare(self) -> None:
        head = f'{{"message":{{"{self.kind}":{json_string(self.target)},"data":{{'
        silent = f"}},{_SILENT_ANDROID}{_SILENT_OTHERS if self.platform == 'any' else ''}}}}}"
        object.__setattr__(self, "_head", head)
        object.__setattr__(self, "_silent", silent)
        object.__setattr__(self, "_silent_bytes", silent.encode())
        counted = (_ANDROID_BYTES, _ANDROID_ALERT_BYTES)
        if self.platform == "any":
            counted = (_APPLE_BYTES, _APPLE_ALERT_BYTES)
        around = len(head.encode())
        visible = len(self._visible(("", ""), ""))
        object.__setattr__(self, "_around", (around + len(silent) - counted[0], around + visible - counted[1]))

    def _wrap(self, keys: str, alert: tuple[str, str] | None, batch: Batch) -> str:
        rest = self._silent if alert is None else self._visible(alert, collapse_id(batch.stream_id))
        return self._head + keys + rest

    def _visible(self, alert: tuple[str, str], tag: str) -> str:
        title, body, tag = map(json_string, (*alert, tag))
        others = (
            f',"apns":{{"headers":{{"apns-priority":"10","apns-push-type":"alert","apns-collapse-id":{tag}}},'
            f'"payload":{{"aps":{{"mutable-content":1,"thread-id":{tag}}}}}}},"webpush":{{"headers":{{"TTL":"3600"}}}}'
        )
        return (
            f'}},"notification":{{"title":{title},"body":{body}}},'
            f'"android":{{"priority":"HIGH","ttl":"3600s","notification":{{"tag":{tag}}}}}'
            f"{others if self.platform == 'any' else ''}}}}}"
        )

    def measure(self, content: bytes) -> int:
        """Count the bytes of a message: for Android its keys and values, for APNs the JSON that FCM makes of them."""
        silent = content.endswith(self._silent_bytes)
        size = len(content)
        if self.platform == "android" and b"\\" in content:
            size = len(_ESCAPE.sub(b".", content))  # only JSON escapes, and FCM hands Android the strings themselves
        return size - self._around[not silent]


_ESCAPE = re.compile(rb"\\(?:u[0-9a-f]{4}|.)")


def fcm_receipt(reply: Reply) -> PushReceipt:
    """Return the receipt of a message that FCM took; a success is one, whatever its body looks like."""
    try:
        fields = json.loads(reply.body)
    except (ValueError, RecursionError):
        fields = None
    name = fields.get("name") if isinstance(fields, dict) else None
    return PushReceipt(id=name if isinstance(name, str) else "", status="accepted")


def fcm_error(reply: Reply, target: str) -> StatusError:
    """Return the exception for an unsuccessful reply.

    Args:
        reply: The reply.
        target: The device token, which is taken out of the answer's words.
    """
    if len(target) >= _SHORTEST_TOKEN:
        reply = evolve(reply, body=reply.body.replace(target.encode("utf-8", "replace"), b"..."))
    plain = status_error(reply)
    status = reply.status
    details = [detail for detail in plain.details if isinstance(detail, Mapping)]
    code = next((str(detail["errorCode"]) for detail in _of_type(details, "FcmError") if detail.get("errorCode")), "")
    facts: dict[str, Any] = {
        "status": status,
        "code": code or _status_word(reply.body) or plain.code,
        "details": plain.details,
        "body": reply.body,
        "retry_after": plain.retry_after,
    }
    if code == "UNREGISTERED":
        return _errors.InvalidToken(plain.message, gone=True, **facts)
    if code == "SENDER_ID_MISMATCH":
        return _errors.InvalidToken(plain.message, gone=False, **facts)
    if code == "THIRD_PARTY_AUTH_ERROR":  # of APNs or a web push service, for which the project lacks a valid key
        return _errors.PermissionDenied(plain.message, **facts)
    if status == 413 or (status == 400 and "too big" in plain.message.lower()):
        return _errors.PayloadTooLarge(plain.message, **facts)
    if status == 400 and _names_token(details, code):
        return _errors.InvalidToken(plain.message, gone=False, **facts)
    if status == 429:
        facts["retry_after"] = _WAIT_AFTER_429 if plain.retry_after is None else plain.retry_after
        return _errors.RateLimited(plain.message, scope=_scope(details), **facts)
    if status >= 500:
        facts["retry_after"] = _WAIT_AFTER_5XX if plain.retry_after is None else plain.retry_after
    error = type(plain)(plain.message, **facts)
    error.retryable = error.retryable or status == 500
    return error


def _of_type(details: list[Mapping[str, Any]], name: str) -> Iterator[Mapping[str, Any]]:
    return (detail for detail in details if str(detail.get("@type", "")).endswith(f".{name}"))


def _status_word(body: bytes) -> str:
    """Return the word of google.rpc.Status, such as "UNAUTHENTICATED"."""
    try:
        word = json.loads(body)["error"]["status"]
    except (ValueError, RecursionError, LookupError, TypeError):
        return ""
    return word if isinstance(word, str) else ""


def _names_token(details: list[Mapping[str, Any]], code: str) -> bool:
    """Return whether an invalid argument is the device token, not the message."""
    bad = list(_of_type(details, "BadRequest"))
    if not bad:
        return code == "INVALID_ARGUMENT"
    violations = (violation for detail in bad for violation in _list_of(detail, "fieldViolations"))
    return any(str(violation.get("field", "")) in {"message.token", "message.fid"} for violation in violations)


def _scope(details: list[Mapping[str, Any]]) -> str:
    """Return whose quota was exceeded: that of the device or the topic, or that of the project."""
    for failure in _of_type(details, "QuotaFailure"):
        words = " ".join(
            f"{violation.get('subject', '')} {violation.get('description', '')}".lower()
            for violation in _list_of(failure, "violations")
        )
        if "device" in words or "topic" in words:
            return "device"
    return "credential" if details else ""


def _list_of(detail: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    values = detail.get(name)
    return [value for value in values if isinstance(value, Mapping)] if isinstance(values, list) else []
