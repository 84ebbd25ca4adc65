"""`FakeFcm`: Firebase Cloud Messaging on your machine, with the token endpoint of Google's accounts."""

from __future__ import annotations

import base64
import binascii
import json
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from attrs import define, evolve, field

from .._http import missing_extra
from . import _bodies
from ._responder import Responder
from ._script import Script
from ._scripted import JSON, Fail, Handle
from ._service import FakeService
from ._tokens import Tokens
from ._values import Answer, Entry, Request, headers_of

_MAX_BYTES = 4096
_TOKEN_PATH = "/token"  # noqa: S105 - a path
_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
_TYPES = "type.googleapis.com"
# What FCM puts into the payload for APNs beside the app's own keys.
_APPLE_KEYS = {
    "gcm.message_id": "0" * 16,
    "google.c.a.e": "1",
    "google.c.fid": "0" * 22,
    "google.c.sender.id": "0" * 12,
}


class FcmScript(Script):
    """What `POST /v1/projects/{project}/messages:send` answers next."""

    def fail(  # type: ignore[override]  # FCM's errors have other fields
        self,
        status: int = 503,
        code: str = "",
        *,
        message: str = "",
        details: tuple[Mapping[str, Any], ...] = (),
        headers: Mapping[str, str] | None = None,
        times: int | None = 1,
    ) -> None:
        """Answer with an error.

        Args:
            status: The HTTP status.
            code: The `errorCode` of FCM, such as "UNREGISTERED"; "" for an error without one.
            message: The message; "" for one that says the status.
            details: Further details, as google.rpc.Status has them.
            headers: Further headers.
            times: For how many requests; None for always.
        """
        self.queue(Fail(status, code, message, details, None, headers_of(headers)), times=times)

    def unregistered(self, *, times: int | None = 1) -> None:
        """Answer that the app is no longer on the device, or the token has expired.

        Args:
            times: For how many requests; None for always.
        """
        self.fail(404, "UNREGISTERED", message="Requested entity was not found.", times=times)

    def quota_exceeded(self, scope: str = "device", *, retry_after: float | None = None, times: int | None = 1) -> None:
        """Answer 429 for one of FCM's quotas.

        Args:
            scope: Whose quota it is: "device", "topic" or "project".
            retry_after: What Retry-After says, in seconds; None for no header.
            times: For how many requests; None for always.
        """
        words = {"device": "Device message rate exceeded", "topic": "Topic message rate exceeded"}
        violation = {"subject": f"{scope}:1", "description": words.get(scope, "Project message rate exceeded")}
        detail = {"@type": f"{_TYPES}/google.rpc.QuotaFailure", "violations": [violation]}
        headers = None if retry_after is None else {"Retry-After": f"{retry_after:g}"}
        message = "Quota exceeded."
        self.fail(429, "QUOTA_EXCEEDED", message=message, details=(detail,), headers=headers, times=times)


class FakeFcm(FakeService):
    """Firebase Cloud Messaging on your machine, with no account: scripted, and with a log of the requests that it got.

    In memory, give `transport` to an httpx client; on the loopback, `serve()` it::

        fake = FakeFcm()
        fake.send.unregistered()
        with fake.serve() as server:
            Path("key.json").write_text(json.dumps(fake.service_account(server.base_url)))
            fcm = Fcm.from_service_account_file("key.json", base_url=server.base_url)

    A message is refused if it has a field that is not a string where FCM wants one, no target or more than one, or is
    too large for Android, or for APNs where it has an `apns` block.

    Attributes:
        send: The script of `POST /v1/projects/{project}/messages:send`.
        tokens: The script of the token endpoint, `POST /token`.
        transport: For `httpx.Client(transport=...)` and `httpx.AsyncClient(transport=...)`.

    Args:
        project_id: The project's id.
        expires_in: Lifetime of a new access token in seconds.
        dead: Device tokens that are answered with UNREGISTERED, always; a set that may be changed at any time.
        clock: Returns seconds since 1970; it dates the log and expires tokens.
        on_request: Called with each entry of the request log, by the thread that answers.

    .. versionadded:: 0.1
    """

    def __init__(
        self,
        *,
        project_id: str = "fake-project",
        expires_in: int = 3599,
        dead: set[str] | None = None,
        clock: Callable[[], float] = time.time,
        on_request: Callable[[Entry], object] | None = None,
    ) -> None:
        self.project_id = project_id
        self.expires_in = expires_in
        self.dead: set[str] = set() if dead is None else dead
        self.on_request = on_request
        self._app = _App(self)
        super().__init__(self._app, clock)
        self.send = self._app.send
        self.tokens = self._app.tokens
        self._key: Any = None

    def service_account(self, base_url: str = "https://fake.fcm.example") -> dict[str, str]:
        """Return what the file of a service account holds whose tokens come from this fake.

        Args:
            base_url: The server's `base_url`; in memory any host name works.

        Returns:
            The content of the JSON file.

        Raises:
            ConfigurationError: The extra [fcm] is not installed.
        """
        if self._key is None:
            self.rotate_key()
        from cryptography.hazmat.primitives import serialization

        key: Any = self._key
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {
            "type": "service_account",
            "project_id": self.project_id,
            "private_key_id": "fake-key",
            "private_key": pem.decode(),
            "client_email": f"push@{self.project_id}.iam.gserviceaccount.com",
            "client_id": "1",
            "token_uri": base_url + _TOKEN_PATH,
        }

    def rotate_key(self) -> None:
        """Make another key for the service account; the one before is refused from now on."""
        try:
            from cryptography.hazmat.primitives.asymmetric import rsa
        except ImportError as error:
            raise missing_extra("the key of a service account", "fcm") from error

        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def revoke_tokens(self) -> None:
        """Invalidate every access token that was issued so far."""
        with self._app.lock:
            self._app.issued.revoke()

    @property
    def issued_tokens(self) -> tuple[str, ...]:
        """Every access token that was ever issued, in order."""
        with self._app.lock:
            return self._app.issued.tokens

    @property
    def messages(self) -> list[Any]:
        """The messages that were accepted, in order, those included whose answer was lost."""
        with self._app.lock:
            return list(self._app.messages)

    def clear(self) -> None:
        """Clear the scripts and the request log; tokens stay valid."""
        self.send.clear()
        self.tokens.clear()
        with self._app.lock:
            self._app.request_log.clear()
            self._app.messages.clear()

    def signature_is_valid(self, assertion: str) -> bool:
        """Return whether the key of the service account has signed a JWT (RFC 7515).

        Args:
            assertion: The JWT.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        signed, _, signature = assertion.rpartition(".")
        try:
            raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
            self._key.public_key().verify(raw, signed.encode(), PKCS1v15(), SHA256())
        except (InvalidSignature, binascii.Error, AttributeError):
            return False
        return True


@define(eq=False)
class _App(Responder):
    """FCM without a network; `fake` has its settings."""

    fake: FakeFcm
    issued: Tokens = field(factory=Tokens)
    messages: list[Any] = field(factory=list)
    send: FcmScript = field(init=False)
    tokens: Script = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.send = FcmScript(lambda: self.entries("push"))
        self.tokens = Script(lambda: self.entries("tokens"))

    def respond(self, request: Request) -> Answer:
        """Answer a request, and log both."""
        with self.lock:
            route = self._route(request)
            answer = (self._answer(request, route) if route else _error(404)).framed()
            entry = self.log(request, answer, route)
        if self.fake.on_request is not None:
            self.fake.on_request(entry)
        return answer

    def _route(self, request: Request) -> str:
        if request.method != "POST":
            return ""
        path = f"/v1/projects/{self.fake.project_id}/messages:send"
        return {path: "push", _TOKEN_PATH: "tokens"}.get(request.path, "")

    def _answer(self, request: Request, route: str) -> Answer:
        if route == "push":
            _, _, token = request.headers.get("authorization", "").partition(" ")
            if self.issued.problem(token, request.at):
                return _error(401, message="Request had invalid authentication credentials.")
        scripted = (self.send if route == "push" else self.tokens).next()
        if isinstance(scripted, Answer):
            return scripted
        if isinstance(scripted, Fail):
            if route == "tokens":
                return _json(scripted.status, _bodies.oauth_error(scripted.code, scripted.message), scripted.headers)
            return _error(
                scripted.status, scripted.code, scripted.message, details=scripted.details, headers=scripted.headers
            )
        answer = self._send(request) if route == "push" else self._token(request)
        before = scripted.before if isinstance(scripted, Handle) else ()
        return evolve(answer, before=before)

    def _token(self, request: Request) -> Answer:
        form = parse_qs(request.body.decode("latin-1"))
        if form.get("grant_type") != ["urn:ietf:params:oauth:grant-type:jwt-bearer"]:
            return _json(400, _bodies.oauth_error("unsupported_grant_type", "Invalid grant_type"))
        if not self.fake.signature_is_valid(form.get("assertion", [""])[0]):
            return _json(400, _bodies.oauth_error("invalid_grant", "Invalid JWT Signature."))
        token = self.issued.issue(request.at + self.fake.expires_in)
        return _json(200, {"access_token": token, "token_type": "Bearer", "expires_in": self.fake.expires_in})

    def _send(self, request: Request) -> Answer:
        try:
            message = json.loads(request.body)["message"]
            problem = _problem(message)
        except (ValueError, LookupError, TypeError, AttributeError):
            return _error(400, message="Invalid JSON payload received.", details=(_bad_request(""),))
        if problem:
            return _error(400, "INVALID_ARGUMENT", f"Invalid value at '{problem}'", details=(_bad_request(problem),))
        platform = _too_big(message)
        if platform:
            return _error(400, "INVALID_ARGUMENT", f"{platform} message is too big", details=(_bad_request(""),))
        if {message.get("token"), message.get("fid")} & self.fake.dead:
            return _error(404, "UNREGISTERED", "Requested entity was not found.")
        self.messages.append(message)
        return _json(200, {"name": f"projects/{self.fake.project_id}/messages/{uuid.uuid4().hex}"})


def _problem(message: Mapping[str, Any]) -> str:
    """Return the field that FCM would refuse, or ""."""
    targets = [name for name in ("token", "fid", "topic", "condition") if name in message]
    if len(targets) != 1 or not isinstance(message[targets[0]], str) or not message[targets[0]]:
        return f"message.{targets[0] if targets else 'token'}"
    for name, value in message.get("data", {}).items():
        if not isinstance(value, str) or name in {"from", "message_type"} or name.startswith(("google.", "gcm.")):
            return "message.data"
    headers = message.get("apns", {}).get("headers", {})
    if not all(isinstance(value, str) for value in headers.values()):
        return "message.apns.headers"
    return "message.apns" if len(headers.get("apns-collapse-id", "")) > 64 else ""


def _too_big(message: Mapping[str, Any]) -> str:
    """Return the platform for which a message is too large, or ""."""
    if _android_size(message) > _MAX_BYTES:
        return "Android"
    return "iOS" if "apns" in message and _apple_size(message) > _MAX_BYTES else ""


def _android_size(message: Mapping[str, Any]) -> int:
    shown = message.get("notification", {})
    tag = message.get("android", {}).get("notification", {}).get("tag", "")
    keys = {**message.get("data", {}), **{f"gcm.n.{name}": value for name, value in shown.items()}}
    if tag:
        keys["gcm.n.tag"] = tag
    return 39 + sum(6 + len(name.encode()) + len(value.encode()) for name, value in keys.items())


def _apple_size(message: Mapping[str, Any]) -> int:
    aps = dict(message["apns"].get("payload", {}).get("aps", {}))
    if "notification" in message:
        aps["alert"] = message["notification"]
    return len(_bodies.encode({"aps": aps, **_APPLE_KEYS, **message.get("data", {})}))


def _bad_request(field: str) -> dict[str, Any]:
    detail: dict[str, Any] = {"@type": f"{_TYPES}/google.rpc.BadRequest"}
    if field:
        detail["fieldViolations"] = [{"field": field, "description": f"Invalid value at '{field}'"}]
    return detail


def _error(
    status: int,
    code: str = "",
    message: str = "",
    *,
    details: tuple[Mapping[str, Any], ...] = (),
    headers: tuple[tuple[str, str], ...] = (),
) -> Answer:
    found: list[Mapping[str, Any]] = list(details)
    if code:
        found.append({"@type": f"{_TYPES}/google.firebase.fcm.v1.FcmError", "errorCode": code})
    word = _STATUS.get(status, "UNKNOWN")
    error = {"code": status, "message": message or f"The request failed: {word}.", "status": word, "details": found}
    return _json(status, {"error": error}, headers)


def _json(status: int, body: object, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    return Answer(status, (JSON, *headers), (_bodies.encode(body),))
