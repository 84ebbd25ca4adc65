"""What the push services over HTTP share: settings, an HTTP session, rate limits, and sinks that send.

A service is one class with `to`, generic in what sending returns and in the class of its sinks, and two public classes
that mix in `BlockingService` or `AsyncService`.
"""

from __future__ import annotations

import inspect
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, ClassVar, Generic, Self, TypeVar

from ._aio.session import HttpSession as AsyncHttpSession
from ._auth import TokenSource
from ._core.http.exchange import Reply, Request
from ._core.http.retry import RequestFlow
from ._core.http.settings import CallSettings
from ._core.http.tokens import Hidden
from ._core.relaying.limits import Profile, Rate, RateLimits
from ._core.relaying.payload import PayloadEncoder
from ._core.relaying.sink import AsyncSink, Sink
from ._core.services.send import send_once
from ._errors import InvalidArgument, InvalidToken, StatusError
from ._hooks import log_failure
from ._http import check_client, check_transport
from ._sync.session import HttpSession
from ._values import Batch, ClientEvent, PushReceipt, Timeouts
from ._values._checks import check_hook, check_kind, check_whole
from ._wire import type_name

ReceiptT = TypeVar("ReceiptT")
SinkT = TypeVar("SinkT")

InvalidTokenHook = Callable[[str, InvalidToken], object]

_log = logging.getLogger("genesys_stream")


class PushService(Generic[ReceiptT, SinkT]):
    """The base of a push service, which has its own connections, credentials and rate limits.

    Args:
        credentials: Where access tokens come from; None for requests that carry their own authorization.
        timeouts: The timeouts of every call, of which pushes use `connect`, `write`, `push` and `total`.
        rate: How many pushes all sinks of the service may send together; None for no limit.
        http_client: A client of httpx or httpx2 of the caller's; None to make one.
        transport: The HTTP library, if there is no `http_client`.
        max_connections: How many pushes may be under way at once.
        on_event: Called with every `ExchangeStarted` and `Exchange`.
        on_invalid_token: Called with a device token and the `InvalidToken` that it was answered with.
    """

    _awaits: ClassVar[bool]

    def __init__(
        self,
        credentials: TokenSource | None,
        *,
        timeouts: Timeouts | None,
        rate: Rate | None,
        http_client: Any,
        transport: str,
        max_connections: int,
        on_event: Callable[[ClientEvent], object] | None,
        on_invalid_token: InvalidTokenHook | None,
    ) -> None:
        check_kind("timeouts", timeouts, Timeouts, optional=True)
        check_kind("rate", rate, Rate, optional=True)
        check_whole("max_connections", max_connections)
        check_hook("on_event", on_event)
        check_hook("on_invalid_token", on_invalid_token, awaited=self._awaits)
        self._settings = CallSettings(timeouts=timeouts or Timeouts(), on_event=on_event)
        self._on_invalid_token = on_invalid_token
        self._limits = RateLimits(rate, threading.Lock())
        self._reauthorises = credentials is not None
        self._open(http_client, credentials, max_connections, transport)

    def _open(self, http: Any, credentials: TokenSource | None, max_connections: int, transport: str) -> None:
        """Make the HTTP session."""
        raise NotImplementedError

    def _make_sink(self, send: Callable[[bytes, Batch], RequestFlow[PushReceipt]], target: str, channel: Any) -> SinkT:
        """Make a sink of this shell, from the arguments of its channel."""
        raise NotImplementedError

    def _sink(
        self,
        target: str,
        encoder: PayloadEncoder,
        request: Callable[[bytes, Batch], Request],
        *,
        name: str,
        profile: Profile | None,
        error_of: Callable[[Reply], StatusError],
        receipt_of: Callable[[Reply], PushReceipt],
    ) -> SinkT:
        """Make a sink that sends one request for each payload.

        Args:
            target: The device token, or what else names the device to the limits and to `on_invalid_token`.
            encoder: Makes the payloads.
            request: Makes the request of a payload and its batch, at each attempt.
            name: What the sink is called in its repr.
            profile: What the device bears; None for no limit but the service's.
            error_of: Reads an unsuccessful reply.
            receipt_of: Reads a successful one.
        """
        check_kind("profile", profile, Profile, optional=True)

        def flow(content: bytes, batch: Batch) -> RequestFlow[PushReceipt]:
            held = [content]
            del content  # a report that shows the locals of every frame shows nothing that was said
            return send_once(
                request(held.pop(), batch), error_of=error_of, receipt_of=receipt_of, reauthorise=self._reauthorises
            )

        channel = {
            "name": name,
            "encode": encoder.encode,
            "max_bytes": encoder.max_payload_bytes,
            "measure": encoder.measure,
            "repeat": encoder.history,
            "window": None if profile is None else profile.window,
            "final_only": profile is not None and profile.final_only,
            "limiter": self._limits.limiter([target], None if profile is None else profile.device),
        }
        return self._make_sink(flow, Hidden(target), channel)

    def _call_hook(self, target: str, error: InvalidToken) -> object:
        """Call the hook for a token that is invalid; returns what it returns, which may be awaitable."""
        hook = self._on_invalid_token
        try:
            return None if hook is None else hook(str(target), error)
        except Exception as raised:  # noqa: BLE001 - a user's hook may raise anything
            log_failure(_log, "on_invalid_token", raised, error)
            return None


class BlockingService(PushService[PushReceipt, Sink]):
    """A push service, blocking."""

    _awaits = False

    def _open(self, http: Any, credentials: TokenSource | None, max_connections: int, transport: str) -> None:
        check_client(http, awaits=False)
        check_transport(transport, http, awaits=False)
        self._session = HttpSession(http, credentials, None, max_connections, transport)

    def _make_sink(self, send: Callable[[bytes, Batch], RequestFlow[PushReceipt]], target: str, channel: Any) -> Sink:
        def deliver(content: bytes, batch: Batch) -> PushReceipt:
            held = [content]
            del content
            try:
                return self._session.run(
                    send(held.pop(), batch), self._settings, answer_within=self._settings.timeouts.push
                )
            except InvalidToken as error:
                self._call_hook(target, error)
                raise

        return Sink(send=deliver, **channel)

    def close(self) -> None:
        """Close the connections, unless the HTTP client is yours."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncService(PushService[Coroutine[Any, Any, PushReceipt], AsyncSink]):
    """A push service, async."""

    _awaits = True

    def _open(self, http: Any, credentials: TokenSource | None, max_connections: int, transport: str) -> None:
        check_client(http, awaits=True)
        check_transport(transport, http, awaits=True)
        self._session = AsyncHttpSession(http, credentials, None, max_connections, transport)

    def _make_sink(
        self, send: Callable[[bytes, Batch], RequestFlow[PushReceipt]], target: str, channel: Any
    ) -> AsyncSink:
        async def deliver(content: bytes, batch: Batch) -> PushReceipt:
            held = [content]
            del content
            try:
                return await self._session.run(
                    send(held.pop(), batch), self._settings, answer_within=self._settings.timeouts.push
                )
            except InvalidToken as error:
                told = self._call_hook(target, error)
                if inspect.isawaitable(told):
                    try:
                        await told
                    except Exception as raised:  # noqa: BLE001 - as in `_call_hook`
                        log_failure(_log, "on_invalid_token", raised, error)
                raise

        return AsyncSink(send=deliver, **channel)

    async def aclose(self) -> None:
        """Close the connections, unless the HTTP client is yours."""
        await self._session.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


def check_path(path: object) -> None:
    """Check that a value is the path of a file.

    Raises:
        InvalidArgument: It is not.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise InvalidArgument("path", f"must be the path of a file, not {type_name(path)}")
