"""`genesys-stream push`: one push."""

from __future__ import annotations

import click

from .._core.relaying.payload import TITLE
from .._errors import AmbiguousDelivery, BadRequest, GenesysStreamError
from ._codes import EPILOG, ExitCode
from ._failures import Failure, code_of
from ._json import receipt_object
from ._options import with_place, with_verbose
from ._output import write, write_json
from ._place import Place, connected, targets_of
from ._words import one_line


@click.command(epilog=EPILOG)
@click.option("--target", "targets", multiple=True, metavar="TOKEN", help="A device token; else MOBILE_DEVICE_TOKEN.")
@click.option("--title", default=TITLE, show_default=True, help="What the notification is headed.")
@click.option("--body", required=True, help="What the notification reads.")
@click.option("--data", multiple=True, metavar="KEY=VALUE", help="A string for the app; repeatable.")
@click.option("--dry-run", is_flag=True, help="Check everything and send nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the receipt as JSON.")
@with_place("completions_path", "token_interval")
@with_verbose
def push(
    *,
    place: Place,
    targets: tuple[str, ...],
    title: str,
    body: str,
    data: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send one push notification, and print its receipt."""
    to = targets_of(targets, place)
    with connected(place) as connection:
        try:
            receipt = connection.client.push.send(to, title, body, _pairs(data), dry_run=dry_run)
        except KeyboardInterrupt:
            stopped = AmbiguousDelivery("stopped; the push may have been delivered")
            Failure(stopped, ExitCode.INTERRUPTED).show()
            raise
        except GenesysStreamError as error:
            undelivered = isinstance(error, (AmbiguousDelivery, BadRequest))
            raise Failure(error, ExitCode.UNDELIVERED if undelivered else code_of(error)) from error
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
            raise click.UsageError(f"--data wants KEY=VALUE, not {pair!r}")
        if key in pairs:
            raise click.UsageError(f"--data has {key!r} twice")
        pairs[key] = value
    return pairs
