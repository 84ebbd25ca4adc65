"""The fake's front: settings, scripts, the diary, and the two ways to reach it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from ._app import App
from ._script import CompletionScript, PushScript, TokenScript
from ._server import FakeServer
from ._transport import FakeTransport
from ._values import Entry


class FakeGenesys:
    """A Genesys Cloud that runs on a laptop with no account: scripted, and with a diary of what it was asked.

    In memory, give `transport` to an httpx client; on the loopback, `serve()` it.
    Both reach the same tokens, scripts and diary, and everything here may be used from any thread::

        fake = FakeGenesys()
        fake.completions.say("Hello, world.", every=0.02)
        fake.push.rate_limit(retry_after=1)
        with fake.serve() as server:
            ...  # point the app at server.base_url
        assert fake.pushes[0]["data"]["llm_response"] == "Hello, world."

    Attributes:
        completions: The script of `POST /api/v2/ai/llm/completions`, and of its alias `/v1/chat/completions`.
        push: The script of `POST /api/v2/notifications/push`.
        tokens: The script of `POST /oauth/token`.
        transport: For `httpx.Client(transport=...)` and `httpx.AsyncClient(transport=...)`.

    Args:
        client_id: The OAuth client that the fake knows.
        client_secret: Its secret.
        expires_in: For how many seconds a new token is good.
        token_interval: Seconds between two deltas where a script does not tell.
        api_keys: Bearer tokens that are always good on `/v1/chat/completions`, beside those that were issued.
        rate_limit: How many requests a token may make in how many seconds, in fixed windows; None for no limit.
        completions_path: Where completions are.
        push_path: Where pushes go.
        token_path: Where tokens are issued.
        clock: Seconds since 1970; it dates the diary, expires tokens and turns the windows of the rate limit.

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
        completions_path: str = "/api/v2/ai/llm/completions",
        push_path: str = "/api/v2/notifications/push",
        token_path: str = "/oauth/token",  # noqa: S107 - a path
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._ahead = 0.0
        self._app = App(
            client_id=client_id,
            client_secret=client_secret,
            expires_in=expires_in,
            token_interval=token_interval,
            api_keys=frozenset(api_keys),
            rate_limit=rate_limit,
            completions_path=completions_path,
            push_path=push_path,
            token_path=token_path,
        )
        self.completions: CompletionScript = self._app.completions
        self.push: PushScript = self._app.push
        self.tokens: TokenScript = self._app.tokens
        self.transport = FakeTransport(self._app, self.now)

    def transport_for(self, http: ModuleType) -> Any:
        """Return a transport for an HTTP library that is httpx under another name, such as `httpx2`.

        Args:
            http: The module.

        Returns:
            The transport, for its `Client` and its `AsyncClient`.
        """
        return FakeTransport(self._app, self.now, http)

    def serve(self, host: str = "127.0.0.1", port: int = 0) -> FakeServer:
        """Return a server for this fake: `with fake.serve() as server: server.base_url`.

        Args:
            host: The address to listen on.
            port: The port to listen on; 0 for any that is free.

        Returns:
            The server, which listens from `start()` on, or inside its `with` block.
        """
        return FakeServer(self._app, self.now, host, port)

    def client_options(self, base_url: str = "https://fake.genesys.example") -> dict[str, Any]:
        """Return the arguments that point a client of this library here.

        Args:
            base_url: The server's `base_url`; in memory any name will do.

        Returns:
            Arguments for `Client` and `AsyncClient`.
        """
        return {
            "client_id": self._app.client_id,
            "client_secret": self._app.client_secret,
            "base_url": base_url,
            "login_url": base_url,
        }

    # The clock.

    def now(self) -> float:
        """Return the fake's own time, in seconds since 1970."""
        return self._clock() + self._ahead

    def advance(self, seconds: float) -> None:
        """Move the fake's own time forward: tokens expire, windows of the rate limit pass; nothing sleeps.

        Args:
            seconds: By how much.
        """
        self._ahead += seconds

    # Tokens and limits.

    def issue_token(self, *, expires_in: float | None = None) -> str:
        """Return a good access token without asking `/oauth/token` for it.

        Args:
            expires_in: For how many seconds it is good; None for the fake's own `expires_in`.

        Returns:
            The token.
        """
        with self._app.lock:
            return self._app.book.issue(self.now() + (self._app.expires_in if expires_in is None else expires_in))

    def revoke_tokens(self) -> None:
        """Make every token that was issued so far a bad one, whatever its expiry said."""
        with self._app.lock:
            self._app.book.revoke()

    @property
    def issued_tokens(self) -> tuple[str, ...]:
        """Every token that was ever issued, in order."""
        with self._app.lock:
            return self._app.book.issued

    @property
    def expires_in(self) -> int:
        """For how many seconds the next token will be good."""
        return self._app.expires_in

    @expires_in.setter
    def expires_in(self, seconds: int) -> None:
        self._app.expires_in = seconds

    @property
    def rate_limit(self) -> tuple[int, float] | None:
        """How many requests a token may make in how many seconds, in fixed windows; None for no limit."""
        return self._app.rate_limit

    @rate_limit.setter
    def rate_limit(self, limit: tuple[int, float] | None) -> None:
        self._app.rate_limit = limit

    # The diary.

    @property
    def diary(self) -> list[Entry]:
        """What was asked and answered, in the order of arrival."""
        with self._app.lock:
            return list(self._app.diary)

    def requests(self, path: str | None = None) -> list[Entry]:
        """Return the diary's entries of one path; see also `fake.push.requests` and its like.

        Args:
            path: The path; None for all.

        Returns:
            The entries, in the order of arrival.
        """
        return [entry for entry in self.diary if path is None or entry.path == path]

    @property
    def pushes(self) -> list[Any]:
        """The payloads that were accepted, in order, those included whose answer was lost."""
        with self._app.lock:
            return list(self._app.pushes)

    @property
    def connections(self) -> int:
        """How many TCP connections were accepted; in memory there are none."""
        return self._app.connections

    @property
    def open_connections(self) -> int:
        """How many TCP connections are open now."""
        return self._app.open_connections

    @property
    def open_answers(self) -> int:
        """How many answers have begun and neither ended nor been given up by the client."""
        return self._app.open_answers

    def clear(self) -> None:
        """Forget the scripts and the diary; tokens stay good."""
        for script in (self.completions, self.push, self.tokens):
            script.clear()
        with self._app.lock:
            self._app.diary.clear()
            self._app.pushes.clear()
