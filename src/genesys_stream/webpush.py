"""Web Push: sinks for browsers, with VAPID and encryption; the extra [webpush].

`WebPush` is for blocking programs, `AsyncWebPush` for those on an event loop.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from . import _errors
from ._core.http.exchange import Request
from ._core.relaying.limits import Profile, Rate
from ._core.relaying.payload import TITLE, Caption, check_max_payload_bytes, count_received
from ._core.relaying.sink import AsyncSink, Sink
from ._core.services.webpush import (
    FINAL_TTL,
    MAX_PLAINTEXT_BYTES,
    Handling,
    Subscription,
    Urgency,
    WebPushPayload,
    error_of,
    message_request,
    read_subscription,
    receipt_of,
)
from ._errors import InvalidArgument, InvalidToken
from ._http import MAX_CONNECTIONS, missing_extra
from ._services import AsyncService, BlockingService, PushService, check_path
from ._values import Batch, ClientEvent, PushReceipt, Timeouts
from ._values._checks import check_kind, shown, with_checked_names
from ._wire import type_name

if TYPE_CHECKING:
    from types import ModuleType

ReceiptT = TypeVar("ReceiptT")
SinkT = TypeVar("SinkT")

__all__ = ["MAX_PLAINTEXT_BYTES", "AsyncWebPush", "Urgency", "WebPush"]


class _WebPush(PushService[ReceiptT, SinkT]):
    @with_checked_names
    def __init__(
        self,
        private_key: str,
        *,
        subject: str,
        timeouts: Timeouts | None = None,
        rate: Rate | None = None,
        http_client: Any = None,
        transport: str = "httpx",
        max_connections: int = MAX_CONNECTIONS,
        on_event: Callable[[ClientEvent], object] | None = None,
        on_invalid_token: Callable[[str, InvalidToken], object] | None = None,
        allow_insecure_http: bool = False,
    ) -> None:
        """Make an application server that signs with one VAPID key (RFC 8292); nothing is sent yet.

        Args:
            private_key: The private key, as PEM, or as the 43 characters of base64url that most tools print.
                A browser's subscription belongs to the key that it was made with.
            subject: Where a push service reaches you when something is wrong: a mailto or https URL.
            timeouts: The timeouts of every push, of which `connect`, `write`, `push` and `total` apply.
            rate: How many pushes all sinks together may send; None for no limit.
            http_client: A client of httpx or httpx2 of your own, blocking or async as this one; you close it yourself.
            transport: The HTTP library, if there is no `http_client`: "httpx"; "httpx2"; or, for the async one on
                asyncio, "aiohttp".
            max_connections: How many pushes may be under way at once.
            on_event: Called with every `ExchangeStarted` and `Exchange`, whose URL ends after the host, because an
                endpoint is a secret.
            on_invalid_token: Called with the endpoint and the `InvalidToken` of a subscription that has ended, so that
                you can delete it; it may be a coroutine function for the async one. What it raises is logged.
            allow_insecure_http: Whether endpoints may be http URLs, and of any host, as for tests.

        Raises:
            ConfigurationError: The key or the subject is invalid, or the extra is not installed.
            InvalidArgument: An argument is of the wrong type or out of range.
        """
        self._crypto = _webcrypto(type(self).__name__)
        check_kind("allow_insecure_http", allow_insecure_http, bool)
        self._allow_insecure_http = allow_insecure_http
        self._vapid = self._make_vapid(private_key, subject)
        self._lock = threading.Lock()  # so that one token is made for a push service, and not one in each thread
        super().__init__(
            None,
            timeouts=timeouts,
            rate=rate,
            http_client=http_client,
            transport=transport,
            max_connections=max_connections,
            on_event=on_event,
            on_invalid_token=on_invalid_token,
        )

    def _make_vapid(self, private_key: object, subject: object) -> Any:
        if not isinstance(private_key, str):
            msg = f"private_key must be a string, PEM or base64url, not {type_name(private_key)}; see from_pem_file"
            raise _errors.ConfigurationError(msg)
        # Safari's push service answers BadJwtToken to a subject with a space, as in "mailto: me@example.com".
        if not isinstance(subject, str) or not re.fullmatch(r"(mailto:|https://)[!-~]+", subject):
            msg = f"subject must be a mailto or https URL without spaces, not {shown(subject)}"
            raise _errors.ConfigurationError(msg)
        try:
            return self._crypto.Vapid(private_key.replace("\\n", "\n"), subject)  # a PEM in an environment variable
        except ValueError:
            msg = (
                "private_key must be a private key of P-256: as PEM without a password, or 32 bytes in base64url; "
                "from_pem_file reads a file"
            )
        raise _errors.ConfigurationError(msg)

    @classmethod
    def from_pem_file(cls, path: str | os.PathLike[str], *, subject: str, **arguments: Any) -> Self:
        """Make one with the private key of a PEM file.

        Args:
            path: The file.
            subject: As for the class.
            **arguments: Further arguments of the class.

        Raises:
            ConfigurationError: The file cannot be read, or as for the class.
            InvalidArgument: As for the class.
        """
        _webcrypto(cls.__name__)  # a missing extra is said before a missing file
        check_path(path)
        try:
            private_key = Path(path).read_text(encoding="ascii")
        except (OSError, ValueError) as error:
            msg = f"the file of the private key cannot be read: {type(error).__name__}"
            raise _errors.ConfigurationError(msg) from error
        return cls(private_key, subject=subject, **arguments)

    @classmethod
    def from_env(cls, **arguments: Any) -> Self:
        """Make one from the environment variables `VAPID_PRIVATE_KEY` and `VAPID_SUBJECT`.

        Args:
            **arguments: Arguments of the class, which take precedence over the environment.

        Raises:
            ConfigurationError: A variable is not set, or as for the class.
        """
        _webcrypto(cls.__name__)  # likewise
        names = {"private_key": "VAPID_PRIVATE_KEY", "subject": "VAPID_SUBJECT"}
        found = {name: os.environ.get(variable, "").strip() for name, variable in names.items()}
        given: dict[str, Any] = {name: value for name, value in found.items() if value} | arguments
        for name, variable in names.items():
            if name not in given:
                msg = f"no {name}: give it, or set {variable}"
                raise _errors.ConfigurationError(msg)
        return cls(**given)

    @property
    def public_key(self) -> str:
        """The public key, which the browser takes as `applicationServerKey` when it subscribes."""
        found: str = self._vapid.public_key
        return found

    @with_checked_names
    def to(
        self,
        subscription: Mapping[str, Any] | str,
        *,
        title: Caption = TITLE,
        body: Caption = count_received,
        data: Mapping[str, str] | None = None,
        ref: str = "",
        mode: Literal["delta", "tail", "snapshot"] = "delta",
        alert: Literal["all", "final"] | None = None,
        ttl: int = FINAL_TTL,
        urgency: Urgency = "high",
        declarative: str = "",
        max_payload_bytes: int = MAX_PLAINTEXT_BYTES,
        profile: Profile | Literal["auto"] | None = "auto",
    ) -> SinkT:
        """Make a sink for `relay`: one message for each batch, to one browser.

        Messages on the way hold `data` alone, and are for now or never. The last one has a title and a body as well, is
        kept for a browser that is not connected, and replaces one of the same stream that is kept already.

        Args:
            subscription: What `JSON.stringify(subscription)` gives in the browser, or the same as a mapping.
            title: What each notification is headed, or a callable that says it for a batch.
            body: What each notification reads, likewise.
            data: The app's own keys for every payload.
            ref: Where the receiver can fetch the whole text, an id or a URL; the final payload carries it.
            mode: What the payloads hold: "delta", the new text alone; "tail", the end of the text before it as well; or
                "snapshot", all of the text before it, as far as it fits.
            alert: Which payloads have a title and a body: the "final" one alone, or "all". By default "all" where the
                profile is `visible`, else "final".
            ttl: For how many seconds the push service keeps the last message.
            urgency: How urgent the last message is; the others are "normal".
            declarative: The URL that a click opens, to have Safari show the notification itself, even if no service
                worker runs (Declarative Web Push).
            max_payload_bytes: The largest payload before encryption, in bytes.
            profile: What the browser bears, such as `APNS_ALERT`; "auto" for that of its push service; None for no
                limit but `rate`.

        Returns:
            The sink.

        Raises:
            InvalidArgument: An argument is invalid; nothing that a subscription holds is in the error.
        """
        read = read_subscription(subscription, allow_insecure_http=self._allow_insecure_http)
        del subscription
        check_kind("declarative", declarative, str)
        check_max_payload_bytes(max_payload_bytes, MAX_PLAINTEXT_BYTES, "Web Push before encryption (RFC 8291)")
        if profile == "auto":
            profile = read.default_profile
        check_kind("profile", profile, Profile, optional=True)
        if alert is None:
            alert = "all" if profile is not None and profile.visible else "final"
        encoder = WebPushPayload(
            title=title,
            body=body,
            data={} if data is None else data,
            ref=ref,
            mode=mode,
            alert=alert,
            declarative=declarative,
            max_payload_bytes=max_payload_bytes,
        )
        return self._sink(
            read.endpoint,
            encoder,
            self._request_maker(read, Handling(ttl, urgency)),
            name=f"Web Push to {read.public_url}",
            profile=profile,
            error_of=lambda reply: error_of(reply, read),
            receipt_of=receipt_of,
        )

    def _request_maker(self, subscription: Subscription, handling: Handling) -> Callable[[bytes, Batch], Request]:
        crypto, vapid, lock = self._crypto, self._vapid, self._lock
        try:
            receiver = crypto.public_key_of(subscription.public_key)
        except ValueError:
            raise InvalidArgument("subscription['keys']['p256dh']", "must be a point of the curve P-256") from None

        def request(content: bytes, batch: Batch) -> Request:
            # RFC 8291, section 3.1: a key pair and a salt of its own for each message.
            body = crypto.encrypt(
                content, receiver, subscription.auth, sender=crypto.new_private_key(), salt=os.urandom(16)
            )
            with lock:
                authorization = vapid.authorization(subscription.origin, time.time())
            return message_request(subscription, body, handling.headers(batch), authorization=authorization)

        return request

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _webcrypto(needed_by: str) -> ModuleType:
    try:
        from ._core.services import webcrypto
    except ImportError as error:
        raise missing_extra(needed_by, "webpush") from error
    return webcrypto


class WebPush(_WebPush[PushReceipt, Sink], BlockingService):
    """Sends Web Push messages, blocking; it may be shared by any number of threads."""


class AsyncWebPush(_WebPush[Coroutine[Any, Any, PushReceipt], AsyncSink], AsyncService):
    """Sends Web Push messages, async; it may be shared by any number of tasks of one event loop."""
