"""The async client."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from .._auth import ClientCredentials
from .._client import BaseClient
from .._http import check_client, check_transport
from .completions import AsyncCompletions
from .messages import AsyncBotReplyClient, AsyncMessageClient
from .push import AsyncPushClient
from .session import HttpSession


class AsyncClient(BaseClient[HttpSession]):
    """An async client of one Genesys Cloud organisation, with its own connections and access token.

    It may be shared by any number of tasks of one event loop; a stream belongs to one of them at a time.

    Attributes:
        completions: Requests completions.
        push: Sends pushes.
        messages: Sends agentless messages.
        bot_replies: Replies for a bot.
    """

    completions: AsyncCompletions
    push: AsyncPushClient
    messages: AsyncMessageClient
    bot_replies: AsyncBotReplyClient

    def _make_session(
        self,
        http: Any,
        credentials: ClientCredentials | None,
        access_token: str | None,
        max_connections: int,
        transport: str,
    ) -> HttpSession:
        check_client(http, awaits=True)
        check_transport(transport, http, awaits=True)
        return HttpSession(http, credentials, access_token, max_connections, transport)

    def _make_parts(self) -> None:
        self.completions = AsyncCompletions(self._session, self._settings)
        self.push = AsyncPushClient(self._session, self._settings, self._limits)
        self.messages = AsyncMessageClient(self._session, self._settings, self._limits)
        self.bot_replies = AsyncBotReplyClient(self._session, self._settings, self._limits)

    async def aclose(self) -> None:
        """Close the connections, unless the HTTP client is yours or another client's."""
        if not self._shares:
            await self._session.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
