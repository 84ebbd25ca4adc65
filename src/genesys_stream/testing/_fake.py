"""`FakeGenesys`: its settings, scripts and request log, and the two ways to reach it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from ._app import App
from ._script import CompletionScript, Script, TokenScript
from ._service import FakeService
from ._values import Entry


class FakeGenesys(FakeService):
    """A Genesys Cloud that runs on your machine with no account: scripted, and with a log of the requests that it got.

    In memory, give `transport` to an httpx client; on the loopback, `serve()` it.
    Both reach the same tokens, scripts and request log, and everything here may be used from any thread::

        fake = FakeGenesys()
        fake.completions.say("Hello, world.", every=0.02)
        fake.push.rate_limit(retry_after=1)
        with fake.serve() as server:
            ...  # point the app at server.base_url
        assert fake.pushes[0]["data"]["llm_response"] == "Hello, world."

    The arguments are attributes, too, which may be changed at any time.

    Attributes:
        completions: The script of `POST /api/v2/ai/llm/completions`, and of its alias `/v1/chat/completions`.
        push: The script of `POST /api/v2/notifications/push`.
        messages: The script of `POST /api/v2/conversations/messages/agentless`.
        bot_replies: The script of `POST /api/v2/integrations/botconnectors/outgoing/messages`.
        tokens: The script of `POST /oauth/token`.
        transport: For `httpx.Client(transport=...)` and `httpx.AsyncClient(transport=...)`.

    Args:
        client_id: The id of the OAuth client.
        client_secret: Its secret.
        expires_in: Lifetime of a new token in seconds.
        token_interval: Seconds between two deltas where a script does not say.
        api_keys: Bearer tokens that are always valid on `/v1/chat/completions`, beside those that were issued.
        rate_limit: How many requests a token may make in how many seconds, in fixed windows; None for no limit.
        max_push_bytes: The largest push in bytes of JSON, its targets not counted, before it is refused with a 413;
            None for no limit. FCM and APNs take 4096 bytes.
        completions_path: The path of completions.
        push_path: The path of pushes.
        token_path: The path of the token endpoint.
        clock: Returns seconds since 1970; it dates the log, expires tokens and starts the windows of the rate limit.
        on_request: Called with each entry of the request log, by the thread that answers.

    .. versionadded:: 0.1
    """

    def __init__(
        self,
        *,
        client_id: str = "client-id",
        client_secret: str = "client-secret",  # noqa: S107 - a fake's secret is no secret
        expires_in: int = 86399,
        token_interval: float = 0.0,
        api_keys: Iterable[str] = ("sk-test",),
        rate_limit: tuple[int, float] | None = None,
        max_push_bytes: int | None = 4096,
        completions_path: str = "/api/v2/ai/llm/completions",
        push_path: str = "/api/v2/notifications/push",
        token_path: str = "/oauth/token",  # noqa: S107 - a path
        clock: Callable[[], float] = time.time,
        on_request: Callable[[Entry], object] | None = None,
    ) -> None:
        self.client_id = client_id
        self.client_secret = client_secret
        self.expires_in = expires_in
        self.token_interval = token_interval
        self.api_keys = frozenset(api_keys)
        self.rate_limit = rate_limit
        self.max_push_bytes = max_push_bytes
        self.completions_path = completions_path
        self.push_path = push_path
        self.token_path = token_path
        self.on_request = on_request
        self._app = App(self)
        super().__init__(self._app, clock)
        self.completions: CompletionScript = self._app.completions
        self.push: Script = self._app.push
        self.messages: Script = self._app.messages
        self.bot_replies: Script = self._app.bot_replies
        self.tokens: TokenScript = self._app.tokens

    def client_options(self, base_url: str = "https://fake.genesys.example") -> dict[str, Any]:
        """Return the arguments that point a client of this library here.

        Args:
            base_url: The server's `base_url`; in memory any host name works.

        Returns:
            Arguments for `Client` and `AsyncClient`.
        """
        return {
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "base_url": base_url,
            "login_url": base_url,
        }

    # Tokens.

    def issue_token(self, *, expires_in: float | None = None) -> str:
        """Return a valid access token without a request to `/oauth/token`.

        Args:
            expires_in: Its lifetime in seconds; None for the fake's `expires_in`.

        Returns:
            The token.
        """
        with self._app.lock:
            return self._app.issued.issue(self.now() + (self.expires_in if expires_in is None else expires_in))

    def revoke_tokens(self) -> None:
        """Invalidate every token that was issued so far, whatever its expiry said."""
        with self._app.lock:
            self._app.issued.revoke()

    @property
    def issued_tokens(self) -> tuple[str, ...]:
        """Every token that was ever issued, in order."""
        with self._app.lock:
            return self._app.issued.tokens

    # What came.

    @property
    def pushes(self) -> list[Any]:
        """The payloads that were accepted, in order, those included whose answer was lost."""
        with self._app.lock:
            return list(self._app.pushes)

    @property
    def sent_messages(self) -> list[Any]:
        """The agentless messages that were accepted, as `pushes` has the payloads of pushes."""
        with self._app.lock:
            return list(self._app.sent_messages)

    @property
    def sent_bot_replies(self) -> list[Any]:
        """The replies of a bot that were accepted, likewise."""
        with self._app.lock:
            return list(self._app.sent_bot_replies)

    def clear(self) -> None:
        """Clear the scripts and the request log; tokens stay valid."""
        for script in (self.completions, self.push, self.messages, self.bot_replies, self.tokens):
            script.clear()
        with self._app.lock:
            self._app.request_log.clear()
            self._app.pushes.clear()
            self._app.sent_messages.clear()
            self._app.sent_bot_replies.clear()
