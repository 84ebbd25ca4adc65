"""Apple Push Notification service: silent pushes while the model speaks, and an alert at the end.

Needs the extra [apns]: `pip install "genesys-stream[apns]"`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Generic, Literal, Self
from urllib.parse import quote
from weakref import WeakValueDictionary

from ._aio.http2 import Http2Session as AsyncHttp2Session
from ._core.http.exchange import Request
from ._core.http.regions import endpoints
from ._core.http.tokens import Hidden
from ._core.relaying.limits import LIVE_ACTIVITY, Profile, Rate
from ._core.relaying.payload import TITLE, Caption, check_max_payload_bytes, count_received
from ._core.relaying.sink import AsyncSink, Sink
from ._core.services.apns import (
    APP_CLOSED,
    APP_OPEN,
    MAX_BROADCAST_BYTES,
    MAX_BYTES,
    PRODUCTION,
    SANDBOX,
    ActivityEncoder,
    DeviceEncoder,
    ProviderToken,
    apns_error,
    apns_receipt,
    check_token,
    push_id,
)
from ._errors import ConfigurationError, InvalidArgument
from ._http import missing_extra
from ._http2 import MAX_CONNECTIONS, Connections
from ._services import (
    AsyncService,
    BlockingService,
    InvalidTokenHook,
    PushService,
    ReceiptT,
    SinkT,
)
from ._sync.http2 import Http2Session
from ._values import Batch, ClientEvent, PushReceipt, Timeouts
from ._values._checks import check_kind, check_seconds, check_word, with_checked_names
from ._wire import type_name

__all__ = ["APP_CLOSED", "APP_OPEN", "Apns", "AsyncApns"]

_UNLIMITED = Rate(1_000_000, 1e9)
"""No limit of its own, but one that a refusal of the credential can hold."""


class SharedToken:
    """The provider token of one key, for all clients of this process, of either shell."""

    def __init__(self, sign: Callable[[int], str]) -> None:
        self._token = ProviderToken(sign)
        self._lock = threading.Lock()

    def get(self, refused: str | None) -> str:
        """Return the token to send now, in place of one that was refused."""
        with self._lock:
            now = time.time()
            if refused is not None:
                self._token.replace(refused, now)
            return Hidden(self._token.current(now))


_shared: WeakValueDictionary[tuple[str, str, bytes], SharedToken] = WeakValueDictionary()
_shared_lock = threading.Lock()


class ApnsKey:
    """The key that a client signs its provider tokens with, which may be replaced."""

    def __init__(self, key: object, key_id: str, team_id: str) -> None:
        self.replace(key, key_id, team_id)

    def replace(self, key: object, key_id: str, team_id: str) -> None:
        """Use another key from now on."""
        self._team_id = check_word("team_id", team_id)
        self._shared = _shared_token(_read(key), check_word("key_id", key_id), team_id)

    def change(self, key: object, key_id: str) -> None:
        """Use another key of the same team from now on."""
        self.replace(key, key_id, self._team_id)

    def token(self, refused: str | None = None) -> str:
        """Return the token to send now, in place of one that was refused."""
        return self._shared.get(refused)

    def __reduce__(self) -> Any:
        msg = "credentials are not to be pickled; make them anew where they are needed"
        raise TypeError(msg)


def _read(key: object) -> bytes:
    if isinstance(key, Path):
        try:
            return key.read_bytes()
        except OSError as error:
            msg = f"the .p8 file of the key cannot be read: {error.strerror or type(error).__name__}"
            raise ConfigurationError(msg) from error
    if isinstance(key, str):
        if "-----BEGIN" not in key:
            raise InvalidArgument("key", "must be the text of a .p8 file; write Path(...) for the name of the file")
        return key.encode()
    if isinstance(key, bytes):
        return key
    raise InvalidArgument("key", f"must be the text of a .p8 file, or a Path to it, not {type_name(key)}")


def _shared_token(pem: bytes, key_id: str, team_id: str) -> SharedToken:
    try:
        import jwt
        from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
    except ImportError as error:
        raise missing_extra("genesys_stream.apns", "apns") from error
    try:
        key: Any = load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        key = None  # the error may have a part of the key
    del pem
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        msg = "the key is not a P-256 private key as PEM, which the .p8 file of Apple's developer account is"
        raise ConfigurationError(msg)
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def sign(now: int) -> str:
        return jwt.encode({"iss": team_id, "iat": now}, key, algorithm="ES256", headers={"kid": key_id})

    name = (team_id, key_id, public)
    with _shared_lock:
        shared = _shared.get(name)
        if shared is None:
            shared = _shared[name] = SharedToken(sign)
    return shared


class _Service(PushService[ReceiptT, SinkT], Generic[ReceiptT, SinkT]):
    """What `Apns` and `AsyncApns` share."""

    _session_class: Callable[..., Connections[Any]]
    _key: ApnsKey
    _topic: str
    _base_url: str
    _wanted: dict[str, Any]

    @classmethod
    @with_checked_names
    def from_p8(
        cls,
        key: str | bytes | Path,
        *,
        key_id: str,
        team_id: str,
        topic: str,
        sandbox: bool = False,
        timeouts: Timeouts | None = None,
        rate: Rate | None = None,
        max_connections: int = MAX_CONNECTIONS,
        certificates: bytes | None = None,
        proxy: str | None = None,
        on_event: Callable[[ClientEvent], object] | None = None,
        on_invalid_token: InvalidTokenHook | None = None,
        base_url: str | None = None,
        allow_insecure_http: bool = False,
    ) -> Self:
        """Make a client from the authentication key of an Apple developer account; nothing is sent yet.

        Args:
            key: The .p8 file: a `Path` to it, or its text.
            key_id: The key's id, of ten characters.
            team_id: The id of the developer team, of ten characters.
            topic: The bundle id of the app.
            sandbox: Whether the device tokens are those of the development environment, as from Xcode.
            timeouts: Their `connect`, `push` and `total` are used; a push that is not answered in `push` seconds may
                have been delivered.
            rate: How many pushes all sinks may send together; None for no limit.
            max_connections: How many HTTP/2 connections may be open at once, each with many pushes.
            certificates: Certificates of authorities to trust in place of the system's, as PEM.
            proxy: The address of a proxy.
            on_event: Called with every `ExchangeStarted` and `Exchange`; their URLs have no device token.
            on_invalid_token: Called with a device token and the `InvalidToken` that it was answered with, so that an
                app can delete it; async clients may be given an async one.
            base_url: The address of the service, if it is not Apple's.
            allow_insecure_http: Whether `base_url` may be an http URL of another machine.

        Returns:
            The client.

        Raises:
            ConfigurationError: The key cannot be read, an address is unsafe, or the extra is not installed.
            InvalidArgument: An argument is of the wrong kind.
        """
        check_kind("sandbox", sandbox, bool)
        check_kind("certificates", certificates, bytes, optional=True)
        check_kind("proxy", proxy, str, optional=True)
        self = cls.__new__(cls)
        self._key = ApnsKey(key, key_id, team_id)
        self._topic = check_word("topic", topic)
        default = SANDBOX if sandbox else PRODUCTION
        self._base_url = endpoints(
            base_url=default if base_url is None else base_url, allow_insecure_http=allow_insecure_http
        ).base_url
        self._wanted = {"certificates": certificates, "proxy": proxy}
        PushService.__init__(
            self,
            None,
            timeouts=timeouts,
            rate=rate or _UNLIMITED,
            http_client=None,
            transport="",
            max_connections=max_connections,
            on_event=on_event,
            on_invalid_token=on_invalid_token,
        )
        self._reauthorises = True
        return self

    def __init__(self) -> None:
        msg = f"{type(self).__name__} is made by {type(self).__name__}.from_p8(...)"
        raise ConfigurationError(msg)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._topic!r})"

    def _open(self, http: Any, credentials: object, max_connections: int, transport: str) -> None:  # noqa: ARG002 - the signature of all services
        self._session: Any = type(self)._session_class(
            self._key, **self._wanted, max_connections=max_connections, connect=self._settings.timeouts.connect
        )

    def replace_key(self, key: str | bytes | Path, *, key_id: str) -> None:
        """Use another key of the same team from the next push on, before the old one is revoked.

        Args:
            key: As for `from_p8`.
            key_id: The key's id.

        Raises:
            ConfigurationError: The key cannot be read.
            InvalidArgument: An argument is of the wrong kind.
        """
        self._key.change(key, key_id)

    @with_checked_names
    def to(
        self,
        device: str,
        *,
        title: Caption = TITLE,
        body: Caption = count_received,
        data: Mapping[str, str] | None = None,
        ref: str = "",
        mode: Literal["delta", "tail", "snapshot"] = "delta",
        alert: Literal["all", "final"] | None = None,
        sound: str = "default",
        max_payload_bytes: int = MAX_BYTES,
        profile: Profile | None = APP_OPEN,
    ) -> SinkT:
        """Make a sink for `relay`: silent pushes to a device while the text is generated, and an alert at the end.

        A silent push is not stored, and iOS delivers few of them to an app that is not open; the alert is kept for an
        hour, and replaces earlier ones of its stream.

        Args:
            device: The device token, in hexadecimal digits.
            title: What an alert is headed, or a callable that says it for a batch.
            body: What an alert reads, likewise.
            data: The app's own keys for every payload.
            ref: Where the receiver can fetch the whole text, an id or a URL; the final payload carries it.
            mode: What the payloads hold: "delta", the new text alone; "tail", the end of the text before it as well; or
                "snapshot", all of the text before it, as far as it fits.
            alert: Which payloads show an alert: the "final" one alone, or "all". By default "all" where the profile is
                `visible`, else "final".
            sound: What an alert plays; "" for nothing.
            max_payload_bytes: The limit for one payload, in bytes; Apple takes 4096.
            profile: What the device bears: `APP_OPEN`; `APP_CLOSED`, which sends the alert alone; or None for no limit.

        Returns:
            The sink.

        Raises:
            InvalidArgument: An argument is invalid.
        """
        device = Hidden(check_token("device", device))
        check_max_payload_bytes(max_payload_bytes, MAX_BYTES, "Apple")
        check_kind("profile", profile, Profile, optional=True)
        if alert is None:
            alert = "all" if profile is not None and profile.visible else "final"
        encoder = DeviceEncoder(
            title=title,
            body=body,
            data={} if data is None else data,
            ref=ref,
            mode=mode,
            alert=alert,
            sound=sound,
            max_payload_bytes=max_payload_bytes,
        )
        return self._device_sink(device, encoder, "APNs device", profile)

    @with_checked_names
    def live_activity(
        self,
        push_token: str,
        *,
        data: Mapping[str, str] | None = None,
        ref: str = "",
        mode: Literal["delta", "tail", "snapshot"] = "snapshot",
        stale_after: float | None = 120.0,
        dismiss_after: float | None = None,
        max_payload_bytes: int = MAX_BYTES,
        profile: Profile | None = LIVE_ACTIVITY,
    ) -> SinkT:
        """Make a sink for `relay` that updates a Live Activity, and ends it with the stream.

        The activity's content state is the payload's keys, all of them strings; see "Payloads".

        Args:
            push_token: The activity's push token, in hexadecimal digits.
            data: The app's own keys for every payload.
            ref: As for `to`.
            mode: As for `to`; by default "snapshot", because an activity shows nothing but its last update.
            stale_after: After how many seconds without an update the activity is shown as stale; None for never.
            dismiss_after: For how many seconds the activity stays on the lock screen after the end; None for up to four
                hours, as the system decides.
            max_payload_bytes: The limit for one payload, in bytes; Apple takes 4096.
            profile: What the activity bears; None for no limit.

        Returns:
            The sink.

        Raises:
            InvalidArgument: An argument is invalid.
        """
        token = Hidden(check_token("push_token", push_token))
        check_max_payload_bytes(max_payload_bytes, MAX_BYTES, "Apple")
        encoder = _activity(
            data=data,
            ref=ref,
            mode=mode,
            stale_after=stale_after,
            dismiss_after=dismiss_after,
            max_payload_bytes=max_payload_bytes,
        )
        return self._device_sink(token, encoder, "APNs Live Activity", profile)

    @with_checked_names
    def broadcast(
        self,
        channel_id: str,
        *,
        data: Mapping[str, str] | None = None,
        ref: str = "",
        mode: Literal["delta", "tail", "snapshot"] = "snapshot",
        stale_after: float | None = 120.0,
        dismiss_after: float | None = None,
        max_payload_bytes: int = MAX_BROADCAST_BYTES,
        profile: Profile | None = LIVE_ACTIVITY,
    ) -> SinkT:
        """Make a sink for `relay` that updates the Live Activities of all devices that subscribed to a channel.

        Args:
            channel_id: The channel's id, as Apple gave it.
            data: As for `live_activity`.
            ref: As for `live_activity`.
            mode: As for `live_activity`.
            stale_after: As for `live_activity`.
            dismiss_after: As for `live_activity`.
            max_payload_bytes: The limit for one payload, in bytes; Apple takes 5120.
            profile: What the channel bears; None for no limit.

        Returns:
            The sink.

        Raises:
            InvalidArgument: An argument is invalid.
        """
        channel = Hidden(check_word("channel_id", channel_id))
        check_max_payload_bytes(max_payload_bytes, MAX_BROADCAST_BYTES, "Apple")
        encoder = _activity(
            data=data,
            ref=ref,
            mode=mode,
            stale_after=stale_after,
            dismiss_after=dismiss_after,
            max_payload_bytes=max_payload_bytes,
        )
        url = f"{self._base_url}/4/broadcasts/apps/{quote(self._topic, safe='')}"

        def request(content: bytes, batch: Batch) -> Request:
            headers = encoder.broadcast_headers(batch, now=time.time())
            headers |= {"apns-channel-id": str(channel), "apns-request-id": push_id(batch, channel)}
            return Request("POST", url, headers, content)

        return self._sink(
            channel,
            encoder,
            request,
            name="APNs broadcast",
            profile=profile,
            error_of=apns_error,
            receipt_of=apns_receipt,
        )

    def _device_sink(
        self, token: str, encoder: DeviceEncoder | ActivityEncoder, name: str, profile: Profile | None
    ) -> SinkT:
        url = Hidden(f"{self._base_url}/3/device/{token}")
        shown = f"{self._base_url}/3/device/..."
        topic = self._topic

        def request(content: bytes, batch: Batch) -> Request:
            headers = encoder.headers(batch, topic=topic, now=time.time())
            headers["apns-id"] = push_id(batch, token)
            return Request("POST", url, headers, content, public_url=shown)

        return self._sink(
            token, encoder, request, name=name, profile=profile, error_of=apns_error, receipt_of=apns_receipt
        )


def _activity(
    *,
    data: Mapping[str, str] | None,
    ref: str,
    mode: Literal["delta", "tail", "snapshot"],
    stale_after: float | None,
    dismiss_after: float | None,
    max_payload_bytes: int,
) -> ActivityEncoder:
    for name, value in (("stale_after", stale_after), ("dismiss_after", dismiss_after)):
        if value is not None:
            check_seconds(name, value)
    return ActivityEncoder(
        data={} if data is None else data,
        ref=ref,
        mode=mode,
        now=time.time,
        stale_after=stale_after,
        dismiss_after=dismiss_after,
        max_payload_bytes=max_payload_bytes,
    )


class Apns(_Service[PushReceipt, Sink], BlockingService):
    """Sends pushes through APNs, blocking; any number of threads share one client.

    Made by `from_p8`, closed by `close` or by a `with` block.
    """

    _session_class = Http2Session


class AsyncApns(_Service[Coroutine[Any, Any, PushReceipt], AsyncSink], AsyncService):
    """Sends pushes through APNs, on asyncio and trio.

    Made by `from_p8`, closed by `aclose` or by an `async with` block.
    """

    _session_class = AsyncHttp2Session
