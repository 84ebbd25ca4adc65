"""Firebase Cloud Messaging: pushes to Android phones, iPhones and browsers over the HTTP v1 API; the extra [fcm].

`Fcm` is blocking, `AsyncFcm` is async. Each sends to one device what `relay` hands it.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from importlib import import_module
from queue import SimpleQueue
from typing import Any, Literal, Self, TypeVar

import httpx

from . import _errors
from ._auth import Signal, TokenFlow, TokenSource
from ._core.http.exchange import Reply, Request, status_error
from ._core.http.regions import endpoints
from ._core.http.retry import Attempt, Outcome
from ._core.http.tokens import Grant, Hidden, is_token
from ._core.relaying.limits import ANDROID_FOREGROUND, Profile, Rate
from ._core.relaying.payload import TITLE, Caption, check_max_payload_bytes, count_received
from ._core.relaying.sink import AsyncSink, Sink
from ._core.services.fcm import FCM_MAX_BYTES, FcmEncoder, fcm_error, fcm_receipt
from ._errors import GenesysStreamError, InvalidArgument, InvalidToken, NetworkError
from ._http import MAX_CONNECTIONS, missing_extra
from ._services import AsyncService, BlockingService, PushService, check_path
from ._values import Batch, ClientEvent, PushReceipt, Timeouts
from ._values._checks import check_word, shown, with_checked_names
from ._wire import type_name

__all__ = ["FCM_PROJECT", "AsyncFcm", "Fcm"]

ReceiptT = TypeVar("ReceiptT")
SinkT = TypeVar("SinkT")

FCM_PROJECT = Rate(60_000, 9_000.0)
"""FCM takes 600,000 messages a minute from one project."""

_URL = "https://fcm.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
_PLATFORMS = ("any", "android")


class _Service(PushService[ReceiptT, SinkT]):
    @with_checked_names
    def __init__(
        self,
        *,
        credentials: Any,
        project_id: str | None = None,
        timeouts: Timeouts | None = None,
        rate: Rate | None = FCM_PROJECT,
        http_client: Any = None,
        transport: str = "httpx",
        max_connections: int = MAX_CONNECTIONS,
        on_event: Callable[[ClientEvent], object] | None = None,
        on_invalid_token: Callable[[str, InvalidToken], object] | None = None,
        base_url: str = _URL,
        allow_insecure_http: bool = False,
    ) -> None:
        """Make a client of one Firebase project; nothing is sent yet.

        Args:
            credentials: Credentials of google-auth, of any kind; `from_service_account_file` and `from_env` find them.
            project_id: The id of the Firebase project; None for the one that the credentials name.
            timeouts: The timeouts of every call, of which pushes use `connect`, `write`, `push` and `total`.
            rate: How many messages the project may send, all sinks together; None for no limit.
            http_client: A client of httpx or httpx2 of your own, blocking or async as this one; you close it yourself.
            transport: The HTTP library, if there is no `http_client`: "httpx"; "httpx2"; or, for the async client on
                asyncio, "aiohttp".
            max_connections: How many pushes may be under way at once.
            on_event: Called with every `ExchangeStarted` and `Exchange`.
            on_invalid_token: Called with a device token and the `InvalidToken` that FCM answered, each time that it
                does; it may be async for the async client. An exception that it raises is logged without the token.
            base_url: The address of the API, if it is not Google's.
            allow_insecure_http: Whether `base_url` may be an http URL of another machine.

        Raises:
            ConfigurationError: google-auth is not installed, the project is not known, or `base_url` is unsafe.
            InvalidArgument: An argument is of the wrong type or out of range.
        """
        _google()
        if not callable(getattr(credentials, "refresh", None)):
            problem = f"must be credentials of google-auth, not {type_name(credentials)}; see from_service_account_file"
            raise InvalidArgument("credentials", problem)
        project_id = _project_of(project_id, credentials)
        base_url = endpoints(base_url=base_url, login_url=base_url, allow_insecure_http=allow_insecure_http).base_url
        self._url = f"{base_url}/v1/projects/{project_id}/messages:send"
        self._project_id = project_id
        super().__init__(
            GoogleToken(credentials),
            timeouts=timeouts,
            rate=rate,
            http_client=http_client,
            transport=transport,
            max_connections=max_connections,
            on_event=on_event,
            on_invalid_token=on_invalid_token,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(project_id={self._project_id!r})"

    @classmethod
    def from_service_account_file(cls, path: str | os.PathLike[str], **arguments: Any) -> Self:
        """Make a client with the key of a service account, as the Firebase console hands it out.

        The file is read again for each access token, about once an hour, so that a key may be replaced meanwhile.

        Args:
            path: The JSON file.
            **arguments: Further arguments of the client.

        Returns:
            The client.

        Raises:
            ConfigurationError: google-auth is not installed, or the file is not the key of a service account.
            InvalidArgument: As the client.
        """
        _google()
        return cls(credentials=_KeyFile(path), **arguments)

    @classmethod
    def from_env(cls, **arguments: Any) -> Self:
        """Make a client with Google's application default credentials.

        They are the file that `GOOGLE_APPLICATION_CREDENTIALS` names (the key of a service account, or the
        configuration of a workload identity), those of `gcloud auth application-default login`, or those of the machine
        in Google Cloud, which is asked then. https://cloud.google.com/docs/authentication/application-default-credentials

        Args:
            **arguments: Further arguments of the client.

        Returns:
            The client.

        Raises:
            ConfigurationError: google-auth is not installed, or there are no credentials.
            InvalidArgument: As the client.
        """
        _google()
        import google.auth

        try:
            credentials, project_id = google.auth.default(scopes=[_SCOPE], request=_ask_at_once)  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001 - google-auth's, and what is wrong with a file
            kind = type(error).__name__
        else:
            arguments.setdefault("project_id", project_id)
            return cls(credentials=credentials, **arguments)
        # Outside of the handler, so that no report shows what google-auth's frames have read.
        if os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
            problem = "the file that GOOGLE_APPLICATION_CREDENTIALS names is missing, or has no credentials that work"
        else:
            problem = "there are no application default credentials that can be used"
        msg = (
            f"{problem}: set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account, and "
            f"GOOGLE_CLOUD_PROJECT beside that of a workload identity ({kind})"
        )
        raise _errors.ConfigurationError(msg)

    @with_checked_names
    def to(
        self,
        token: str | None = None,
        *,
        fid: str | None = None,
        title: Caption = TITLE,
        body: Caption = count_received,
        data: Mapping[str, str] | None = None,
        ref: str = "",
        mode: Literal["delta", "tail", "snapshot"] = "delta",
        alert: Literal["all", "final"] = "final",
        platform: Literal["any", "android"] = "any",
        max_payload_bytes: int = FCM_MAX_BYTES,
        profile: Profile | None = ANDROID_FOREGROUND,
    ) -> SinkT:
        """Make a sink for `relay`: one message to one device for each batch.

        Messages are silent on the way, and are delivered now or never; the last one is a notification, which waits for
        an Android phone or a browser for an hour, and for an iPhone as long as FCM and APNs keep it.

        Args:
            token: The registration token of the app on the device.
            fid: The Firebase installation id of the app on the device, instead of a token.
            title: What the notification is headed, or a callable that says it for a batch.
            body: What the notification reads, likewise.
            data: The app's own keys for every message.
            ref: Where the receiver can fetch the whole text, an id or a URL; the final message carries it.
            mode: What the messages hold: "delta", the new text alone; "tail", the end of the text before it as well; or
                "snapshot", all of the text before it, as far as it fits.
            alert: Which messages show a notification: the "final" one alone, or "all".
            platform: "android" if the device is surely an Android phone, so that messages have room for more text; else
                "any".
            max_payload_bytes: The largest message in bytes, as FCM counts them.
            profile: What the device bears; None for no limit but the project's.

        Returns:
            The sink.

        Raises:
            InvalidArgument: An argument is invalid.
        """
        if (token is None) == (fid is None):
            raise InvalidArgument("token", "must be given, or fid in its place; not both")
        kind: Literal["token", "fid"] = "fid" if token is None else "token"
        target = token if fid is None else fid
        target = Hidden(check_word(kind, target))
        check_max_payload_bytes(max_payload_bytes, FCM_MAX_BYTES, "FCM")
        if platform not in _PLATFORMS:
            raise InvalidArgument("platform", f"must be 'any' or 'android', not {shown(platform)}")
        encoder = FcmEncoder(
            kind,
            target,
            title=title,
            body=body,
            data={} if data is None else data,
            ref=ref,
            mode=mode,
            alert=alert,
            platform=platform,
            max_payload_bytes=max_payload_bytes,
        )
        url = self._url

        def request(content: bytes, batch: Batch) -> Request:  # noqa: ARG001 - the message says all of it
            return Request("POST", url, _HEADERS, content)

        return self._sink(
            target,
            encoder,
            request,
            name="FCM push to one device",
            profile=profile,
            error_of=lambda reply: fcm_error(reply, target),
            receipt_of=fcm_receipt,
        )


_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}


class Fcm(BlockingService, _Service[PushReceipt, Sink]):
    """A blocking client of one Firebase project, which any number of threads may share."""


class AsyncFcm(AsyncService, _Service[Coroutine[Any, Any, PushReceipt], AsyncSink]):
    """An async client of one Firebase project, which the tasks of one event loop may share."""


class GoogleToken(TokenSource):
    """Access tokens of google-auth, whose HTTP requests go the way of all others.

    google-auth calls a function for each request and blocks meanwhile, so it runs in a thread of its own. What it wants
    to send is handed to whoever needs the token, and sent with their HTTP client, on their event loop if they have one.

    Args:
        credentials: google-auth's credentials.
    """

    def __init__(self, credentials: Any) -> None:
        super().__init__()
        self._credentials = credentials

    def _fetch(self) -> TokenFlow[Grant]:
        refresh = _Refresh(self._credentials)
        threading.Thread(target=refresh.run, name="genesys-stream token", daemon=True).start()
        try:
            while True:
                yield refresh.news
                wanted = refresh.take()
                if not isinstance(wanted, Attempt):
                    break
                outcome: Outcome = yield wanted
                refresh.answers.put(outcome)
        finally:
            refresh.answers.put(None)  # in case the thread waits for an answer that nobody will give
        if isinstance(wanted, BaseException):
            raise wanted
        return wanted


class _KeyFile:
    """The key of a service account in a file, which is read again for each token."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        check_path(path)
        self._path = path
        self.project_id = self._read().project_id
        self.token: str | None = None
        self.expiry: datetime | None = None

    def _read(self) -> Any:
        from google.oauth2.service_account import Credentials

        try:
            return Credentials.from_service_account_file(self._path, scopes=[_SCOPE])  # type: ignore[no-untyped-call]
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the file
            kind = type(error).__name__
        # Outside of the handler, so that no report shows the key, which google-auth's frames have read.
        raise _errors.ConfigurationError(f"the file is not the key of a service account that can be used: {kind}")

    def refresh(self, request: Any) -> None:
        """Get an access token with the key that the file has now; the interface is that of google-auth's."""
        credentials = self._read()
        credentials.refresh(request)
        self.token, self.expiry = credentials.token, credentials.expiry


class _Refresh:
    """One refresh of google-auth's, in its thread.

    Attributes:
        news: Happens when there is something to take.
        answers: What came of each request; None if nobody waits for the token any more.
    """

    def __init__(self, credentials: Any) -> None:
        self.news = Signal()
        self.answers: SimpleQueue[Outcome | None] = SimpleQueue()
        self._credentials = credentials
        self._wanted: Attempt | Grant | BaseException
        self._outcome: Outcome | None = None

    def take(self) -> Attempt | Grant | BaseException:
        """Return the next request, or what came of the refresh."""
        self.news = Signal()
        return self._wanted

    def _publish(self, wanted: Attempt | Grant | BaseException) -> None:
        self._wanted = wanted
        self.news.set()

    def run(self) -> None:
        """Refresh the credentials."""
        from google.auth.credentials import with_scopes_if_required

        try:
            credentials: Any = with_scopes_if_required(self._credentials, [_SCOPE])  # type: ignore[no-untyped-call]
            credentials.refresh(self._request)
            self._publish(self._grant(credentials))
        except GenesysStreamError as error:
            self._publish(error.with_traceback(None))
        except BaseException as error:  # noqa: BLE001 - google-auth's errors, and those of a key that cannot be read
            self._publish(self._failure(error))

    @staticmethod
    def _grant(credentials: Any) -> Grant:
        token, expiry = credentials.token, credentials.expiry
        if not is_token(token):
            raise _errors.MalformedEvent("the token endpoint's answer is not a token")
        # google-auth's times are in UTC and do not say so.
        left = None if expiry is None else (expiry - datetime.now(UTC).replace(tzinfo=None)).total_seconds()
        return Grant(Hidden(token), left)

    def _request(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,  # noqa: ARG002 - the client's timeouts hold
        **_: Any,
    ) -> _Response:
        """Make a request; the interface is google.auth.transport.Request's."""
        from google.auth.exceptions import TransportError

        content = body.encode() if isinstance(body, str) else body or b""
        self._publish(Attempt(Request(method, url, dict(headers or {}), content, needs_token=False)))
        self._outcome = self.answers.get()
        if self._outcome is None:
            self.answers.put(None)  # google-auth may try again, and nobody answers that either
        if not isinstance(self._outcome, Reply):
            raise TransportError("there was no answer")  # type: ignore[no-untyped-call]
        return _Response(self._outcome.status, self._outcome.headers, self._outcome.body)

    def _failure(self, error: BaseException) -> GenesysStreamError:
        """Return our error for one of google-auth's, from the last answer; theirs may have a token in its words."""
        outcome = self._outcome
        if isinstance(outcome, NetworkError):
            return outcome.with_traceback(None)
        if not isinstance(outcome, Reply):
            return _errors.ConfigurationError(f"the credentials cannot be used: {type(error).__name__}")
        if outcome.ok:
            return _errors.MalformedEvent("the token endpoint's answer is not a token")
        refused = status_error(outcome)
        if outcome.status in {400, 401, 403}:
            return _errors.AuthenticationError(refused.message, status=outcome.status, code=refused.code)
        if isinstance(refused, _errors.RateLimited):
            return _errors.RateLimited(refused.message, scope="credential", retry_after=refused.retry_after)
        return refused


class _Response:
    """The answer to a request of google-auth's; the interface is google.auth.transport.Response's."""

    def __init__(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        self.status = status
        self.headers = headers
        self.data = data


def _ask_at_once(
    url: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float | None = None,
    **_: Any,
) -> _Response:
    """Make a request while the credentials are looked for, before there is a client; blocking."""
    from google.auth.exceptions import TransportError

    try:
        with httpx.Client(timeout=timeout or 10.0, trust_env=False) as http:
            response = http.request(method, url, content=body, headers=headers)
    except httpx.HTTPError as error:
        raise TransportError(type(error).__name__) from error  # type: ignore[no-untyped-call]
    return _Response(response.status_code, response.headers, response.content)


def _google() -> None:
    try:
        import_module("google.auth")
    except ImportError as error:
        raise missing_extra("genesys_stream.fcm", "fcm") from error


def _project_of(project_id: object, credentials: Any) -> str:
    if project_id is None:
        project_id = getattr(credentials, "project_id", None) or os.environ.get("GOOGLE_CLOUD_PROJECT") or None
    if project_id is None:
        msg = "the Firebase project is not known: write project_id=..., or set GOOGLE_CLOUD_PROJECT"
        raise _errors.ConfigurationError(msg)
    if not isinstance(project_id, str) or not re.fullmatch(r"[a-z0-9][a-z0-9:.-]*", project_id):
        raise InvalidArgument("project_id", "must be the id of a Firebase project, such as 'my-app-1234'")
    return project_id
