"""Connects to Genesys Cloud with the credentials of the environment, or to the sandbox."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from attrs import frozen

from .._core.http.settings import _VARIABLES, COMPLETIONS_PATH, PUSH_PATH, from_environment
from .._sync.client import Client
from ._failures import MissingCredentials, variable_of

if TYPE_CHECKING:
    from ..testing import FakeGenesys

SANDBOX_PHONE = "sandbox-phone"


@frozen(kw_only=True)
class ServiceOptions:
    """Where Genesys Cloud is, by the command line."""

    sandbox: bool = False
    token_interval: float = 0.03
    region: str | None = None
    base_url: str | None = None
    login_url: str | None = None
    completions_path: str = COMPLETIONS_PATH
    push_path: str = PUSH_PATH
    allow_insecure_http: bool = False


@frozen
class Connection:
    """A client and what it was made of.

    Attributes:
        client: The client.
        arguments: The client's arguments, credentials included.
        fake: The sandbox; None where the client talks to a real service.
    """

    client: Client
    arguments: dict[str, Any]
    fake: FakeGenesys | None = None

    @property
    def address(self) -> str:
        """The base URL of the API."""
        return self.client._settings.base_url


def client_arguments(options: ServiceOptions) -> dict[str, Any]:
    """Return the arguments of a client, from the command line and the environment.

    Raises:
        MissingCredentials: A variable is missing; the error names it.
    """
    given = {"region": options.region, "base_url": options.base_url, "login_url": options.login_url}
    arguments = from_environment(os.environ, {name: value for name, value in given.items() if value is not None})
    missing = missing_credentials(arguments)
    if missing:
        raise MissingCredentials(missing)
    return {
        **arguments,
        "completions_path": options.completions_path,
        "push_path": options.push_path,
        "allow_insecure_http": options.allow_insecure_http,
    }


@contextmanager
def connect(options: ServiceOptions) -> Generator[Connection, None, None]:
    """Open a client, which is closed with the block.

    Raises:
        ConfigurationError: The environment lacks something, or has an invalid value.
    """
    if not options.sandbox:
        arguments = client_arguments(options)
        with Client(**arguments) as client:
            yield Connection(client, arguments)
        return
    if any(value is not None for value in (options.region, options.base_url, options.login_url)):
        raise click.UsageError("--sandbox does not go with --region, --base-url or --login-url")
    import httpx

    from ..testing import FakeGenesys, Say

    paths: dict[str, Any] = {"completions_path": options.completions_path, "push_path": options.push_path}
    fake = FakeGenesys(token_interval=options.token_interval, **paths)
    # A model takes longer to its first token than from one token to the next.
    fake.completions.queue(Say(first_after=10 * options.token_interval), times=None)
    # The environment's proxies are not for the loopback.
    with fake.serve() as server, httpx.Client(trust_env=False) as http_client:
        arguments = {**fake.client_options(server.base_url), **paths}
        with Client(**arguments, http_client=http_client) as client:
            yield Connection(client, arguments, fake)


def check_setup(targets: Sequence[str], options: ServiceOptions, *, others: bool = False) -> tuple[str, ...]:
    """Check that there are credentials and a phone, so that all that is missing is named at once.

    Args:
        targets: The device tokens of the command line.
        options: Where Genesys Cloud is.
        others: Whether there are devices of other services, so that these may be none.

    Returns:
        The device tokens: those of the command line, else that of the environment, else the sandbox's.

    Raises:
        MissingCredentials: There are no credentials.
        UsageError: There is no device token.
    """
    found = tuple(targets) if others else targets_of(targets, options)
    missing = "" if options.sandbox else missing_credentials(from_environment(os.environ, {}))
    if missing:
        phone = "" if found or others else "; MOBILE_DEVICE_TOKEN, or --target, is missing, too"
        raise MissingCredentials(missing + phone)
    if not (found or others):
        raise click.UsageError("no phone to send to: give --target, or set MOBILE_DEVICE_TOKEN")
    return found


def targets_of(targets: Sequence[str], options: ServiceOptions) -> tuple[str, ...]:
    """Return the device tokens: those given, else that of the environment, else the sandbox's; empty for none."""
    if targets:
        return tuple(targets)
    if options.sandbox:
        return (SANDBOX_PHONE,)
    target = os.environ.get("MOBILE_DEVICE_TOKEN", "").strip()
    return (target,) if target else ()


def missing_credentials(arguments: dict[str, Any]) -> str:
    """Return which variables are missing, in words; "" where there is a token, or an id and a secret."""
    missing = [name for name in ("client_id", "client_secret") if name not in arguments]
    if "access_token" in arguments or not missing:
        return ""
    found = [variable_of(name) for name in ("client_id", "client_secret") if name in arguments]
    names = " and ".join(_VARIABLES[name][0] for name in missing)
    verb = "is" if len(missing) == 1 else "are"
    return f"{names} {verb} not set in the environment{f', though {found[0]} is' if found else ''}"
