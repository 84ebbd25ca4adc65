"""The blocking client."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from .._auth import ClientCredentials, credentials_of, hidden
from .._core.http.retry import Retry
from .._core.http.settings import COMPLETIONS_PATH, PUSH_PATH, from_environment, settings
from .._core.relaying.limits import GENESYS, Rate, RateLimits
from .._http import MAX_CONNECTIONS, checked_client, checked_transport
from .._values import Timeouts
from .._values._checks import check_kind, check_whole
from .completions import Completions
from .push import PushClient
from .session import Session


class Client:
    """A client of one Genesys Cloud organisation: one connection pool, one access token.

    It may be shared by any number of threads; a stream belongs to one of them at a time.

    Args:
        client_id: The OAuth client's id.
        client_secret: The OAuth client's secret.
        region: The organisation's region: "eu-west-1", "mypurecloud.ie", "https://api.mypurecloud.ie", ...
        base_url: The API's address, where it is not the region's: a gateway, or another provider of the same format.
        login_url: The token endpoint's address without its path, where it is not the region's.
        access_token: A token that you bring, in place of the credentials; nobody can refresh it.
        credentials: An OAuth session that other clients share, in place of id and secret.
        scopes: Scopes to ask for; Genesys Cloud grants by roles and wants none.
        completions_path: Where completions are asked for.
        push_path: Where pushes are sent.
        headers: Headers for every request.
        timeouts: The clocks of every call.
        retry: The patience of every call.
        http_client: An `httpx.Client` or `httpx2.Client` of your own, which you close yourself.
        transport: What carries the requests: "httpx"; `AsyncClient` knows another one.
        max_connections: How many connections, and so how many open streams, there may be at once.
        max_event_bytes: How large one event of a stream may grow, in bytes.
        push_rate: How many pushes the credential may send, all relays together; None for no limit.
        on_event: Told of every `Exchange`; called in the thread that makes it. What it raises is logged, and changes
            nothing.
        allow_insecure_http: Whether addresses may be http URLs of other machines.

    Raises:
        ConfigurationError: Something is missing, unknown or unsafe.
        InvalidArgument: An argument is of the wrong kind.
    """

    completions: Completions
    push: PushClient

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
        on_event: Callable[[object], None] | None = None,
        allow_insecure_http: bool = False,
    ) -> None:
        check_whole("max_connections", max_connections)
        check_kind("push_rate", push_rate, Rate, optional=True)
        checked_transport(transport, http_client, awaits=False)
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
        session = credentials_of(
            client_id,
            client_secret,
            access_token,
            credentials,
            self._settings,
            scopes,
            allow_insecure_http,
        )
        self._session = Session(
            checked_client(http_client, awaits=False), session, hidden(access_token), max_connections
        )
        self._limits = RateLimits(push_rate, threading.Lock())
        self._shares = False
        self._furnish()

    def _furnish(self) -> None:
        self.completions = Completions(self._session, self._settings)
        self.push = PushClient(self._session, self._settings, self._limits)

    @classmethod
    def from_env(cls, **arguments: Any) -> Self:
        """Make a client from environment variables.

        They are `GENESYSCLOUD_OAUTHCLIENT_ID`, `GENESYSCLOUD_OAUTHCLIENT_SECRET`, `GENESYSCLOUD_REGION` and
        `GENESYSCLOUD_ACCESS_TOKEN`; then `GENESYS_CLOUD_CLIENT_ID` and its like; then `GENESYS_CLIENT_ID` and
        `GENESYS_CLIENT_SECRET`.

        Args:
            **arguments: Arguments of the client, which win over the environment.

        Returns:
            The client.

        Raises:
            ConfigurationError: There are no credentials in the environment.
        """
        return cls(**from_environment(os.environ, arguments))

    def with_options(
        self,
        *,
        timeouts: Timeouts | None = None,
        retry: Retry | None = None,
        headers: Mapping[str, str] | None = None,
        max_event_bytes: int | None = None,
        on_event: Callable[[object], None] | None = None,
    ) -> Self:
        """Make a client with other settings that shares this one's connections and token.

        Args:
            timeouts: The clocks of every call.
            retry: The patience of every call.
            headers: Headers for every request, beside the ones there are.
            max_event_bytes: How large one event of a stream may grow, in bytes.
            on_event: Told of every `Exchange`.

        Returns:
            The other client; closing it closes nothing.

        Raises:
            InvalidArgument: An argument is of the wrong kind.
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
        other._furnish()
        return other

    def close(self) -> None:
        """Close the connections, unless the HTTP client is yours or another client's."""
        if not self._shares:
            self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._settings.base_url!r})"
