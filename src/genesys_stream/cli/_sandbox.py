"""`genesys-stream sandbox`: a Genesys Cloud on the loopback, for other commands and for apps under development."""

from __future__ import annotations

import re

import click

from ._codes import EPILOG
from ._options import with_verbose
from ._output import write
from ._place import SANDBOX_PHONE

_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - they are looked up, not listened on


@click.command(epilog=EPILOG)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="The port to listen on; any free one by default."
)
@click.option(
    "--token-interval",
    type=click.FloatRange(min=0),
    default=0.03,
    show_default=True,
    metavar="SECONDS",
    help="The time between two tokens.",
)
@click.option(
    "--expires-in",
    type=click.IntRange(min=1),
    default=86399,
    show_default=True,
    metavar="SECONDS",
    help="How long an access token is good.",
)
@click.option("--rate-limit", metavar="N/SECONDS", help="How many requests a token may make, such as 300/60.")
@with_verbose
def sandbox(*, host: str, port: int, token_interval: float, expires_in: int, rate_limit: str | None) -> None:
    """Serve a fake Genesys Cloud until Ctrl-C, and print the variables that point the other commands at it."""
    limit = _rate_limit(rate_limit)
    from ..testing import FakeGenesys

    fake = FakeGenesys(token_interval=token_interval, expires_in=expires_in, rate_limit=limit)
    server = fake.serve(host, port)
    try:
        server.start()
    except OSError as error:
        raise click.UsageError(f"cannot listen on {host} port {port}: {error.strerror or error}") from None
    options = fake.client_options(server.base_url)
    try:
        url = server.base_url.replace(f"//{host}:", f"//{_ANYWHERE.get(host, host)}:")
        write(
            f"export GENESYSCLOUD_OAUTHCLIENT_ID={options['client_id']}\n"
            f"export GENESYSCLOUD_OAUTHCLIENT_SECRET={options['client_secret']}\n"
            f"export GENESYSCLOUD_REGION={url}\n"
            f"export MOBILE_DEVICE_TOKEN={SANDBOX_PHONE}\n"
        )
        click.echo("Paste these lines into another terminal. Ctrl-C stops the sandbox.", err=True)
        server.wait()
    except KeyboardInterrupt:
        # It is how a server ends, not how it breaks.
        return
    finally:
        server.stop()


def _rate_limit(text: str | None) -> tuple[int, float] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9}(?:\.\d{1,9})?)", text)
    if found is None or float(found[2]) <= 0:
        raise click.UsageError(f"--rate-limit wants N/SECONDS, such as 300/60, not {text!r}")
    return int(found[1]), float(found[2])
