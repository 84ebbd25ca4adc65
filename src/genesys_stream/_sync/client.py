"""The blocking client."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from .._auth import ClientCredentials
from .._client import BaseClient
from .._http import check_client, check_transport
from .completions import Completions
from .messages import BotReplyClient, MessageClient
from .push import PushClient
from .session import HttpSession


class Client(BaseClient[HttpSession]):
    """A blocking client of one Genesys Cloud organisation, with its own connections and access token.

    It may be shared by any number of threads; a stream belongs to one of them at a time.

    Attributes:
        completions: Requests completions.
        push: Sends pushes.
        messages: Sends agentless messages.
        bot_replies: Replies for a bot.
    """

    completions: Completions
    push: PushClient
    messages: MessageClient
    bot_replies: BotReplyClient

    def _make_session(
        self,
        http: Any,
        credentials: ClientCredentials | None,
        access_token: str | None,
        max_connections: int,
        transport: str,
    ) -> HttpSession:
        check_client(http, awaits=False)
        check_transport(transport, http, awaits=False)
        return HttpSession(http, credentials, access_token, max_connections, transport)

    def _make_parts(self) -> None:
        self.completions = Completions(self._session, self._settings)
        self.push = PushClient(self._session, self._settings, self._limits)
        self.messages = MessageClient(self._session, self._settings, self._limits)
        self.bot_replies = BotReplyClient(self._session, self._settings, self._limits)

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
