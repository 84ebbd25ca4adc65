"""`genesys-stream doctor`: check the whole setup step by step, and say what to do about each failure."""

from __future__ import annotations

from collections.abc import Callable

import click
import httpx

from .._core.http.exchange import status_error
from .._core.relaying.payload import TITLE
from .._errors import GenesysStreamError
from .._http import network_error, to_reply
from ._codes import ExitCode
from ._failures import Failure, code_of
from ._format import count
from ._options import with_service, with_verbose
from ._output import write
from ._service import Connection, ServiceOptions, connect, targets_of
from ._token import endpoints_of, get_token, life_of, log_exchange, session_of, setup_rows

# What a service answers to a request that lacks every field, where the path exists and is permitted.
_INVALID = {400, 422}

_NEED_TOKEN = {"completions", "push"}


@click.command()
@click.option(
    "--target", "targets", multiple=True, metavar="TOKEN", help="A device token.  [default: MOBILE_DEVICE_TOKEN]"
)
@with_service("token_interval")
@with_verbose
def doctor(*, service: ServiceOptions, targets: tuple[str, ...]) -> None:
    """Check the whole setup, and say what is wrong and what to do.

    Nothing is generated and nothing is pushed: each path gets an empty request, which it has to refuse as invalid.
    Exits with the code of the first failure.
    """
    with connect(service) as connection, httpx.Client(timeout=30.0, trust_env=not service.sandbox) as http:
        where = endpoints_of(connection.arguments)
        rows = {"sandbox": where.base_url} if service.sandbox else setup_rows(service, where)
        for name, text in rows.items():
            _row(name, text)
        codes: list[ExitCode] = []
        for name, step in _steps(connection, http, targets_of(targets, service)):
            if name in _NEED_TOKEN and codes[0] is not ExitCode.DELIVERED:
                _row(name, "not checked, because there is no token")
            else:
                codes.append(_check(name, step))
    raise SystemExit(next((code for code in codes if code is not ExitCode.DELIVERED), ExitCode.DELIVERED))


def _steps(connection: Connection, http: httpx.Client, targets: tuple[str, ...]) -> list[tuple[str, Callable[[], str]]]:
    """Return the checks and their names; each returns what is fine, or raises what is wrong."""
    arguments, settings = connection.arguments, connection.client._settings
    where = endpoints_of(arguments)
    session = None if "access_token" in arguments else session_of(arguments, where)

    def token() -> str:
        if session is None:
            http.headers["Authorization"] = f"Bearer {arguments['access_token']}"
            return "used as it is; the next lines show whether it is accepted"
        life = get_token(session, http, where)
        http.auth = session
        return life_of(life)

    def dry_push() -> str:
        if not targets:
            raise click.UsageError("no phone: give --target, or set MOBILE_DEVICE_TOKEN")
        receipt = connection.client.push.send(targets, TITLE, "Your answer is ready", dry_run=True)
        return f"{count(len(targets), 'phone')}, {receipt.extra['bytes']} bytes would be sent"

    return [
        ("token", token),
        ("completions", lambda: _probe(http, settings.completions_url)),
        ("push", lambda: _probe(http, settings.push_url)),
        ("dry push", dry_push),
    ]


def _probe(http: httpx.Client, url: str) -> str:
    """Send an empty request to a path; an answer that calls it invalid shows that the path works."""
    try:
        response = http.post(url, json={}, follow_redirects=False)
    except httpx.HTTPError as error:
        raise network_error(error) from error
    log_exchange(response)
    if response.status_code in _INVALID or response.is_success:
        return url
    raise status_error(to_reply(response, response.content, None))


def _check(name: str, step: Callable[[], str]) -> ExitCode:
    """Run a step and print what came of it."""
    try:
        text = step()
    except click.UsageError as error:
        _row(name, f"FAILED: {error.message}")
        return ExitCode.USAGE
    except GenesysStreamError as error:
        failed = Failure(error, code_of(error))
        _row(name, f"FAILED: {failed.message}")
        if failed.hint:
            _row("", failed.hint)
        return failed.code
    _row(name, f"ok: {text}")
    return ExitCode.DELIVERED


def _row(name: str, text: str) -> None:
    write(f"{name + ':' if name else '':<13}{text}\n")
