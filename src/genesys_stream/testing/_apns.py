"""`FakeApns`: an APNs on the loopback, scripted, and with a log of the pushes that it got."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, TypeAlias

from attrs import evolve, frozen

from ._apns_server import FakeApnsServer
from ._script import Queue
from ._service import Timed
from ._values import Drop, Request

_BROADCAST = re.compile(r"/4/broadcasts/apps/([^/]+)")
_DEVICE = re.compile(r"/3/device/([^/]+)")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")


@frozen
class ApnsAnswer:
    """Answer with a status.

    Attributes:
        status: The HTTP status; 200 accepts the push, if it is in order.
        reason: Apple's word for the error, such as "BadDeviceToken".
        timestamp: From when on the device token is known to be dead, in seconds since 1970.
        headers: Further headers.
        after: Seconds before the answer.
    """

    status: int = 200
    reason: str = ""
    timestamp: float | None = None
    headers: tuple[tuple[str, str], ...] = ()
    after: float = 0.0

    @property
    def body(self) -> bytes:
        """The JSON of an error; empty for a success."""
        if not self.reason:
            return b""
        fields: dict[str, Any] = {"reason": self.reason}
        if self.timestamp is not None:
            fields["timestamp"] = int(self.timestamp * 1000)
        return json.dumps(fields).encode()


@frozen
class RefuseStream:
    """Reset the stream with REFUSED_STREAM: the push was not processed."""


@frozen
class NeverAnswer:
    """Take the push, and never answer it."""


@frozen
class GoAway:
    """Take the push, and send a GOAWAY: what came before it on the connection is answered, what came after is not.

    Attributes:
        two_steps: Whether a first GOAWAY allows all streams, as RFC 9113, section 6.8, recommends.
    """

    two_steps: bool = False


@frozen
class LimitStreams:
    """Take the push, and let the connection have only so many streams at once from now on."""

    streams: int = 1


ApnsScripted: TypeAlias = ApnsAnswer | RefuseStream | NeverAnswer | Drop | GoAway | LimitStreams


@frozen(kw_only=True)
class ApnsEntry(Request):
    """An entry of the request log: a push, and how it was answered.

    Attributes:
        at: When the push came, in seconds since 1970 by the fake's clock.
        method: POST.
        path: The path, with the device token.
        query: The query string.
        headers: Lower-case names to values, authorization included.
        body: The payload.
        connection: The number of the TCP connection, from 1.
        status: The status of the answer; None where there is none.
        reason: Apple's word for the error; "" for none.
        accepted: Whether the push was delivered, even if its answer was lost.
    """

    status: int | None = None
    reason: str = ""
    accepted: bool = False

    @property
    def device(self) -> str:
        """The device token; "" for a broadcast."""
        found = _DEVICE.fullmatch(self.path)
        return found[1] if found else ""


class ApnsScript(Queue[ApnsScripted]):
    """What the next pushes are answered; what is not scripted is accepted if it is in order.

    `queue` takes `ApnsAnswer`, `RefuseStream`, `NeverAnswer`, `GoAway`, `LimitStreams`, and `Drop`, with which the push
    is taken, and its answer lost.
    """

    def __init__(self) -> None:
        super().__init__(ApnsAnswer())

    def fail(
        self,
        status: int,
        reason: str,
        *,
        timestamp: float | None = None,
        headers: Mapping[str, str] | None = None,
        after: float = 0.0,
        times: int | None = 1,
    ) -> None:
        """Answer with an error; see `ApnsAnswer`.

        Args:
            status: The HTTP status.
            reason: Apple's word for the error.
            timestamp: From when on the device token is known to be dead, in seconds since 1970.
            headers: Further headers.
            after: Seconds before the answer.
            times: For how many pushes; None for always.
        """
        pairs = tuple((headers or {}).items())
        self.queue(ApnsAnswer(status, reason, timestamp, pairs, after), times=times)

    def accept(self, *, after: float = 0.0, times: int | None = 1) -> None:
        """Accept pushes that are in order, after so many seconds."""
        self.queue(ApnsAnswer(after=after), times=times)


class FakeApns(Timed):
    """An APNs that runs on your machine with no account: scripted, and with a log of the pushes that it got.

    It speaks HTTP/2, and checks provider tokens, headers and sizes.

    It needs the packages h2, PyJWT and cryptography: `pip install "genesys-stream[apns]" h2`::

        fake = FakeApns()
        fake.push.fail(410, "Unregistered", timestamp=time.time())
        with fake.serve() as server, Apns.from_p8(**fake.client_options(server)) as apns:
            relay(stream, apns.to("c0ffee"))
        assert fake.request_log[0].reason == "Unregistered"

    The arguments are attributes, too, which may be changed at any time.

    Attributes:
        push: What the next pushes are answered.
        key: The authentication key that it accepts, as the text of a .p8 file.

    Args:
        key_id: The key's id.
        team_id: The team's id.
        topic: The bundle id of the app.
        max_streams: How many streams a new connection may have at once.
        first_streams: How many it may have until it has seen a valid token, as with Apple one; None for `max_streams`.
        token_seconds: For how many seconds a provider token is valid.
        clock: Returns seconds since 1970; it dates the log and expires tokens.
        on_request: Called with each entry of the request log, by the thread that answers.

    Raises:
        ModuleNotFoundError: A package that it needs is not installed.

    .. versionadded:: 0.1
    """

    def __init__(
        self,
        *,
        key_id: str = "ABC123DEFG",
        team_id: str = "DEF123GHIJ",
        topic: str = "com.example.app",
        max_streams: int = 1000,
        first_streams: int | None = None,
        token_seconds: float = 3600.0,
        clock: Callable[[], float] = time.time,
        on_request: Callable[[ApnsEntry], object] | None = None,
    ) -> None:
        _need("h2", "jwt", "cryptography")
        super().__init__(clock)
        self.key_id = key_id
        self.team_id = team_id
        self.topic = topic
        self.max_streams = max_streams
        self.first_streams = first_streams
        self.token_seconds = token_seconds
        self.on_request = on_request
        self.push = ApnsScript()
        self.key = ""
        self._lock = Lock()
        self._log: list[ApnsEntry] = []
        self._dead: dict[str, float | None] = {}
        self._valid: dict[str, tuple[str, float]] = {}
        self._revoked: set[str] = set()
        self.connections = 0
        self.open_connections = 0
        self.rotate_key(key_id)

    def serve(self, host: str = "127.0.0.1", port: int = 0, *, tls: Any = None) -> FakeApnsServer:
        """Return a server for this fake: `with fake.serve() as server: server.base_url`.

        Args:
            host: The address to listen on.
            port: The port to listen on; 0 for any that is free.
            tls: An `ssl.SSLContext` with a certificate, to be served over TLS; None for HTTP/2 in the clear.

        Returns:
            The server, which listens from `start()` on, or inside its `with` block.
        """
        return FakeApnsServer(self, host, port, tls)

    def client_options(self, server: FakeApnsServer) -> dict[str, Any]:
        """Return the arguments of `Apns.from_p8` and `AsyncApns.from_p8` that point a client to a server."""
        return {
            "key": self.key,
            "key_id": self.key_id,
            "team_id": self.team_id,
            "topic": self.topic,
            "base_url": server.base_url,
        }

    # The key and the devices.

    def rotate_key(self, key_id: str) -> None:
        """Make a new key, in `key`, and accept no other one from now on.

        Args:
            key_id: The new key's id.
        """
        from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        private = generate_private_key(SECP256R1())
        self._public = private.public_key()
        self._valid = {}
        self.key_id = key_id
        self.key = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def expire_tokens(self) -> None:
        """Take the provider tokens that were used so far for expired."""
        with self._lock:
            self._revoked.update(self._valid)

    def unregister(self, device: str, *, since: float | None = None) -> None:
        """Answer all pushes to a device with 410.

        Args:
            device: The device token.
            since: From when on, in seconds since 1970; None for now.
        """
        self._dead[device.lower()] = self.now() if since is None else since

    # What came.

    @property
    def request_log(self) -> list[ApnsEntry]:
        """Every push and how it was answered, in the order of arrival; streams that were refused are not in it."""
        with self._lock:
            return list(self._log)

    @property
    def pushes(self) -> list[dict[str, Any]]:
        """The payloads that were accepted, in order, those included whose answer was lost."""
        return [entry.json for entry in self.request_log if entry.accepted]

    def clear(self) -> None:
        """Clear the script and the request log."""
        self.push.clear()
        with self._lock:
            self._log.clear()

    # Called by the server.

    def _respond(self, request: Request, scripted: ApnsScripted) -> tuple[ApnsAnswer, bool]:
        """Answer a push, and log both; returns the answer, and whether the provider token is valid."""
        refused = self._refused_token(request)
        if refused is not None:
            answer = refused
        elif isinstance(scripted, ApnsAnswer) and scripted.status != 200:
            answer = scripted
        else:
            answer = self._checked(request)
            if isinstance(scripted, ApnsAnswer):
                answer = evolve(answer, after=scripted.after)
        name = "apns-request-id" if _BROADCAST.fullmatch(request.path) else "apns-id"
        answer = evolve(answer, headers=((name, request.headers.get(name) or str(uuid.uuid4())), *answer.headers))
        entry = ApnsEntry(
            at=request.at,
            method=request.method,
            path=request.path,
            query=request.query,
            headers=request.headers,
            body=request.body,
            connection=request.connection,
            status=None if isinstance(scripted, (NeverAnswer, Drop)) else answer.status,
            reason=answer.reason,
            accepted=answer.status == 200,
        )
        with self._lock:
            self._log.append(entry)
        if self.on_request is not None:
            self.on_request(entry)
        return answer, refused is None

    def _refused_token(self, request: Request) -> ApnsAnswer | None:
        import jwt

        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return ApnsAnswer(403, "MissingProviderToken")
        known = self._valid.get(token)
        if known is None:
            try:
                kid = jwt.get_unverified_header(token).get("kid")
                claims = jwt.decode(token, self._public, algorithms=["ES256"], options={"verify_iat": False})
                known = self._valid[token] = (str(claims["iss"]), float(claims["iat"]))
            except (jwt.InvalidTokenError, KeyError, ValueError):
                return ApnsAnswer(403, "InvalidProviderToken")
            if kid != self.key_id:
                del self._valid[token]
                return ApnsAnswer(403, "InvalidProviderToken")
        team, issued = known
        if team != self.team_id:
            return ApnsAnswer(403, "InvalidProviderToken")
        if token in self._revoked or request.at - issued > self.token_seconds:
            return ApnsAnswer(403, "ExpiredProviderToken")
        return None

    def _checked(self, request: Request) -> ApnsAnswer:
        headers, kind = request.headers, request.headers.get("apns-push-type", "")
        if request.method != "POST":
            return ApnsAnswer(405, "MethodNotAllowed")
        broadcast, device = _BROADCAST.fullmatch(request.path), _DEVICE.fullmatch(request.path)
        if broadcast:
            if not headers.get("apns-channel-id"):
                return ApnsAnswer(400, "MissingChannelId")
            problem = "" if broadcast[1] == self.topic else "TopicMismatch"
        elif device:
            if not _HEX.fullmatch(device[1]):
                return ApnsAnswer(400, "BadDeviceToken")
            if device[1].lower() in self._dead:
                return ApnsAnswer(410, "Unregistered", self._dead[device[1].lower()])
            topic = headers.get("apns-topic", "")
            wanted = f"{self.topic}.push-type.liveactivity" if kind == "liveactivity" else self.topic
            problem = "MissingTopic" if not topic else "" if topic == wanted else "DeviceTokenNotForTopic"
        else:
            return ApnsAnswer(404, "BadPath")
        problem = problem or self._problem(request, kind)
        if problem:
            return ApnsAnswer(400, problem)
        if not request.body:
            return ApnsAnswer(400, "PayloadEmpty")
        if len(request.body) > (5120 if broadcast else 4096):
            return ApnsAnswer(413, "PayloadTooLarge")
        return ApnsAnswer()

    def _problem(self, request: Request, kind: str) -> str:
        headers = request.headers
        if kind not in {"alert", "background", "liveactivity"}:
            return "InvalidPushType"
        if headers.get("apns-priority", "10") not in ({"5"} if kind == "background" else {"1", "5", "10"}):
            return "BadPriority"
        if not re.fullmatch(r"[0-9]+", headers.get("apns-expiration", "0")):
            return "BadExpirationDate"
        if len(headers.get("apns-collapse-id", "")) > 64:
            return "BadCollapseId"
        try:
            uuid.UUID(headers.get("apns-id", str(uuid.UUID(int=0))))
        except ValueError:
            return "BadMessageId"
        return ""


def _need(*modules: str) -> None:
    from importlib.util import find_spec

    if missing := [module for module in modules if find_spec(module) is None]:
        msg = f'FakeApns needs {", ".join(missing)}: pip install "genesys-stream[apns]" h2'
        raise ModuleNotFoundError(msg, name=missing[0])
