"""APNs: payloads, headers, provider tokens, and what an answer means.

Apple documents the headers and the answers under "Sending notification requests to APNs", "Handling notification
responses from APNs" and "Sending broadcast push notification requests to APNs", the token under "Establishing a
token-based connection to APNs".
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from typing import Any

from attrs import define, field

from ... import _errors
from ..._errors import InvalidArgument, StatusError
from ..._values import Batch, PushReceipt
from ..._values._checks import check_kind
from ..._wire import type_name
from ..http.exchange import Reply
from ..relaying.limits import Profile, Rate
from ..relaying.payload import PayloadEncoder, json_string

PRODUCTION = "https://api.push.apple.com"
SANDBOX = "https://api.sandbox.push.apple.com"
MAX_BYTES = 4096
MAX_BROADCAST_BYTES = 5120
COLLAPSE_BYTES = 64

APP_OPEN = Profile(Rate(10, 0.5), window=1.0)
"""An app that the user looks at: the first text at once, then a push every two seconds. Apple names no figure."""

APP_CLOSED = Profile(Rate(10, 1 / 15), window=60.0, final_only=True)
"""An app in the background, to which Apple delivers two or three silent pushes an hour: the alert at the end alone."""

EXPIRES = 3600
"""For how many seconds APNs keeps the final push for a device that is off; it keeps no other one."""

DEVICE_SECONDS = 10.0
"""For how long pushes to a device are held after TooManyRequests, in seconds; Apple names no figure."""

PROVIDER_SECONDS = 1200.0
"""For how long all pushes are held after TooManyProviderTokenUpdates: tokens may be renewed every 20 minutes."""

_NAMESPACE = uuid.UUID("8f7b7d1e-5f0c-5c6e-9a41-3d2c2f1f4b60")


def push_id(batch: Batch, target: str) -> str:
    """Return the `apns-id` of a push: the same for the same batch to the same target, so that resends share it."""
    return _uuid(f"{batch.stream_id}\n{batch.epoch}\n{batch.seq}\n{target}")


def collapse_id(stream_id: str) -> str:
    """Return the `apns-collapse-id` of a stream, whose notifications replace one another: its id, if that fits."""
    fits = len(stream_id) <= COLLAPSE_BYTES and re.fullmatch(r"[!-~]+", stream_id)
    return stream_id if fits else _uuid(stream_id)


def _uuid(name: str) -> str:
    # A stream's id may be any string, halves of surrogate pairs included, which UTF-8 has no bytes for.
    return str(uuid.uuid5(_NAMESPACE, name.encode(errors="backslashreplace").decode()))


def check_token(argument: str, token: object) -> str:
    """Check a device token, or the push token of a Live Activity.

    Raises:
        InvalidArgument: It is not a string of hexadecimal digits.
    """
    if isinstance(token, bytes):
        raise InvalidArgument(argument, "must be a string of hexadecimal digits, not bytes; write token.hex()")
    if not isinstance(token, str):
        raise InvalidArgument(argument, f"must be a string of hexadecimal digits, not {type_name(token)}")
    if not re.fullmatch(r"(?:[0-9a-fA-F]{2})+", token):
        raise InvalidArgument(argument, "must be a string of hexadecimal digits, as the app sends it")
    return token.lower()


@define(frozen=True, kw_only=True)
class DeviceEncoder(PayloadEncoder):
    """Payloads for a device: silent on the way, and an alert at the end.

    Args:
        sound: What an alert plays; "" for none.
    """

    sound: str = field(default="default", validator=lambda _, __, value: check_kind("sound", value, str))

    def _prepare(self) -> None:
        if "aps" in self.data:
            raise InvalidArgument("data['aps']", "is reserved by APNs, take another key")

    def _wrap(self, keys: str, alert: tuple[str, str] | None, batch: Batch) -> str:
        if alert is None:
            return f'{{"aps":{{"content-available":1}},{keys}}}'
        title, body = alert
        sound = f',"sound":{json_string(self.sound)}' if self.sound else ""
        return (
            f'{{"aps":{{"alert":{{"title":{json_string(title)},"body":{json_string(body)}}}{sound},"mutable-content":1,'
            f'"thread-id":{json_string(batch.stream_id)}}},{keys}}}'
        )

    def headers(self, batch: Batch, *, topic: str, now: float) -> dict[str, str]:
        """Return the headers of a push, but for its id.

        Args:
            batch: The batch.
            topic: The bundle id of the app.
            now: Seconds since 1970.
        """
        final = batch.final
        headers = {"apns-topic": topic, "apns-expiration": str(int(now) + EXPIRES) if final else "0"}
        if final or self.alert == "all":
            return headers | {
                "apns-push-type": "alert",
                "apns-priority": "10",
                "apns-collapse-id": collapse_id(batch.stream_id),
            }
        return headers | {"apns-push-type": "background", "apns-priority": "5"}


@define(frozen=True, kw_only=True)
class ActivityEncoder(PayloadEncoder):
    """Payloads for a Live Activity, whose content state is the keys of `data`.

    Args:
        now: Returns seconds since 1970.
        stale_after: After how many seconds without an update the activity is shown as stale; None for never.
        dismiss_after: For how many seconds the activity stays on the lock screen after the end; None for up to four
            hours, as the system decides.
    """

    now: Callable[[], float] = field(repr=False)
    stale_after: float | None = 120.0
    dismiss_after: float | None = None

    def _wrap(self, keys: str, alert: tuple[str, str] | None, batch: Batch) -> str:  # noqa: ARG002 - an activity shows itself
        now = int(self.now())
        event, date = "update", ""
        if batch.final:
            event = "end"
            if self.dismiss_after is not None:
                date = f',"dismissal-date":{now + int(self.dismiss_after)}'
        elif self.stale_after is not None:
            date = f',"stale-date":{now + int(self.stale_after)}'
        return f'{{"aps":{{"timestamp":{now},"event":"{event}"{date},"content-state":{{{keys}}}}}}}'

    def headers(self, batch: Batch, *, topic: str, now: float) -> dict[str, str]:
        """Return the headers of a push, but for its id; `topic` is the bundle id of the app."""
        return {"apns-topic": f"{topic}.push-type.liveactivity", **self.broadcast_headers(batch, now=now)}

    def broadcast_headers(self, batch: Batch, *, now: float) -> dict[str, str]:
        """Return the headers of a push to a channel, but for its id and the channel."""
        return {
            "apns-push-type": "liveactivity",
            "apns-priority": "10" if batch.final else "5",
            "apns-expiration": str(int(now) + EXPIRES) if batch.final else "0",
        }


RENEW_AFTER = 2400.0
"""After how many seconds a provider token is renewed: Apple takes none older than an hour, and no new one within 20
minutes."""


class ProviderToken:
    """The provider token of one key, told the time.

    Args:
        sign: Makes a token that is issued at a time, in whole seconds since 1970.
    """

    def __init__(self, sign: Callable[[int], str]) -> None:
        self._sign = sign
        self._token = ""
        self._made_at = 0.0
        self._replaced_at: float | None = None

    def current(self, now: float) -> str:
        """Return the token to send now; `now` is in seconds since 1970."""
        if not self._token or not 0 <= now - self._made_at < RENEW_AFTER:
            self._make(now)
        return self._token

    def replace(self, refused: str, now: float) -> None:
        """Make another token in place of one that was refused, at most once in 20 minutes.

        If that is refused as well, the key or the clock of this machine is wrong, and more tokens would only be
        answered with TooManyProviderTokenUpdates.
        """
        recently = self._replaced_at is not None and 0 <= now - self._replaced_at < PROVIDER_SECONDS
        if refused == self._token and not recently:
            self._replaced_at = now
            self._make(now)

    def _make(self, now: float) -> None:
        self._token, self._made_at = self._sign(int(now)), now


_HINTS = {
    "BadDeviceToken": "it may be of the other environment; see sandbox=",
    "DeviceTokenNotForTopic": "it belongs to another app than topic=",
    "ExpiredProviderToken": "the provider token is too old; is the clock of this machine right?",
    "InvalidProviderToken": "check the key, key_id= and team_id=",
    "BadEnvironmentKeyIdInToken": "the key is for the other environment; see sandbox=",
    "TopicDisallowed": "the key may not push to topic=",
    "TooManyRequests": "too many pushes to one device",
    "TooManyProviderTokenUpdates": "the provider token was renewed too often; share one client per key",
}

_GONE = frozenset({"Unregistered", "ExpiredToken", "ChannelNotRegistered"})
_NOT_FOR_US = frozenset({"BadDeviceToken", "DeviceTokenNotForTopic", "BadChannelId"})
_LATEST = 2**53  # milliseconds; a timestamp beyond is no time
_CREDENTIALS = re.compile(r"ProviderToken$|KeyIdInToken$|^BadCertificate")

_BY_STATUS: dict[int, type[StatusError]] = {
    403: _errors.PermissionDenied,
    404: _errors.NotFound,
    413: _errors.PayloadTooLarge,
    502: _errors.BadGateway,
    503: _errors.ServiceUnavailable,
    504: _errors.GatewayTimeout,
}


def apns_error(reply: Reply) -> StatusError:
    """Return the exception of an unsuccessful answer."""
    status, fields = reply.status, _fields(reply.body)
    reason = fields.get("reason")
    reason = reason if isinstance(reason, str) else ""
    facts: dict[str, Any] = {"status": status, "code": reason, "body": reply.body}
    message = f"APNs refused the push{f': {_HINTS[reason]}' if reason in _HINTS else ''}"
    if status == 410 or reason in _GONE or reason in _NOT_FOR_US:
        since = fields.get("timestamp")
        in_seconds = since / 1000 if isinstance(since, (int, float)) and 0 <= since <= _LATEST else None
        return _errors.InvalidToken(message, gone=reason not in _NOT_FOR_US, since=in_seconds, **facts)
    if reason == "TooManyProviderTokenUpdates":
        return _errors.RateLimited(message, scope="credential", retry_after=PROVIDER_SECONDS, **facts)
    if status == 429:
        asked = reply.retry_after
        asked = DEVICE_SECONDS if asked is None else asked
        return _errors.RateLimited(message, scope="device", retry_after=asked, **facts)
    if _CREDENTIALS.search(reason):
        return _errors.AuthenticationError(message, **facts)
    cls = _BY_STATUS.get(status, _errors.BadRequest if status < 500 else _errors.ServerError)
    error = cls(message, retry_after=reply.retry_after, **facts)
    error.retryable = status >= 500  # Apple: "try again later", for an InternalServerError as well
    return error


def apns_receipt(reply: Reply) -> PushReceipt:
    """Return the receipt of a successful answer."""
    headers = reply.headers
    unique = headers.get("apns-unique-id")
    return PushReceipt(
        id=headers.get("apns-id") or headers.get("apns-request-id") or "",
        status="accepted",
        extra={} if unique is None else {"apns-unique-id": unique},
    )


def _fields(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}
