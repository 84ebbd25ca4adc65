"""aiohttp in the place of httpcore, through httpx-aiohttp: the extra [aiohttp]; imported when it is chosen."""

from __future__ import annotations

from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from .. import _errors
from .shield import on_asyncio


class Transport(AiohttpTransport):
    """The transport of httpx-aiohttp, which also tells our errors what they need to know."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; returns the response, whose body is not read.

        Raises:
            UsageError: This is not asyncio's event loop.
            PoolTimeout: All connections stayed in use.
        """
        if not on_asyncio():
            msg = 'transport="aiohttp" needs asyncio; on trio leave it at "httpx"'
            raise _errors.UsageError(msg)
        try:
            return await super().handle_async_request(request)
        except httpx.TimeoutException as error:
            if isinstance(error.__cause__, aiohttp.ConnectionTimeoutError) and self._exhausted():
                raise httpx.PoolTimeout(str(error), request=request) from error.__cause__
            raise

    def _exhausted(self) -> bool:
        """Whether all connections that may be open are in use."""
        connector = getattr(self.client, "connector", None)
        used: Any = getattr(connector, "_acquired", ())
        return connector is not None and 0 < connector.limit <= len(used)


class Client(httpx.AsyncClient):
    """An HTTP client that speaks through aiohttp, to proxies of the environment as well."""

    bears_cancellation = True

    def _init_transport(self, *_: Any, **options: Any) -> httpx.AsyncBaseTransport:
        return _transport(**options)

    def _init_proxy_transport(self, proxy: httpx.Proxy, *_: Any, **options: Any) -> httpx.AsyncBaseTransport:
        return _transport(proxy=proxy, **options)


def _transport(**options: Any) -> httpx.AsyncBaseTransport:
    known = ("verify", "cert", "trust_env", "limits", "proxy")
    return Transport(**{name: options[name] for name in known if options.get(name) is not None})
