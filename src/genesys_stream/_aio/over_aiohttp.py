"""HTTP over aiohttp: the extra [aiohttp]; imported when it is chosen.

`Client` has the methods of httpx.AsyncClient that this library calls, and none of its layers.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx

from .. import _errors
from .tasks import on_asyncio


class Request(NamedTuple):
    """A request, under the names of httpx."""

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes
    extensions: Mapping[str, Any]


class Client:
    """Sends requests with aiohttp, over the proxies of the environment.

    aiohttp itself would also look into the file .netrc at every request.

    Args:
        verify: The TLS context.
        limits: How many connections may be open, and for how long idle ones are kept.

    Raises:
        ConfigurationError: The environment names a proxy that aiohttp cannot use.
    """

    def __init__(self, *, verify: ssl.SSLContext, limits: httpx.Limits) -> None:
        self._verify = verify
        self._limits = limits
        self._proxies = {scheme: url for scheme, url in getproxies().items() if scheme in {"http", "https", "all"}}
        self._proxy_of: dict[str, str | None] = {}
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        for url in self._proxies.values():
            scheme = urlsplit(url).scheme
            if scheme not in {"http", "https", ""}:
                msg = f'transport="aiohttp" knows http and https proxies, not {scheme}; use transport="httpx"'
                raise _errors.ConfigurationError(msg)

    async def send(self, request: Request, **_: object) -> Response:
        """Send a request.

        Returns:
            The response, whose body is not read yet.

        Raises:
            UsageError: This is not asyncio's event loop.
            PoolTimeout: All connections stayed in use.
            Exception: What aiohttp raises.
        """
        session = self._session or self._open()
        timeouts = request.extensions["timeout"]
        try:
            response = await session.request(
                request.method,
                request.url,
                headers=request.headers,
                data=request.content or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    connect=timeouts["pool"], sock_connect=timeouts["connect"], sock_read=timeouts["read"]
                ),
                proxy=self._proxy(request.url) if self._proxies else None,
            )
        except aiohttp.ConnectionTimeoutError as error:
            if self._exhausted(session):
                raise httpx.PoolTimeout(str(error)) from error
            raise
        return Response(response, timeouts)

    async def aclose(self) -> None:
        """Close all connections."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            msg = "the client is closed"
            raise _errors.StreamStateError(msg)
        if not on_asyncio():
            msg = 'transport="aiohttp" needs asyncio; on trio leave it at "httpx"'
            raise _errors.UsageError(msg)
        limits = self._limits
        connector = aiohttp.TCPConnector(
            ssl=self._verify, limit=limits.max_connections or 0, keepalive_timeout=limits.keepalive_expiry
        )
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )
        return self._session

    def _proxy(self, url: str) -> str | None:
        """Return the proxy of the environment for a URL, which is found once for each host."""
        scheme, host = urlsplit(url)[:2]
        if host not in self._proxy_of:
            proxy = self._proxies.get(scheme) or self._proxies.get("all")
            self._proxy_of[host] = None if proxy is None or proxy_bypass(host) else _with_scheme(proxy)
        return self._proxy_of[host]

    @staticmethod
    def _exhausted(session: aiohttp.ClientSession) -> bool:
        """Return whether all connections are in use."""
        connector = session.connector
        used: Any = getattr(connector, "_acquired", ())
        return connector is not None and 0 < connector.limit <= len(used)


def _with_scheme(proxy: str) -> str:
    return proxy if "://" in proxy else f"http://{proxy}"


class Response:
    """A response, under the names of httpx, whose body's reads use the request's timeouts at the time of reading.

    aiohttp takes the read timeout with the request, and would keep the one that limits the wait for the headers.

    Args:
        response: aiohttp's response.
        timeouts: The request's timeouts.
    """

    def __init__(self, response: aiohttp.ClientResponse, timeouts: Mapping[str, float | None]) -> None:
        self.status_code = response.status
        self.headers = response.headers
        self.is_success = 200 <= response.status < 300
        self.stream = self
        self._response = response
        self._timeouts = timeouts
        self._readany = response.content.readany

    def __aiter__(self) -> Self:
        connection = self._response.connection
        protocol = None if connection is None else connection.protocol
        if protocol is not None:
            protocol.read_timeout = self._timeouts["read"]
            protocol.start_timeout()
        return self

    async def __anext__(self) -> bytes:
        piece = await self._readany()
        if not piece:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Return the connection to the pool, or close it if the body was not read to its end."""
        self._response.release()
        await self._response.wait_for_close()
