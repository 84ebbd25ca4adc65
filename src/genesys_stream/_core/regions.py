"""Where Genesys Cloud is: the regions in every spelling that users have in their shells, and plain URLs."""

from __future__ import annotations

from urllib.parse import urlsplit

from attrs import frozen

from .._errors import ConfigurationError

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

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_HOST_PREFIXES = ("api.", "login.", "apps.")


@frozen
class Endpoints:
    """The two addresses of an organisation.

    Attributes:
        base_url: Where the API is, without a slash at the end.
        login_url: Where tokens are, without a slash at the end.
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
    """Find the addresses of a region.

    Args:
        region: An AWS region ("eu-west-1", "eu_west_1", "prod_eu_west_1"), a domain ("mypurecloud.ie",
            "api.mypurecloud.ie") or a URL; "us-east-1" when nothing is said at all.
        base_url: The API's URL, which wins over the region.
        login_url: The token endpoint's URL, which wins over the region; where only `base_url` is given, it is derived.
        allow_insecure_http: Whether an http URL may name another machine than this one.

    Returns:
        The addresses.

    Raises:
        ConfigurationError: The region is unknown, or a URL is not one that a secret may be sent to.
    """
    found = _of_region(region or base_url or "us-east-1")
    chosen = Endpoints(
        base_url=_checked("base_url", base_url or found.base_url, allow_insecure_http),
        login_url=_checked("login_url", login_url or (_of_region(base_url) if base_url and not region else found).login_url, allow_insecure_http),
    )
    return chosen


def _of_region(spelling: str) -> Endpoints:
    text = spelling.strip().rstrip("/")
    if "://" in text:
        return _of_url(text)
    name = text.lower().replace("_", "-").removeprefix("prod-")
    if name in DOMAINS:
        return _of_domain(DOMAINS[name])
    host = name.partition(":")[0]
    if host in _LOOPBACK:
        return Endpoints(f"http://{name}", f"http://{name}")
    domain = next((name.removeprefix(prefix) for prefix in _HOST_PREFIXES if name.startswith(prefix)), name)
    if "." in domain and "/" not in domain:
        return _of_domain(domain)
    msg = f"region {spelling!r} is not known; use one of {', '.join(DOMAINS)}, or a domain, or base_url and login_url"
    raise ConfigurationError(msg)


def _of_domain(domain: str) -> Endpoints:
    return Endpoints(f"https://api.{domain}", f"https://login.{domain}")


def _of_url(url: str) -> Endpoints:
    parts = urlsplit(url)
    for prefix in _HOST_PREFIXES:
        if (parts.hostname or "").startswith(prefix):
            domain = parts.netloc[len(prefix) :]
            return Endpoints(f"{parts.scheme}://api.{domain}", f"{parts.scheme}://login.{domain}")
    return Endpoints(url, url)


def _checked(name: str, url: str, allow_insecure_http: bool) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except (ValueError, AttributeError, TypeError):
        host, parts = None, urlsplit("")
    if not host or parts.scheme not in {"http", "https"} or parts.username or parts.query or parts.fragment:
        msg = f"{name} must be an http(s) URL without credentials, query or fragment, such as https://api.mypurecloud.com"
        raise ConfigurationError(msg)
    if not url.isascii() or not url.isprintable() or " " in url:
        msg = f"{name} has characters that no URL has"
        raise ConfigurationError(msg)
    if parts.scheme == "http" and host not in _LOOPBACK and not allow_insecure_http:
        msg = f"{name} would send secrets in the clear; use https, or say allow_insecure_http=True"
        raise ConfigurationError(msg)
    return url.rstrip("/")
