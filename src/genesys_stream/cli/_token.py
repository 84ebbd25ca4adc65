"""`genesys-stream token`: whether the credentials are good, in words for somebody who sets them up."""

from __future__ import annotations

import json

import click
import httpx

from .._auth import ClientCredentials
from .._core.http.regions import Endpoints, endpoints
from .._core.http.retry import Retry
from .._http import network_error
from ._codes import EPILOG
from ._options import with_place, with_verbose
from ._output import write
from ._place import Place, variable_of

# Somebody is watching: what is throttled for long is to be said, not to be waited for.
_PATIENCE = Retry(attempts=2, retry_after_max=5.0)


@click.command(epilog=EPILOG)
@with_place("sandbox", "token_interval", "completions_path", "push_path")
@with_verbose
def token(*, place: Place) -> None:
    """Get an access token with the credentials in the environment, and say what is wrong if that fails.

    Neither the token nor the secret is ever printed.
    """
    arguments = place.arguments
    where = endpoints(
        arguments.get("region"),
        base_url=arguments.get("base_url"),
        login_url=arguments.get("login_url"),
        allow_insecure_http=place.allow_insecure_http,
    )
    region = place.region or variable_of("region") or "us-east-1, because nothing else was said"
    if "access_token" in arguments:
        credentials, life = variable_of("access_token"), "taken as it is; only its first use shows whether it is good"
    else:
        credentials = f"{variable_of('client_id')} and {variable_of('client_secret')}"
        life = _life(_ask(arguments["client_id"], arguments["client_secret"], where, place))
    rows = {"region": region, "API": where.base_url, "login": where.login_url, "credentials": credentials}
    write("".join(f"{name + ':':<13}{words}\n" for name, words in {**rows, "token": life}.items()))


def _ask(client_id: str, client_secret: str, where: Endpoints, place: Place) -> float | None:
    """Play the OAuth session's flow up to the request that it would authorise; returns the token's life in seconds."""
    session = ClientCredentials(
        client_id,
        client_secret,
        login_url=where.login_url,
        retry=_PATIENCE,
        allow_insecure_http=place.allow_insecure_http,
    )
    authorised = httpx.Request("GET", where.base_url)
    flow = session.sync_auth_flow(authorised)
    life: float | None = None
    with httpx.Client(timeout=30.0) as http:
        request = next(flow)
        while request is not authorised:
            try:
                response = http.send(request, auth=None, follow_redirects=False)
            except httpx.HTTPError as error:
                raise network_error(error) from error
            life = _expires_in(response)
            request = flow.send(response)
    flow.close()
    return life


def _expires_in(response: httpx.Response) -> float | None:
    try:
        return float(response.json()["expires_in"])
    except (KeyError, TypeError, ValueError, json.JSONDecodeError):
        return None


def _life(seconds: float | None) -> str:
    if seconds is None:
        return "good; the service does not say for how long"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (rest, "s"))
    return "good for " + (" ".join(f"{number} {unit}" for number, unit in parts if number) or "no time at all")
