"""`genesys-stream token`: check the credentials, and say what is wrong with them."""

from __future__ import annotations

import json
import logging
import os
from typing import Any

import click
import httpx

from .._auth import ClientCredentials
from .._core.http.regions import Endpoints, endpoints
from .._core.http.retry import Retry
from .._http import make_client, network_error
from ._failures import variable_of
from ._options import with_service, with_verbose
from ._output import write
from ._service import ServiceOptions, client_arguments

_log = logging.getLogger("genesys_stream")

# A person is waiting: a long Retry-After is reported, not waited for.
_RETRY = Retry(attempts=2, retry_after_max=5.0)


@click.command()
@with_service("sandbox", "token_interval", "completions_path", "push_path")
@with_verbose
def token(*, service: ServiceOptions) -> None:
    """Check the credentials, or say what is wrong with them.

    Gets an access token with the credentials in the environment. Neither the token nor the secret is printed.
    """
    arguments = client_arguments(service)
    where = endpoints_of(arguments)
    life = "not checked: GENESYSCLOUD_ACCESS_TOKEN is used as it is"
    if "access_token" not in arguments:
        with make_client(httpx.Client, httpx, 1) as http:
            http.timeout = 30.0
            life = life_of(get_token(session_of(arguments, where), http, where))
    rows = {**setup_rows(service, where), "token": life}
    write("".join(f"{name + ':':<13}{text}\n" for name, text in rows.items()))


def endpoints_of(arguments: dict[str, Any]) -> Endpoints:
    """Return the addresses that a client with these arguments uses."""
    names = ("base_url", "login_url", "allow_insecure_http")
    given = {name: arguments[name] for name in names if name in arguments}
    return endpoints(arguments.get("region"), **given)


def session_of(arguments: dict[str, Any], where: Endpoints) -> ClientCredentials:
    """Return the OAuth session of a client with these arguments."""
    return ClientCredentials(
        arguments["client_id"],
        arguments["client_secret"],
        login_url=where.login_url,
        retry=_RETRY,
        allow_insecure_http=arguments.get("allow_insecure_http", False),
    )


def setup_rows(service: ServiceOptions, where: Endpoints) -> dict[str, str]:
    """Return the region, the addresses and the names of the variables with the credentials."""
    variable = variable_of("region")
    if service.region is not None:
        region = service.region
    elif variable:
        region = f"{os.environ[variable].strip()} ({variable})"
    else:
        region = "us-east-1 (the default)"
    credentials = variable_of("access_token") or f"{variable_of('client_id')} and {variable_of('client_secret')}"
    return {"region": region, "API": where.base_url, "login": where.login_url, "credentials": credentials}


def get_token(session: ClientCredentials, http: httpx.Client, where: Endpoints) -> float | None:
    """Get a token for the session, and return its lifetime in seconds, where the service gives it."""
    # The session's flow yields the requests for the token before the one that it authorises, which is not sent.
    authorised = httpx.Request("GET", where.base_url)
    flow = session.sync_auth_flow(authorised)
    life: float | None = None
    request = next(flow)
    while request is not authorised:
        try:
            response = http.send(request, auth=None, follow_redirects=False)
        except httpx.HTTPError as error:
            raise network_error(error) from error
        log_exchange(response)
        life = _expires_in(response)
        request = flow.send(response)
    flow.close()
    return life


def log_exchange(response: httpx.Response) -> None:
    """Log a request that was sent without the library's client, for -v."""
    _log.debug("%s %s: %d", response.request.method, response.request.url, response.status_code)


def _expires_in(response: httpx.Response) -> float | None:
    try:
        return float(response.json()["expires_in"])
    except (KeyError, TypeError, ValueError, json.JSONDecodeError):
        return None


def life_of(seconds: float | None) -> str:
    """Return the lifetime of a token in words."""
    if seconds is None:
        return "good; the service does not say for how long"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (rest, "s"))
    return "good for " + (" ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s")
