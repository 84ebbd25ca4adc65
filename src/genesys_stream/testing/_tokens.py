"""The tokens that the fake has issued, and how many requests each has made."""

from __future__ import annotations

import math

from attrs import define, field, frozen


@define
class _Window:
    start: float
    count: int = 0


@frozen
class Usage:
    """How much of its rate limit a token has used.

    Attributes:
        count: Requests in this window, this one included.
        allowed: How many a window allows.
        reset: Whole seconds until the next window.
    """

    count: int
    allowed: int
    reset: int


@define
class Tokens:
    """Every token that was issued, with the time when it expires, and the fixed windows of the rate limit."""

    _expiry: dict[str, float] = field(factory=dict)
    _revoked: set[str] = field(factory=set)
    _windows: dict[str, _Window] = field(factory=dict)

    def issue(self, expires_at: float) -> str:
        """Issue a new token."""
        token = f"fake-token-{len(self._expiry) + 1}"
        self._expiry[token] = expires_at
        return token

    def revoke(self) -> None:
        """Invalidate every token that was issued so far."""
        self._revoked.update(self._expiry)

    @property
    def tokens(self) -> tuple[str, ...]:
        """Every token, in the order of issue."""
        return tuple(self._expiry)

    def problem(self, token: str, now: float) -> str:
        """Return the platform's code for what is wrong with a token, or ""."""
        if token not in self._expiry or token in self._revoked:
            return "bad.credentials"
        return "credentials.expired" if now >= self._expiry[token] else ""

    def use(self, token: str, limit: tuple[int, float], now: float) -> Usage:
        """Count a request against a token's window."""
        allowed, seconds = limit
        window = self._windows.get(token)
        if window is None or now >= window.start + seconds:
            window = self._windows[token] = _Window(now)
        window.count += 1
        left = window.start + seconds - now
        return Usage(window.count, allowed, math.ceil(left))
