"""`FakeWebPush`: a push service of browsers, which decrypts what it gets, as the browsers would."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from attrs import define, evolve, field, frozen

from .._core.services.webpush import MAX_PLAINTEXT_BYTES, decode64, encode64
from .._http import missing_extra
from ._bodies import encode
from ._responder import Responder
from ._script import Script
from ._scripted import JSON, Fail, Handle
from ._service import FakeService
from ._values import Answer, Entry, Request

_MAX_BODY = MAX_PLAINTEXT_BYTES + 103
_DAY = 24 * 3600
_REASONS = {401: "Unauthorized", 403: "BadJwtToken", 404: "NotFound", 410: "Unregistered", 413: "PayloadTooLarge"}


@frozen
class WebPushMessage:
    """A message that a push service took, as the browser sees it.

    Attributes:
        payload: The JSON that was encrypted.
        endpoint: The subscription that it was sent to.
        ttl: For how many seconds it would be kept for a browser that is not connected.
        urgency: Its urgency.
        topic: Its topic; "" for none.
        at: When it came, in seconds since 1970.
    """

    payload: Any
    endpoint: str = field(repr=False)
    ttl: int
    urgency: str
    topic: str
    at: float


class _Refused(Exception):  # carries an answer; it never leaves this module
    def __init__(self, status: int, reason: str = "") -> None:
        super().__init__(status, reason)
        self.fail = Fail(status, reason)


@define
class _Browser:
    """A subscription, and the browser's secrets of it."""

    endpoint: str
    key: Any
    auth: bytes
    application_server_key: str
    ended: bool = False


@define(eq=False)
class _App(Responder):
    crypto: ModuleType
    on_request: Callable[[Entry], object] | None
    browsers: dict[str, _Browser] = field(factory=dict, init=False)
    messages: list[WebPushMessage] = field(factory=list, init=False)
    push: Script = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.push = Script(lambda: self.entries("push"))

    def respond(self, request: Request) -> Answer:
        """Answer a request, and log both."""
        with self.lock:
            try:
                answer = self._handle(request)
            except _Refused as refused:
                answer = _failure(refused.fail)
            answer = answer.framed()
            entry = self.log(request, answer, "push" if request.path in self.browsers else "")
        if self.on_request is not None:
            self.on_request(entry)
        return answer

    def _handle(self, request: Request) -> Answer:
        browser = self.browsers.get(request.path)
        if browser is None:
            raise _Refused(404)
        if request.method != "POST":
            raise _Refused(405)
        if browser.ended:
            raise _Refused(410)
        self._authorise(request, browser)
        scripted = self.push.next()
        if isinstance(scripted, Answer):
            return scripted
        if isinstance(scripted, Fail):
            return _failure(scripted)
        self.messages.append(self._read(request, browser))
        # RFC 8030, section 5: the location of the message, where the service would tell of its receipt.
        taken = Answer(201, (("Location", f"{browser.endpoint}/messages/{len(self.messages)}"),))
        return evolve(taken, before=scripted.before) if isinstance(scripted, Handle) else taken

    def _authorise(self, request: Request, browser: _Browser) -> None:
        """Check the VAPID header as push services do (RFC 8292, and Safari's, which is the strictest)."""
        found = re.fullmatch(r"vapid t=([\w.-]+), ?k=([\w-]+)", request.headers.get("authorization", ""))
        if not found:
            raise _Refused(401)
        token, key = found.groups()
        try:
            claims = self.crypto.verify(token, self.crypto.public_key_of(decode64(key)))
        except Exception:  # noqa: BLE001 - whatever is wrong with a token
            raise _Refused(403, "BadJwtToken") from None
        audience, subject, expires = (claims.get(name) for name in ("aud", "sub", "exp"))
        origin = urlsplit(browser.endpoint)
        fits = audience == f"{origin.scheme}://{origin.netloc}"
        fits = fits and isinstance(subject, str) and re.fullmatch(r"(mailto:|https://)\S+", subject) is not None
        fits = fits and isinstance(expires, int) and 0 < expires - request.at <= _DAY
        if not fits:
            raise _Refused(403, "BadJwtToken")
        if browser.application_server_key not in {"", key}:
            raise _Refused(403, "VapidPkHashMismatch")

    def _read(self, request: Request, browser: _Browser) -> WebPushMessage:
        headers = request.headers
        ttl, urgency, topic = headers.get("ttl", ""), headers.get("urgency", "normal"), headers.get("topic", "")
        if not re.fullmatch(r"[0-9]{1,10}", ttl):
            raise _Refused(400, "BadTtl")
        if urgency not in {"very-low", "low", "normal", "high"}:
            raise _Refused(400, "BadUrgency")
        if not re.fullmatch(r"[\w-]{0,32}", topic, re.ASCII):
            raise _Refused(400, "BadWebPushTopic")
        if len(request.body) > _MAX_BODY:
            raise _Refused(413)
        if headers.get("content-encoding") != "aes128gcm":
            raise _Refused(400, "BadContentEncoding")
        try:
            payload = json.loads(self.crypto.decrypt(request.body, browser.key, browser.auth))
        except Exception:  # noqa: BLE001 - whatever is wrong with a body
            raise _Refused(400, "BadEncryption") from None
        return WebPushMessage(payload, browser.endpoint, int(ttl), urgency, topic, request.at)


def _failure(fail: Fail) -> Answer:
    reason = fail.code or _REASONS.get(fail.status, "Failed")
    return Answer(fail.status, (JSON, *fail.headers), (encode({"reason": reason, "message": fail.message or reason}),))


class FakeWebPush(FakeService):
    """A push service of browsers that runs on your machine: scripted, with a log, and with browsers that subscribe.

    It verifies who sends a message (VAPID), and decrypts it, for which it needs the extra [webpush]::

        fake = FakeWebPush()
        push = WebPush(key, subject="mailto:me@example.com", http_client=httpx.Client(transport=fake.transport))
        relay(stream, push.to(fake.subscribe(push.public_key)))
        assert fake.messages[-1].payload["title"] == "LLM Stream Update"

    Attributes:
        push: The script of what the endpoints of all subscriptions answer.
        transport: For `httpx.Client(transport=...)` and `httpx.AsyncClient(transport=...)`.

    Args:
        clock: Returns seconds since 1970; it dates the log and tells whether a VAPID token has expired.
        on_request: Called with each entry of the request log, by the thread that answers.

    Raises:
        ConfigurationError: The extra [webpush] is not installed.

    .. versionadded:: 0.1
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.time, on_request: Callable[[Entry], object] | None = None
    ) -> None:
        try:
            from .._core.services import webcrypto
        except ImportError as error:
            raise missing_extra("FakeWebPush", "webpush") from error
        self._app = _App(webcrypto, on_request)
        super().__init__(self._app, clock)
        self.push: Script = self._app.push

    def subscribe(
        self, application_server_key: str = "", *, base_url: str = "https://push.example.com"
    ) -> dict[str, Any]:
        """Subscribe with another browser.

        Args:
            application_server_key: The public key of whoever may send to it, as `WebPush.public_key`; "" for anybody.
            base_url: The server's `base_url`; in memory any host name works.

        Returns:
            What the browser's `PushSubscription.toJSON()` returns.
        """
        crypto = self._app.crypto
        key, auth = crypto.new_private_key(), os.urandom(16)
        path = f"/wpush/{encode64(os.urandom(24))}"
        browser = _Browser(base_url + path, key, auth, application_server_key)
        with self._app.lock:
            self._app.browsers[path] = browser
        keys = {"p256dh": encode64(crypto.public_bytes(key.public_key())), "auth": encode64(auth)}
        return {"endpoint": browser.endpoint, "expirationTime": None, "keys": keys}

    def unsubscribe(self, subscription: Mapping[str, Any]) -> None:
        """End a subscription, as a user does who takes the permission back: messages to it are answered with 410.

        Args:
            subscription: What `subscribe` returned.
        """
        with self._app.lock:
            self._app.browsers[urlsplit(subscription["endpoint"]).path].ended = True

    @property
    def messages(self) -> list[WebPushMessage]:
        """The messages that were taken, decrypted, in order, those included whose answer was lost."""
        with self._app.lock:
            return list(self._app.messages)

    def clear(self) -> None:
        """Clear the script and the request log; subscriptions stay."""
        self.push.clear()
        with self._app.lock:
            self._app.request_log.clear()
            self._app.messages.clear()
