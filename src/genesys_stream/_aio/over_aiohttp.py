"""HTTP over aiohttp instead of httpcore, by httpx-aiohttp: the extra [aiohttp]; imported when it is chosen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from httpx_aiohttp.transport import AiohttpResponseStream

from .. import _errors
from .tasks import on_asyncio


class Transport(AiohttpTransport):
    """The transport of httpx-aiohttp, which also raises PoolTimeout, and UsageError on trio."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; return the response, whose body is not read yet.

        Raises:
            UsageError: This is not asyncio's event loop.
            PoolTimeout: All connections stayed in use.
        """
        if not on_asyncio():
            msg = 'transport="aiohttp" needs asyncio; on trio leave it at "httpx"'
            raise _errors.UsageError(msg)
        try:
            response = await super().handle_async_request(request)
        except httpx.TimeoutException as error:
            if isinstance(error.__cause__, aiohttp.ConnectionTimeoutError) and self._exhausted():
                raise httpx.PoolTimeout(str(error), request=request) from error.__cause__
            raise
        if isinstance(response.stream, AiohttpResponseStream):
            response.stream = _ResponseBody(response.stream._aiohttp_response, request.extensions.get("timeout", {}))
        return response

    def _exhausted(self) -> bool:
        """Return whether all connections are in use."""
        connector = getattr(self.client, "connector", None)
        used: Any = getattr(connector, "_acquired", ())
        return connector is not None and 0 < connector.limit <= len(used)


class _ResponseBody(AiohttpResponseStream):
    """A response's body whose reads use the request's timeouts at the time of reading, as httpcore's do.

    aiohttp takes the read timeout with the request, and would keep the one that limits the wait for the headers.

    Args:
        response: aiohttp's response.
        timeout: The request's timeouts.
    """

    def __init__(self, response: aiohttp.ClientResponse, timeout: Mapping[str, float | None]) -> None:
        super().__init__(response)
        self._timeout = timeout

    def __aiter__(self) -> AsyncIterator[bytes]:
        connection = self._aiohttp_response.connection
        protocol = None if connection is None else connection.protocol
        if protocol is not None:
            protocol.read_timeout = self._timeout.get("read")
            protocol.start_timeout()
        return super().__aiter__()


class Client(httpx.AsyncClient):
    """An httpx client that uses aiohttp, for proxies of the environment as well."""

    def _init_transport(self, *_: Any, **options: Any) -> httpx.AsyncBaseTransport:
        return _transport(**options)

    def _init_proxy_transport(self, proxy: httpx.Proxy, *_: Any, **options: Any) -> httpx.AsyncBaseTransport:
        if proxy.url.scheme not in {"http", "https"}:
            msg = f'transport="aiohttp" knows http and https proxies, not {proxy.url.scheme}; use transport="httpx"'
            raise _errors.ConfigurationError(msg)
        return _transport(proxy=proxy, **options)


def _transport(**options: Any) -> httpx.AsyncBaseTransport:
    known = ("verify", "cert", "trust_env", "limits", "proxy")
    return Transport(**{name: options[name] for name in known if options.get(name) is not None})
