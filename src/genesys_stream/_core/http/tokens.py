"""The access token: how it is asked for, when it is still good, and what happens to a refused one.

RFC 6749, section 4.4; Genesys Cloud takes the credentials as a Basic header and knows no refresh token for them.
"""

from __future__ import annotations

import base64
import json
import math
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from attrs import field, frozen

from ... import _errors
from .exchange import Reply, Request, status_error
from .retry import Attempt, Conversation, Patience, Retry

if TYPE_CHECKING:
    from collections.abc import Sequence

TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path, not a password

_AHEAD_SECONDS = 60.0
_AHEAD_SHARE = 0.1


class Hidden(str):
    """A string whose repr does not show it, because tools that show the locals of a frame show their reprs."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'<hidden>'"


@frozen
class Grant:
    """An access token as it was granted.

    Attributes:
        token: The token.
        expires_in: For how many seconds it is good; None when the service did not say, or said what makes no sense.
    """

    token: str = field(repr=False)
    expires_in: float | None = None


@frozen
class _Entry:
    token: str = field(repr=False)
    granted_at: float
    life: float | None


class TokenBook:
    """Holds the one token that is good; told the time."""

    def __init__(self) -> None:
        self._entry: _Entry | None = None

    def good(self, now: float, margin: float = 0.0) -> str | None:
        """The token, if it is still good.

        Args:
            now: The clock's time in seconds.
            margin: For how many seconds it must still be good, half of its life at the most.

        Returns:
            The token, or None when another one must be asked for: it is that ahead of its expiry by 60 seconds or a
            tenth of its life, whichever is less, because a request takes time to arrive.
        """
        entry = self._entry
        if entry is None:
            return None
        if entry.life is None:
            return entry.token
        ahead = max(min(_AHEAD_SECONDS, entry.life * _AHEAD_SHARE), min(margin, entry.life / 2))
        return entry.token if now < entry.granted_at + entry.life - ahead else None

    def enter(self, grant: Grant, now: float) -> None:
        """Keep a new token; `now` is when it was asked for, so that its life is never overrated."""
        self._entry = _Entry(grant.token, now, grant.expires_in)

    def strike(self, token: str) -> None:
        """Forget a token that the service refused; a newer one stays."""
        if self._entry is not None and self._entry.token == token:
            self._entry = None


def is_token(value: object) -> bool:
    """Whether a value can be sent as a bearer token: visible ASCII, so that no header line can end in it."""
    return isinstance(value, str) and re.fullmatch(r"[!-~]+", value) is not None


def token_request(login_url: str, client_id: str, client_secret: str, scopes: Sequence[str] = ()) -> Request:
    """Make the request for a token by client credentials."""
    credentials = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
    scope = f"&scope={quote(' '.join(scopes))}" if scopes else ""
    return Request(
        "POST",
        login_url + TOKEN_PATH,
        {
            "Authorization": f"Basic {credentials}",
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        },
        f"grant_type=client_credentials{scope}".encode(),
        needs_token=False,
    )


def authorise(request: Request, retry: Retry) -> Conversation[Grant]:
    """Ask for a token.

    Returns:
        The grant.

    Raises:
        AuthenticationError: The credentials are wrong.
        RateLimited: Too many tokens were asked for, even after waiting.
        StatusError: The token endpoint said no for another reason.
        NetworkError: It could not be reached.
        MalformedEvent: Its answer is not a token.
    """
    patience = Patience(retry)
    after = 0.0
    while True:
        outcome = yield Attempt(request, after)
        if isinstance(outcome, Reply) and outcome.ok:
            return _grant(outcome.body)
        error = _refusal(outcome) if isinstance(outcome, Reply) else outcome
        after = patience.wait_after(error)


def _refusal(reply: Reply) -> _errors.StatusError:
    """Genesys Cloud says both "wrong credentials" and "slow down" with status 400, and only the words differ."""
    error = status_error(reply)
    refused = reply.status in {400, 401}
    if refused and error.message.lower().startswith("rate limit exceeded"):
        return _renamed(error, _errors.RateLimited, retryable=True)
    if refused and error.code in {"invalid_client", "unauthorized_client"}:
        return _renamed(error, _errors.AuthenticationError, retryable=False)
    return error


def _renamed(error: _errors.StatusError, cls: type[_errors.StatusError], *, retryable: bool) -> _errors.StatusError:
    renamed = cls.__new__(cls, *error.args)
    renamed.__dict__.update(error.__dict__, retryable=retryable)
    return renamed


def _grant(body: bytes) -> Grant:
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        payload = None
    if isinstance(payload, dict) and is_token(payload.get("access_token")):
        return Grant(Hidden(payload["access_token"]), _seconds(payload.get("expires_in")))
    # The body may hold a token, so it is not shown.
    msg = "the token endpoint's answer is not a token"
    raise _errors.MalformedEvent(msg)


def _seconds(value: object) -> float | None:
    """A token whose life is not a time that a token lives is good until it is refused."""
    try:
        seconds = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else 0.0
    except (ValueError, OverflowError):
        return None
    return seconds if 0.0 < seconds < math.inf else None
