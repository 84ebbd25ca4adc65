"""The access token: its request, its cache, and when it must be replaced.

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
from .retry import Attempt, RequestFlow, Retry, RetryState

if TYPE_CHECKING:
    from collections.abc import Sequence

TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path, not a password

_AHEAD_SECONDS = 60.0
_AHEAD_SHARE = 0.1


class Hidden(str):
    """A string whose repr does not show it, for tools that print the local variables of a frame."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'<hidden>'"


@frozen
class Grant:
    """An access token as it was granted.

    Attributes:
        token: The token.
        expires_in: For how many seconds it is valid; None if the service gave no usable number.
    """

    token: str = field(repr=False)
    expires_in: float | None = None


@frozen
class _Entry:
    token: str = field(repr=False)
    granted_at: float
    life: float | None


class TokenCache:
    """Holds one access token and says for how long it may be used; it is told the time."""

    def __init__(self) -> None:
        self._entry: _Entry | None = None

    def get(self, now: float, margin: float = 0.0) -> str | None:
        """Return the token, or None if a new one must be requested.

        A token is replaced 60 seconds, or a tenth of its life if that is less, before it expires, because a request
        takes time to arrive.

        Args:
            now: The clock's time in seconds.
            margin: For how many seconds the token must still be valid; at most half of its life counts.
        """
        entry = self._entry
        if entry is None:
            return None
        if entry.life is None:
            return entry.token
        ahead = max(min(_AHEAD_SECONDS, entry.life * _AHEAD_SHARE), min(margin, entry.life / 2))
        return entry.token if now < entry.granted_at + entry.life - ahead else None

    def set(self, grant: Grant, now: float) -> None:
        """Store a new token.

        Args:
            grant: The token and its life.
            now: When it was requested, in the clock's seconds, so that its life is never overestimated.
        """
        self._entry = _Entry(grant.token, now, grant.expires_in)

    def invalidate(self, token: str) -> None:
        """Forget a token that the service refused; a newer one stays."""
        if self._entry is not None and self._entry.token == token:
            self._entry = None


def is_token(value: object) -> bool:
    """Return whether a value can be sent as a bearer token: visible ASCII, so that it cannot break the header."""
    return isinstance(value, str) and re.fullmatch(r"[!-~]+", value) is not None


def token_request(login_url: str, client_id: str, client_secret: str, scopes: Sequence[str] = ()) -> Request:
    """Return the request for a token by client credentials (RFC 6749, section 4.4.2)."""
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


def fetch_token(request: Request, retry: Retry) -> RequestFlow[Grant]:
    """Request a token, with retries.

    Returns:
        The grant.

    Raises:
        AuthenticationError: The credentials are wrong.
        RateLimited: Too many tokens were requested, even after waiting.
        StatusError: The token endpoint refused the request for another reason.
        NetworkError: The token endpoint could not be reached.
        MalformedEvent: The answer is not a token.
    """
    retries = RetryState(retry)
    after = 0.0
    while True:
        outcome = yield Attempt(request, after)
        if isinstance(outcome, Reply) and outcome.ok:
            return _grant(outcome.body)
        error = _refusal(outcome) if isinstance(outcome, Reply) else outcome
        after = retries.wait_after(error)


def _refusal(reply: Reply) -> _errors.StatusError:
    """Return the error of a refused token request.

    Genesys Cloud answers wrong credentials and too many requests with status 400 alike; only the texts differ.
    """
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
    """Return `expires_in` as seconds, or None if it is no usable number; the token is then used until it is refused."""
    try:
        seconds = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else 0.0
    except (ValueError, OverflowError):
        return None
    return seconds if 0.0 < seconds < math.inf else None
