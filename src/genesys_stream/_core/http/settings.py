"""The settings of a client, from its arguments and the environment.

Errors in credentials, region and addresses are `ConfigurationError`; those in any other setting are `InvalidArgument`,
as in a call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve, field, frozen

from ... import _errors
from ..._values import ClientEvent, Timeouts
from ..._values._checks import check_hook, check_kind, check_whole
from .exchange import checked_headers
from .regions import endpoints
from .retry import Retry

COMPLETIONS_PATH = "/api/v2/ai/llm/completions"
"""The path of completions; it is not in Genesys Cloud's public API catalogue."""

PUSH_PATH = "/api/v2/notifications/push"
"""The path of pushes; it is not in Genesys Cloud's public API catalogue."""

MAX_EVENT_BYTES = 16 * 2**20
"""The largest event of a stream, in bytes."""

_VARIABLES: dict[str, tuple[str, ...]] = {
    "client_id": ("GENESYSCLOUD_OAUTHCLIENT_ID", "GENESYS_CLOUD_CLIENT_ID", "GENESYS_CLIENT_ID"),
    "client_secret": ("GENESYSCLOUD_OAUTHCLIENT_SECRET", "GENESYS_CLOUD_CLIENT_SECRET", "GENESYS_CLIENT_SECRET"),
    "region": ("GENESYSCLOUD_REGION", "GENESYSCLOUD_API_REGION", "GENESYS_CLOUD_REGION"),
    "access_token": ("GENESYSCLOUD_ACCESS_TOKEN", "GENESYS_CLOUD_ACCESS_TOKEN"),
}


@frozen
class CallSettings:
    """What an HTTP session needs to know to make a call.

    Attributes:
        headers: Headers of every request.
        timeouts: The timeouts of every call.
        on_event: Called with every `ExchangeStarted` and `Exchange`.
    """

    headers: Mapping[str, str] = field(factory=dict, repr=False, kw_only=True)
    timeouts: Timeouts = field(factory=Timeouts, kw_only=True)
    on_event: Callable[[ClientEvent], object] | None = field(default=None, repr=False, kw_only=True)


@frozen
class Settings(CallSettings):
    """The settings of a client.

    Attributes:
        base_url: The API's address.
        login_url: The address of the token endpoint, without its path.
        completions_url: The URL of completions.
        push_url: The URL of pushes.
        headers: Headers of every request.
        timeouts: The timeouts of every call.
        retry: The retry policy of every call.
        max_event_bytes: How large an event may grow, in bytes.
        on_event: Called with every `ExchangeStarted` and `Exchange`.
    """

    base_url: str
    login_url: str
    completions_url: str
    push_url: str
    retry: Retry = field(factory=Retry)
    max_event_bytes: int = MAX_EVENT_BYTES

    def changed(self, **changes: Any) -> Settings:
        """Return these settings with those changes that are not None.

        Raises:
            InvalidArgument: A setting is of the wrong type or out of range.
        """
        wanted = {name: value for name, value in changes.items() if value is not None}
        for name, cls in (("timeouts", Timeouts), ("retry", Retry)):
            check_kind(name, wanted.get(name), cls, optional=True)
        check_whole("max_event_bytes", wanted.get("max_event_bytes", 1))
        check_hook("on_event", wanted.get("on_event"))
        if "headers" in wanted:
            wanted["headers"] = {**self.headers, **checked_headers("headers", wanted["headers"])}
        return evolve(self, **wanted) if wanted else self


def settings(
    *,
    region: str | None,
    base_url: str | None,
    login_url: str | None,
    completions_path: str,
    push_path: str,
    allow_insecure_http: bool,
    **changes: Any,
) -> Settings:
    """Return a client's settings from its arguments.

    Raises:
        ConfigurationError: The region is unknown, or an address is unsafe.
        InvalidArgument: A setting is of the wrong type or out of range.
    """
    place = endpoints(region, base_url=base_url, login_url=login_url, allow_insecure_http=allow_insecure_http)
    for name, path in (("completions_path", completions_path), ("push_path", push_path)):
        if not re.fullmatch(r'/[!"$-~]*', path if isinstance(path, str) else ""):
            raise _errors.InvalidArgument(name, "must be a path that begins with a slash, with no space, line end or #")
    found = Settings(
        place.base_url,
        place.login_url,
        place.base_url + completions_path,
        place.base_url + push_path,
    )
    return found.changed(**changes)


def from_environment(environment: Mapping[str, str], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a client: those that are given, and those from environment variables.

    An empty variable counts as not set, and None as not given; a token in the environment takes precedence over
    credentials there.
    """
    given = {argument: value for argument, value in arguments.items() if value is not None}
    found: dict[str, Any] = {}
    for argument, names in _VARIABLES.items():
        value = next((environment[name].strip() for name in names if environment.get(name, "").strip()), None)
        if value is not None:
            found[argument] = value
    if {"client_id", "client_secret", "credentials"} & given.keys():
        found.pop("access_token", None)
    if "access_token" in found or {"access_token", "credentials"} & given.keys():
        found.pop("client_id", None)
        found.pop("client_secret", None)
    return {**found, **given}


def missing_credentials() -> _errors.ConfigurationError:
    """Return the error of a client without credentials, which says how to give them."""
    msg = (
        "no credentials: give client_id and client_secret, or access_token, or set "
        f"{_VARIABLES['client_id'][0]} and {_VARIABLES['client_secret'][0]}"
    )
    return _errors.ConfigurationError(msg)
