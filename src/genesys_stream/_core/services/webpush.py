"""Web Push (RFC 8030): subscriptions, payloads, requests, and answers as exceptions."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from attrs import define, field, frozen

from ... import _errors
from ..._errors import InvalidArgument, StatusError
from ..._values import Batch, PushReceipt
from ..._values._checks import shown
from ..._wire import type_name
from ..http.exchange import Reply, Request, status_error
from ..http.regions import _host_of
from ..relaying.limits import ANDROID_FOREGROUND, APNS_ALERT, Profile
from ..relaying.payload import PayloadEncoder, json_string

MAX_PLAINTEXT_BYTES: int = 3993
"""The largest payload: its body has 4,096 bytes, the most that every push service takes (RFC 8291, section 4)."""

FINAL_TTL = 3600
"""For how many seconds a push service keeps a final payload for a browser that is not connected."""

Urgency: TypeAlias = Literal["very-low", "low", "normal", "high"]

_URGENCIES = frozenset({"very-low", "low", "normal", "high"})
_LONGEST_TTL = 2**31 - 1

# How push services say that a subscription was made with another application server key: Apple, Google, Mozilla.
_OTHER_KEY = ("vapidpkhashmismatch", "do not correspond", "public key mismatch")


def encode64(content: bytes) -> str:
    """Encode in base64url without padding (RFC 4648, section 5; RFC 7515, section 2)."""
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def decode64(text: str) -> bytes:
    """Decode base64url, with or without padding.

    Raises:
        ValueError: It is not base64url.
    """
    found = urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
    if encode64(found) != text.rstrip("="):  # the decoder passes over characters that it does not know
        msg = "not base64url"
        raise ValueError(msg)
    return found


@frozen
class Subscription:
    """What a browser's `PushSubscription` says, which nobody but its application server may know.

    Attributes:
        endpoint: The URL that messages are posted to.
        origin: The scheme, host and port of that URL.
        public_key: The browser's public key, 65 bytes.
        auth: The secret that it shares with the application server, 16 bytes.
    """

    endpoint: str = field(repr=False)
    origin: str
    public_key: bytes = field(repr=False)
    auth: bytes = field(repr=False)

    @property
    def public_url(self) -> str:
        """The endpoint as logs and events may show it."""
        return f"{self.origin}/..."

    @property
    def default_profile(self) -> Profile:
        """What the browser bears, as far as its push service tells which one it is.

        Safari's is APNs, and Safari ends a subscription after three messages that showed no notification
        (https://dev.to/progressier/how-to-fix-ios-push-subscriptions-being-terminated-after-3-notifications-39a7).
        Chrome's is FCM.
        """
        return APNS_ALERT if self.origin.endswith(".push.apple.com") else ANDROID_FOREGROUND

    def scrub(self, text: str) -> str:
        """Remove from an answer what the endpoint has as its secret, should the service repeat it."""
        path = self.endpoint[len(self.origin) :]
        for part in sorted({self.endpoint, path, *re.split(r"[/?&=]", path)}, key=len, reverse=True):
            if len(part) >= _SECRET:
                text = text.replace(part, "...")
        return text


_SECRET = 8

# A name with a top-level domain. A number there, as in 127.0x1, would be read as an address (WHATWG URL, section 3.5).
_PUBLIC_HOST = re.compile(r"(?!.*\.(localhost|local|internal|home\.arpa)$)[a-z0-9_.-]+\.[a-z][a-z0-9-]*")


def read_subscription(subscription: object, *, allow_insecure_http: bool = False) -> Subscription:
    """Read what `JSON.stringify(subscription)` gives in the browser, as a mapping or as its JSON.

    An endpoint is an address that a stranger has chosen. It must be an https URL with the name of a host in the public
    DNS, so that nobody can have this machine post to its own neighbours.

    Args:
        subscription: With `endpoint`, and `p256dh` and `auth` in `keys`.
        allow_insecure_http: Whether the endpoint may be an http URL, or that of any host.

    Raises:
        InvalidArgument: It is not such a subscription. The error says which part of it, and nothing that it holds.
    """
    if isinstance(subscription, (str, bytes)):
        try:
            subscription = json.loads(subscription)
        except (ValueError, RecursionError):
            raise InvalidArgument("subscription", "must be a mapping, or JSON; it is a text that is no JSON") from None
    given = _mapping("subscription", subscription)
    endpoint = _string("subscription['endpoint']", given.get("endpoint"))
    origin = _check_endpoint(endpoint, allow_insecure_http=allow_insecure_http)
    keys = _mapping("subscription['keys']", given.get("keys"))
    public_key = _key(keys, "p256dh", 65)
    return Subscription(endpoint, origin, public_key, _key(keys, "auth", 16))


def _mapping(name: str, value: object) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        problem = "must be a mapping, as PushSubscription.toJSON() returns in the browser"
        raise InvalidArgument(name, f"{problem}, not {type_name(value)}")
    return value


def _string(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidArgument(name, f"must be a string, not {type_name(value)}")
    return value


def _key(keys: Mapping[Any, Any], name: str, size: int) -> bytes:
    argument = f"subscription['keys'][{name!r}]"
    text = _string(argument, keys.get(name))
    try:
        found = decode64(text)
    except ValueError:
        raise InvalidArgument(argument, "must be base64url") from None
    if len(found) != size:
        raise InvalidArgument(argument, f"must be {size} bytes in base64url, not {len(found)}")
    return found


def _check_endpoint(endpoint: str, *, allow_insecure_http: bool) -> str:
    """Return the origin of an endpoint (RFC 6454, section 6.2)."""
    name = "subscription['endpoint']"
    host = _host_of(endpoint).rstrip(".") if re.fullmatch(r"[!-~]+", endpoint) else ""
    parts = urlsplit(endpoint) if host else urlsplit("")
    if not host or "@" in parts.netloc or "#" in endpoint:
        raise InvalidArgument(name, "must be an https URL without credentials and fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and allow_insecure_http):
        raise InvalidArgument(name, "must be an https URL; allow_insecure_http=True takes http, for tests")
    if not allow_insecure_http and not _PUBLIC_HOST.fullmatch(host):
        problem = "must name a host of the public DNS, not an address or a machine nearby"
        raise InvalidArgument(name, f"{problem}; allow_insecure_http=True takes any, for tests")
    default = {"https": 443, "http": 80}[parts.scheme]
    port = "" if parts.port in {None, default} else f":{parts.port}"
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"


def topic_of(stream_id: str) -> str:
    """Return the Topic of a stream: 32 characters of base64url (RFC 8030, section 5.4)."""
    return encode64(hashlib.sha256(stream_id.encode("utf-8", "surrogatepass")).digest()[:24])


@define(frozen=True, kw_only=True)
class WebPushPayload(PayloadEncoder):
    """Encodes batches for a service worker, and with `declarative` for browsers that need none.

    Args:
        declarative: The URL that a click on the notification opens; "" for payloads that a service worker shows. Such a
            payload is a declarative push message (https://w3c.github.io/push-api/#declarative-push-message), whose
            notification is shown even if no service worker runs; our keys are the notification's own data.
    """

    declarative: str = ""

    def _wrap(self, keys: str, alert: tuple[str, str] | None, batch: Batch) -> str:
        if alert is None:
            return f'{{"data":{{{keys}}}}}'
        caption = f'"title":{json_string(alert[0])},"body":{json_string(alert[1])}'
        if not self.declarative:
            return f'{{{caption},"data":{{{keys}}}}}'
        navigate, tag = json_string(self.declarative), json_string(batch.stream_id)
        notification = f'{{{caption},"navigate":{navigate},"tag":{tag},"data":{{{keys}}}}}'
        return f'{{"web_push":8030,"notification":{notification},"mutable":true}}'


@frozen
class Handling:
    """How a push service handles the payloads of one sink.

    Args:
        ttl: For how many seconds it keeps a final payload; the others are for now or never.
        urgency: How urgent a final payload is; the others are "normal".

    Raises:
        InvalidArgument: An argument is invalid.
    """

    ttl: int = FINAL_TTL
    urgency: Urgency = "high"

    def __attrs_post_init__(self) -> None:
        if isinstance(self.ttl, bool) or not isinstance(self.ttl, int) or not 0 <= self.ttl <= _LONGEST_TTL:
            raise InvalidArgument("ttl", f"must be a whole number of seconds from 0, not {shown(self.ttl)}")
        if not isinstance(self.urgency, str) or self.urgency not in _URGENCIES:
            wanted = ", ".join(sorted(_URGENCIES))
            raise InvalidArgument("urgency", f"must be one of {wanted}, not {shown(self.urgency)}")

    def headers(self, batch: Batch) -> dict[str, str]:
        """Return the headers of a payload (RFC 8030, section 5).

        The final payload has a topic, so that it replaces one of the same stream that was stored for a browser that is
        not connected, as where it is sent again.
        """
        if not batch.final:
            return {"TTL": "0", "Urgency": "normal"}
        return {"TTL": str(self.ttl), "Urgency": self.urgency, "Topic": topic_of(batch.stream_id)}


def message_request(
    subscription: Subscription, body: bytes, handling: Mapping[str, str], *, authorization: str
) -> Request:
    """Make the request for an encrypted payload.

    Args:
        subscription: Where it is sent.
        body: The encrypted payload.
        handling: The headers of `Handling`.
        authorization: Who sends it (RFC 8292).
    """
    headers = {
        "Content-Encoding": "aes128gcm",
        "Content-Type": "application/octet-stream",
        **handling,
        "Authorization": authorization,
    }
    return Request(
        "POST",
        subscription.endpoint,
        headers,
        body,
        needs_token=False,
        public_url=subscription.public_url,
    )


def receipt_of(reply: Reply) -> PushReceipt:  # noqa: ARG001 - the answer's Location is as secret as the endpoint
    """Return the receipt of a payload that a push service took."""
    return PushReceipt(status="accepted")


def error_of(reply: Reply, subscription: Subscription) -> StatusError:
    """Return what an unsuccessful answer means, without the endpoint, should the service repeat it."""
    error = status_error(reply)
    body = subscription.scrub(reply.body.decode("utf-8", "replace"))
    message = "redirected, which is not followed" if 300 <= error.status < 400 else subscription.scrub(error.message)
    facts: dict[str, Any] = {
        "status": error.status,
        "code": subscription.scrub(_reason(reply.body) or error.code),
        "body": body.encode(),
        "retry_after": error.retry_after,
    }
    if error.status in {404, 410}:  # RFC 8030, section 7.3
        return _errors.InvalidToken(f"the subscription has ended: {message}", **facts, gone=True)
    if error.status in {400, 401, 403} and any(words in body.lower() for words in _OTHER_KEY):
        message = f"the subscription was made with another VAPID key: {message}"
        return _errors.InvalidToken(message, **facts, gone=False)
    if error.status == 429:  # RFC 8030, section 8.4: the service limits the messages to one subscription
        return _errors.RateLimited(message, **facts, scope="device")
    found = type(error)(message, **facts)
    found.retryable = error.retryable or error.status == 500  # as FCM and APNs: what came twice is read once
    return found


def _reason(body: bytes) -> str:
    """Return the reason in Apple's answers, `{"reason": "BadJwtToken"}`."""
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    reason = payload.get("reason") if isinstance(payload, dict) else None
    return reason if isinstance(reason, str) and re.fullmatch(r"\w{1,64}", reason) else ""
