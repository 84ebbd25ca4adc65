"""`genesys-stream relay`: a completion, relayed to phones while it is being said."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import click

from .. import _relay as library
from .._core.relaying.coalescers import TimeSize
from .._core.relaying.relay import GIVE_UP_AFTER
from .._errors import GenesysStreamError
from .._values import Delivery, RelayReport, Timeouts, Undelivered
from ._codes import EPILOG, ExitCode
from ._failures import Failure, code_of
from ._json import JsonView
from ._lines import LinesView
from ._modest import ModestSink
from ._options import with_place, with_prompt, with_verbose
from ._place import Connection, Place, connected, targets_of
from ._strategies import Overheard, make_coalescer, strategies
from ._view import Phone, Summary, View

_USUAL = TimeSize()


@click.command(epilog=EPILOG)
@with_prompt
@click.option("--target", "targets", multiple=True, metavar="TOKEN", help="A device token; else MOBILE_DEVICE_TOKEN.")
@click.option("--title", help="What each notification is headed.")
@click.option(
    "--coalescer",
    "strategy",
    type=click.Choice(sorted(strategies())),
    default="time-size",
    show_default=True,
    help="Decides when text is pushed.",
)
@click.option("--window", type=float, metavar="SECONDS", help=f"Text waits this long.  [default: {_USUAL.window}]")
@click.option(
    "--max-bytes", type=int, metavar="BYTES", help=f"So much text is not kept waiting.  [default: {_USUAL.max_bytes}]"
)
@click.option("--dry-run", is_flag=True, help="Stream and coalesce, but send no push.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line: text, push, lost, and at last report.")
@with_place()
@with_verbose
def relay(
    *,
    place: Place,
    question: dict[str, Any],
    timeout: float | None,
    targets: tuple[str, ...],
    title: str | None,
    strategy: str,
    window: float | None,
    max_bytes: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Relay the answer to PROMPT to phones while the model is still speaking.

    Without PROMPT, or with "-", the prompt is read from stdin.
    Ctrl-C stops the model; what it said until then is still delivered.
    """
    coalescer = make_coalescer(strategy, window=window, max_bytes=max_bytes)
    to = targets_of(targets, place)
    captions: dict[str, Any] = {} if title is None else {"title": title}
    with connected(place) as connection:
        stream = connection.client.completions.stream(**question, timeouts=Timeouts(total=timeout))
        sink = ModestSink(connection.client.push.to(*to, **captions, dry_run=dry_run))
        with _view_for(as_json=as_json) as view:
            view.begin(connection.address, to, sandbox=place.sandbox)
            report, failure = _run(
                lambda: library.relay(
                    stream,
                    sink,
                    coalescer=Overheard(coalescer, view.said),
                    # Told a total, nobody expects minutes more for a push service that is down.
                    give_up_after=GIVE_UP_AFTER if timeout is None else min(timeout, GIVE_UP_AFTER),
                    on_event=lambda event: _show(view, event),
                )
            )
        view.end(Summary(report, stream.timing.first_token, _phone(connection, dry_run=dry_run)))
    _finish(report, failure, stream.request_id)


def _view_for(*, as_json: bool) -> View:
    """Choose the view for whoever reads stdout; a terminal that can move its cursor gets the live one."""
    if as_json:
        return JsonView()
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return LinesView()
    from ._live import LiveView  # with rich, which nobody else needs

    return LiveView()


def _run(start: Callable[[], RelayReport]) -> tuple[RelayReport, BaseException | None]:
    try:
        return start(), None
    except BaseException as error:
        report = getattr(error, "report", None)
        if not isinstance(report, RelayReport):
            raise
        return report, error


def _show(view: View, event: object) -> None:
    if isinstance(event, Delivery):
        view.pushed(event, time.monotonic() - event.batch.first_at)
    elif isinstance(event, Undelivered):
        view.lost(event)


def _phone(connection: Connection, *, dry_run: bool) -> Phone | None:
    return None if connection.fake is None or dry_run else Phone.of(connection.fake)


def _finish(report: RelayReport, failure: BaseException | None, correlation_id: str) -> None:
    """Exit with the code that fits, and say why on stderr."""
    if isinstance(failure, GenesysStreamError):
        raise Failure(failure, code_of(failure), correlation_id=correlation_id) from failure
    if isinstance(failure, KeyboardInterrupt):
        told = "what was said is delivered" if not report.undelivered else "not all that was said could be delivered"
        click.echo(f"genesys-stream: stopped; {told}", err=True)
    if failure is not None:
        raise failure
    if report.undelivered:
        missing = report.undelivered[0]
        raise Failure(missing.error, ExitCode.UNDELIVERED, lead="text could not be delivered: ")
