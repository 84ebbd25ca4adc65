"""Requests, answers and log entries: frozen values.

The adapters (in memory, over a socket) can play an `Answer` and nothing else; whatever is scripted becomes one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from attrs import evolve, field, frozen


def headers_of(headers: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    """Freeze headers into pairs, so that an answer can be given more than once."""
    return tuple((headers or {}).items())


@frozen(kw_only=True)
class Request:
    """A request as the fake sees it, from either adapter.

    Attributes:
        at: When it came, in seconds since 1970 by the fake's clock.
        method: GET, POST, ...
        path: The path without the query, percent-decoded.
        query: The query string, without the question mark.
        headers: Lower-case names to values, Authorization included.
        body: The whole body.
        connection: The number of the TCP connection, from 1; None in memory.
    """

    at: float
    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = field(factory=dict)
    body: bytes = b""
    connection: int | None = None

    @property
    def json(self) -> Any:
        """The body, parsed.

        Raises:
            ValueError: The body is not JSON.
        """
        return json.loads(self.body)


@frozen(kw_only=True)
class Entry(Request):
    """An entry of the request log: a request, and how it was answered.

    Attributes:
        at: When the request came, in seconds since 1970 by the fake's clock.
        method: GET, POST, ...
        path: The path without the query, percent-decoded.
        query: The query string, without the question mark.
        headers: Lower-case names to values, Authorization included.
        body: The whole body.
        connection: The number of the TCP connection, from 1; None in memory.
        status: The status of the answer; None where the connection broke before the status line.
        correlation_id: The `ININ-Correlation-Id` of the answer.
        route: "completions", "push", "messages", "bot_replies", "tokens", or "" for a path that the fake does not know.
    """

    status: int | None = None
    correlation_id: str = ""
    route: str = ""


@frozen
class Drop:
    """The connection breaks here.

    Attributes:
        reset: By a reset (RST) rather than by a close (FIN).
    """

    reset: bool = False


@frozen
class Refuse:
    """No connection is made: `ConnectError` in memory.

    A real server has accepted the connection before it sees the request, so there it is a reset;
    `FakeServer.refusing` makes it refuse connections for real.
    """


Piece: TypeAlias = "bytes | float | Drop | Refuse"


@frozen
class Answer:
    """An answer, piece by piece.

    Attributes:
        status: The HTTP status.
        headers: Pairs of names and values.
        pieces: The body, in order: bytes, pauses in seconds, and `Drop` where the connection breaks.
            More than one piece goes out with `Transfer-Encoding: chunked`, unless `headers` has a Content-Length.
        before: What happens before the status line: pauses, `Drop` or `Refuse`.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    pieces: tuple[Piece, ...] = ()
    before: tuple[Piece, ...] = ()

    @property
    def lost(self) -> bool:
        """Whether the connection breaks before the status line."""
        return any(isinstance(piece, (Drop, Refuse)) for piece in self.before)

    def header(self, name: str) -> str | None:
        """Return the first header of this name, in any case, or None."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def framed(self) -> Answer:
        """Return the answer with the header that says where its body ends."""
        if self.header("content-length") or self.header("transfer-encoding") or self.status in {204, 304}:
            return self
        whole = self.pieces[0] if self.pieces else b""
        if len(self.pieces) <= 1 and isinstance(whole, bytes):
            framing = ("Content-Length", str(len(whole)))
        else:
            framing = ("Transfer-Encoding", "chunked")
        return evolve(self, headers=(*self.headers, framing))
