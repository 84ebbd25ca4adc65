"""`genesys-stream push`: one push."""

from __future__ import annotations

import click

from .._core.relaying.payload import TITLE
from .._errors import AmbiguousDelivery, GenesysStreamError
from ._codes import ExitCode
from ._failures import Failure, code_of
from ._format import one_line
from ._json import receipt_object
from ._options import with_service, with_verbose
from ._output import write, write_json
from ._service import ServiceOptions, check_setup, connect


@click.command()
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="TOKEN",
    help="A device token; repeatable.  [default: MOBILE_DEVICE_TOKEN]",
)
@click.option("--title", default=TITLE, show_default=True, help="The title of the notification.")
@click.option("--body", required=True, help="The body of the notification.")
@click.option("--data", multiple=True, metavar="KEY=VALUE", help="A string for the app; repeatable.")
@click.option("--dry-run", is_flag=True, help="Check the push, but do not send it.")
@click.option("--json", "as_json", is_flag=True, help="Print the receipt as JSON.")
@with_service("completions_path", "token_interval")
@with_verbose
def push(
    *,
    service: ServiceOptions,
    targets: tuple[str, ...],
    title: str,
    body: str,
    data: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send one push notification, and print its receipt."""
    to = check_setup(targets, service)
    with connect(service) as connection:
        try:
            receipt = connection.client.push.send(to, title, body, _pairs(data), dry_run=dry_run)
        except KeyboardInterrupt:
            stopped = AmbiguousDelivery("stopped; the push may have been delivered")
            Failure(stopped, ExitCode.INTERRUPTED).show()
            raise
        except GenesysStreamError as error:
            code = ExitCode.UNDELIVERED if isinstance(error, AmbiguousDelivery) else code_of(error)
            raise Failure(error, ExitCode.UNDELIVERED if code is ExitCode.BROKEN else code) from error
    fields = receipt_object(receipt)
    if as_json:
        write_json(fields)
        return
    rows = ((name, value) for name, value in fields.items() if value not in {None, ""})
    write("".join(f"{name + ':':<16}{one_line(str(value))}\n" for name, value in rows))


def _pairs(data: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for pair in data:
        key, separator, value = pair.partition("=")
        if not separator or not key:
            raise click.UsageError(f"--data must be KEY=VALUE, not {pair!r}")
        if key in pairs:
            raise click.UsageError(f"--data has {key!r} twice")
        pairs[key] = value
    return pairs
