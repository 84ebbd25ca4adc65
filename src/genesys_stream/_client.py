"""What the clients of both shells share: their arguments, and how they are made."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Self, TypeVar

from ._auth import ClientCredentials, credentials_of, hidden
from ._core.http.retry import Retry
from ._core.http.settings import COMPLETIONS_PATH, PUSH_PATH, from_environment, settings
from ._core.relaying.limits import GENESYS, Rate, RateLimits
from ._http import MAX_CONNECTIONS
from ._session import BaseSession
from ._values import ClientEvent, Timeouts
from ._values._checks import check_kind, check_whole, with_checked_names

SessionT = TypeVar("SessionT", bound=BaseSession)


class BaseClient(Generic[SessionT]):
    """The base of `Client` and `AsyncClient`."""

    @with_checked_names
    def __init__(
        self,
        client_id: str | None = None,
        client_secret: str | None = None,
        *,
        region: str | None = None,
        base_url: str | None = None,
        login_url: str | None = None,
        access_token: str | None = None,
        credentials: ClientCredentials | None = None,
        scopes: Sequence[str] = (),
        completions_path: str = COMPLETIONS_PATH,
        push_path: str = PUSH_PATH,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        retry: Retry | None = None,
        http_client: Any = None,
        transport: str = "httpx",
        max_connections: int = MAX_CONNECTIONS,
        max_event_bytes: int | None = None,
        push_rate: Rate | None = GENESYS,
        on_event: Callable[[ClientEvent], object] | None = None,
        allow_insecure_http: bool = False,
    ) -> None:
        """Make a client; nothing is sent yet.

        Args:
            client_id: The OAuth client's id.
            client_secret: The OAuth client's secret.
            region: The organisation's region: "eu-west-1", "mypurecloud.ie", "https://api.mypurecloud.ie", ...
            base_url: The API's address, if it is not the region's: a gateway, or another provider of the same format.
            login_url: The token endpoint's address without its path, if it is not the region's.
            access_token: A token of your own, instead of credentials; it is not refreshed.
            credentials: Credentials that other clients share, instead of id and secret.
            scopes: Scopes to request; Genesys Cloud grants by roles and needs none.
            completions_path: The path of completions.
            push_path: The path of pushes.
            headers: Headers for every request.
            timeouts: The timeouts of every call.
            retry: The retry policy of every call.
            http_client: A client of httpx or httpx2 of your own, blocking or async as this one; you close it yourself.
                All requests are sent with it.
            transport: The HTTP library, if there is no `http_client`: "httpx"; "httpx2", which comes with the extra
                [httpx2]; or, for the async client on asyncio, "aiohttp", which takes less CPU time and comes with the
                extra [aiohttp].
            max_connections: How many completions may be under way at once. As many connections again may be opened for
                pushes and tokens, so that open streams never delay a push.
            max_event_bytes: How large one event of a stream may grow, in bytes.
            push_rate: How many pushes the credential may send, all relays together; None for no limit.
            on_event: Called with every `ExchangeStarted` and `Exchange`, in the thread or task that makes it. An
                exception that it raises is logged and changes nothing.
            allow_insecure_http: Whether addresses may be http URLs of other machines.

        Raises:
            ConfigurationError: An argument or an environment variable is missing, unknown or unsafe.
            InvalidArgument: An argument is of the wrong type or out of range.
        """
        check_whole("max_connections", max_connections)
        check_kind("push_rate", push_rate, Rate, optional=True)
        self._settings = settings(
            region=region,
            base_url=base_url,
            login_url=login_url,
            completions_path=completions_path,
            push_path=push_path,
            allow_insecure_http=allow_insecure_http,
            headers=headers,
            timeouts=timeouts,
            retry=retry,
            max_event_bytes=max_event_bytes,
            on_event=on_event,
        )
        credentials = credentials_of(
            client_id,
            client_secret,
            access_token,
            credentials,
            self._settings,
            scopes,
            allow_insecure_http,
        )
        self._session = self._make_session(http_client, credentials, hidden(access_token), max_connections, transport)
        self._limits = RateLimits(push_rate, threading.Lock())
        self._shares = False
        self._make_parts()

    def _make_session(
        self,
        http: Any,
        credentials: ClientCredentials | None,
        access_token: str | None,
        max_connections: int,
        transport: str,
    ) -> SessionT:
        raise NotImplementedError

    def _make_parts(self) -> None:
        raise NotImplementedError

    @classmethod
    def from_env(cls, **arguments: Any) -> Self:
        """Make a client from environment variables.

        They are `GENESYSCLOUD_OAUTHCLIENT_ID`, `GENESYSCLOUD_OAUTHCLIENT_SECRET`, `GENESYSCLOUD_REGION` and
        `GENESYSCLOUD_ACCESS_TOKEN`; then `GENESYS_CLOUD_CLIENT_ID` and the like; then `GENESYS_CLIENT_ID` and
        `GENESYS_CLIENT_SECRET`.

        Args:
            **arguments: Arguments of the client, which take precedence over the environment.

        Returns:
            The client.

        Raises:
            ConfigurationError: There are no credentials in the environment.
        """
        return cls(**from_environment(os.environ, arguments))

    @with_checked_names
    def with_options(
        self,
        *,
        timeouts: Timeouts | None = None,
        retry: Retry | None = None,
        headers: Mapping[str, str] | None = None,
        max_event_bytes: int | None = None,
        on_event: Callable[[ClientEvent], object] | None = None,
    ) -> Self:
        """Make a client with other settings that shares this one's connections and token.

        Args:
            timeouts: The timeouts of every call.
            retry: The retry policy of every call.
            headers: Headers for every request, in addition to this client's.
            max_event_bytes: How large one event of a stream may grow, in bytes.
            on_event: Called with every `ExchangeStarted` and `Exchange`.

        Returns:
            The other client; closing it closes nothing.

        Raises:
            InvalidArgument: An argument is of the wrong type or out of range.
        """
        other = copy.copy(self)
        other._settings = self._settings.changed(
            timeouts=timeouts,
            retry=retry,
            headers=headers,
            max_event_bytes=max_event_bytes,
            on_event=on_event,
        )
        other._shares = True
        other._make_parts()
        return other

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._settings.base_url!r})"
