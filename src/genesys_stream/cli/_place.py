"""Where Genesys Cloud is, and a client of it: the real one, by the environment's credentials, or the sandbox."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from attrs import frozen

from .._core.http.settings import _VARIABLES, COMPLETIONS_PATH, PUSH_PATH, from_environment
from .._sync.client import Client
from ._failures import MissingCredentials

if TYPE_CHECKING:
    from ..testing import FakeGenesys

SANDBOX_PHONE = "sandbox-phone"


@frozen(kw_only=True)
class Place:
    """What the command line says of it."""

    sandbox: bool = False
    token_interval: float = 0.03
    region: str | None = None
    base_url: str | None = None
    login_url: str | None = None
    completions_path: str = COMPLETIONS_PATH
    push_path: str = PUSH_PATH
    allow_insecure_http: bool = False

    @property
    def arguments(self) -> dict[str, Any]:
        """The client's arguments, the environment's among them.

        Raises:
            MissingCredentials: A variable is missing; the error names it.
        """
        given = {"region": self.region, "base_url": self.base_url, "login_url": self.login_url}
        arguments = from_environment(os.environ, {name: value for name, value in given.items() if value is not None})
        require_credentials(arguments)
        return {
            **arguments,
            "completions_path": self.completions_path,
            "push_path": self.push_path,
            "allow_insecure_http": self.allow_insecure_http,
        }


@frozen
class Connection:
    """A client, and the fake that it talks to, if it is one."""

    client: Client
    fake: FakeGenesys | None
    address: str


@contextmanager
def connected(place: Place) -> Generator[Connection, None, None]:
    """Give a client for as long as the block lasts.

    Raises:
        ConfigurationError: The environment lacks something, or says something unknown.
    """
    if not place.sandbox:
        with Client(**place.arguments) as client:
            yield Connection(client, None, client._settings.base_url)
        return
    elsewhere = [place.region, place.base_url, place.login_url]
    if any(value is not None for value in elsewhere):
        raise click.UsageError("--sandbox is a place of its own; leave --region, --base-url and --login-url out")
    import httpx

    from ..testing import FakeGenesys, Say

    fake = FakeGenesys(
        token_interval=place.token_interval, completions_path=place.completions_path, push_path=place.push_path
    )
    # A model thinks before it speaks.
    fake.completions.queue(Say(first_after=10 * place.token_interval), times=None)
    # Without the environment's proxies, which are not for the loopback.
    with (
        fake.serve() as server,
        httpx.Client(trust_env=False) as http_client,
        Client(
            **fake.client_options(server.base_url),
            completions_path=place.completions_path,
            push_path=place.push_path,
            http_client=http_client,
        ) as client,
    ):
        yield Connection(client, fake, server.base_url)


def targets_of(given: tuple[str, ...], place: Place) -> tuple[str, ...]:
    """The device tokens: those given, else the environment's, else the sandbox's phone.

    Raises:
        UsageError: There are none.
    """
    if given:
        return given
    if place.sandbox:
        return (SANDBOX_PHONE,)
    target = os.environ.get("MOBILE_DEVICE_TOKEN", "").strip()
    if not target:
        raise click.UsageError("no phone to send to: give --target, or set MOBILE_DEVICE_TOKEN")
    return (target,)


def require_credentials(arguments: dict[str, Any]) -> None:
    """Name what is missing, for somebody who has never done this before.

    Raises:
        MissingCredentials: There is neither a token nor both halves of the credentials.
    """
    if "access_token" in arguments:
        return
    missing = [name for name in ("client_id", "client_secret") if name not in arguments]
    if not missing:
        return
    found = [variable_of(name) for name in ("client_id", "client_secret") if name in arguments]
    names = " and ".join(_VARIABLES[name][0] for name in missing)
    verb = "is" if len(missing) == 1 else "are"
    beside = f", though {found[0]} is" if found else ""
    msg = f"{names} {verb} not set in the environment{beside}"
    raise MissingCredentials(msg)


def variable_of(argument: str) -> str:
    """The name of the environment variable that an argument comes from; "" when none is set."""
    return next((name for name in _VARIABLES[argument] if os.environ.get(name, "").strip()), "")
