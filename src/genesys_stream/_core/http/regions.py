"""Finds the addresses of a Genesys Cloud region, in any of its spellings, or of a URL."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from attrs import frozen

from ..._errors import ConfigurationError
from ..._values._checks import shown
from ..._wire import type_name

DOMAINS: dict[str, str] = {
    "us-east-1": "mypurecloud.com",
    "us-east-2": "use2.us-gov-pure.cloud",
    "us-west-2": "usw2.pure.cloud",
    "ca-central-1": "cac1.pure.cloud",
    "mx-central-1": "mxc1.pure.cloud",
    "sa-east-1": "sae1.pure.cloud",
    "eu-west-1": "mypurecloud.ie",
    "eu-west-2": "euw2.pure.cloud",
    "eu-central-1": "mypurecloud.de",
    "eu-central-2": "euc2.pure.cloud",
    "eusc-de-east-1": "edee1.eusc-pure.cloud",
    "me-central-1": "mec1.pure.cloud",
    "ap-south-1": "aps1.pure.cloud",
    "ap-southeast-1": "apse1.pure.cloud",
    "ap-southeast-2": "mypurecloud.com.au",
    "ap-northeast-1": "mypurecloud.jp",
    "ap-northeast-2": "apne2.pure.cloud",
    "ap-northeast-3": "apne3.pure.cloud",
}

_HOST_PREFIXES = ("api.", "login.", "apps.")
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")


@frozen
class Endpoints:
    """The two addresses of an organisation, without a slash at the end.

    Attributes:
        base_url: The API's.
        login_url: The token endpoint's.
    """

    base_url: str
    login_url: str


def endpoints(
    region: str | None = None,
    *,
    base_url: str | None = None,
    login_url: str | None = None,
    allow_insecure_http: bool = False,
) -> Endpoints:
    """Return the addresses of a region.

    Args:
        region: An AWS region ("eu-west-1", "eu_west_1", "prod_eu_west_1"), a domain ("mypurecloud.ie",
            "api.mypurecloud.ie") or a URL; "us-east-1" without any argument.
        base_url: The API's URL, which takes precedence over the region.
        login_url: The token endpoint's URL, which takes precedence over the region; derived if only `base_url` is
            given.
        allow_insecure_http: Whether an http URL may name another machine.

    Returns:
        The addresses.

    Raises:
        ConfigurationError: The region is unknown, or a URL is not one that a secret may be sent to.
    """
    for name, value in (("region", region), ("base_url", base_url), ("login_url", login_url)):
        if value is not None and not isinstance(value, str):
            msg = f"{name} must be a string, not {type_name(value)}"
            raise ConfigurationError(msg)
    if not isinstance(allow_insecure_http, bool):
        msg = f"allow_insecure_http must be True or False, not {type_name(allow_insecure_http)}"
        raise ConfigurationError(msg)
    if base_url is not None:
        base_url = _checked("base_url", base_url, allow_insecure_http)
    named = region if region is not None else base_url if base_url is not None else "us-east-1"
    found = _of_region(named)
    return Endpoints(
        base_url=base_url if base_url is not None else _checked("region", found.base_url, allow_insecure_http),
        login_url=_checked("login_url", found.login_url if login_url is None else login_url, allow_insecure_http),
    )


def _of_region(spelling: str) -> Endpoints:
    text = spelling.strip().rstrip("/")
    if "://" in text:
        return _of_url(text)
    name = text.lower().replace("_", "-").removeprefix("prod-")
    if name in DOMAINS:
        return _of_domain(DOMAINS[name])
    if _is_loopback(_host_of(f"//{name}")):
        return Endpoints(f"http://{name}", f"http://{name}")
    domain = next((name.removeprefix(prefix) for prefix in _HOST_PREFIXES if name.startswith(prefix)), name)
    if "." in domain and "/" not in domain:
        return _of_domain(domain)
    known = ", ".join(DOMAINS)
    msg = f"region {shown(spelling)} is not known; use one of {known}, or a domain, or base_url and login_url"
    raise ConfigurationError(msg)


def _of_domain(domain: str) -> Endpoints:
    return Endpoints(f"https://api.{domain}", f"https://login.{domain}")


def _of_url(url: str) -> Endpoints:
    scheme, _, rest = url.partition("://")
    for prefix in _HOST_PREFIXES:
        if rest.lower().startswith(prefix):
            domain = rest[len(prefix) :]
            return Endpoints(f"{scheme}://api.{domain}", f"{scheme}://login.{domain}")
    if rest.lower() in DOMAINS.values():
        return Endpoints(f"{scheme}://api.{rest}", f"{scheme}://login.{rest}")
    return Endpoints(url, url)


def _checked(name: str, url: str, allow_insecure_http: bool) -> str:
    if not re.fullmatch(r"[!-~]*", url):
        msg = f"{name} has characters that no URL has"
        raise ConfigurationError(msg)
    scheme, host = url.partition("://")[0].lower(), _host_of(url)
    if scheme not in {"http", "https"} or not host or re.search(r"[@?#]", url):
        msg = f"{name} must be an http(s) URL without credentials, query or fragment, as is https://api.mypurecloud.com"
        raise ConfigurationError(msg)
    if scheme == "http" and not _is_loopback(host) and not allow_insecure_http:
        msg = f"{name} would send secrets in the clear; use https, or say allow_insecure_http=True"
        raise ConfigurationError(msg)
    return url.rstrip("/")


def _host_of(url: str) -> str:
    """Return the URL's host, or "" if it has none, or an invalid one."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return ""
    if not re.fullmatch(r"(\[[^\[\]]+\]|[^\[\]]+)(:[0-9]*)?", parts.netloc):
        return ""
    if parts.netloc.startswith("["):
        # Older Pythons take anything between the brackets (RFC 3986, section 3.2.2: an address of IPv6).
        return host if isinstance(_as_address(host), IPv6Address) else ""
    return host if _as_address(host) or (_HOST_NAME.fullmatch(host) and not re.fullmatch(r"[0-9.]+", host)) else ""


def _is_loopback(host: str) -> bool:
    address = _as_address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _as_address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
