"""`genesys-stream relay`: relay a completion to phones while it is generated."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import click
from attrs import frozen

from .. import _relay as library
from .._core.reading.surrogates import SurrogateJoiner
from .._errors import GenesysStreamError
from .._sync.completions import CompletionStream
from .._values import CompletionChunk, Delivery, RelayReport, Timeouts, Undelivered
from ._coalescers import COALESCERS, make_coalescer
from ._codes import ExitCode
from ._failures import Failure, code_of
from ._json import JsonView
from ._lines import LinesView
from ._options import with_prompt, with_service, with_verbose
from ._output import check_output
from ._service import Connection, ServiceOptions, check_setup, connect
from ._signals import OutputClosed
from ._view import Phone, Summary, View


@click.command()
@with_prompt
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="TOKEN",
    help="A device token; repeatable.  [default: MOBILE_DEVICE_TOKEN]",
)
@click.option("--title", help="The title of each notification.")
@click.option(
    "--coalescer",
    "strategy",
    type=click.Choice(sorted(COALESCERS)),
    help="Decides when text is pushed.  [default: the first text at once, then as often as the phone allows]",
)
@click.option(
    "--window", type=float, metavar="SECONDS", help="Push text after this time.  Implies --coalescer time-size."
)
@click.option(
    "--max-bytes",
    type=int,
    metavar="BYTES",
    help="Push text at this size.  Implies --coalescer time-size, where no other is given.",
)
@click.option("--dry-run", is_flag=True, help="Generate and coalesce, but send no push.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print a JSON object per line: text, push, lost, and finally report or error.",
)
@with_service()
@with_verbose
def relay(
    *,
    service: ServiceOptions,
    question: dict[str, Any],
    timeout: float | None,
    targets: tuple[str, ...],
    title: str | None,
    strategy: str | None,
    window: float | None,
    max_bytes: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Relay the answer to PROMPT to phones while it is generated.

    Without PROMPT, or with "-", the prompt is read from stdin.
    Ctrl-C stops the model; the text so far is still delivered.
    """
    coalescer = make_coalescer(strategy, window=window, max_bytes=max_bytes)
    to = check_setup(targets, service)
    titles: dict[str, Any] = {} if title is None else {"title": title}
    # Who limits the whole answer does not expect to wait minutes more for a push service that is down.
    limits: dict[str, Any] = {} if timeout is None else {"give_up_after": min(timeout, 300.0)}
    with connect(service) as connection:
        stream = connection.client.completions.stream(**question, timeouts=Timeouts(total=timeout))
        sink = connection.client.push.to(*to, **titles, dry_run=dry_run)
        with _view_for(as_json=as_json) as view:
            view.begin(connection.address, to, sandbox=service.sandbox)
            shown = _ShownStream(stream, _first_chunk(stream, view), view.generated)
            report, failure = _run(
                lambda: library.relay(
                    shown,
                    sink,
                    coalescer=coalescer,
                    on_event=lambda event: _show(view, event),
                    **limits,
                )
            )
        view.end(Summary(report, stream.timing.first_token, _phone(connection, dry_run=dry_run)))
    _finish(report, failure, stream.request_id)


@frozen
class _ShownStream:
    """A stream whose text is shown as it is read; closing it closes the stream."""

    stream: CompletionStream
    first: list[CompletionChunk]
    show: Callable[[str], None]

    def __iter__(self) -> Iterator[CompletionChunk]:
        joiner = SurrogateJoiner()
        for chunk in chain(self.first, self.stream):
            check_output()
            if text := joiner.feed(chunk.text):
                self.show(text)
            yield chunk
        if rest := joiner.close():
            self.show(rest)
        self.stream.result()  # raises where the stream was closed before its end

    def close(self) -> None:
        self.stream.close()


def _first_chunk(stream: CompletionStream, view: View) -> list[CompletionChunk]:
    """Wait for the first text; where there is none because of an error, nothing is pushed and nothing reported."""
    try:
        return [chunk for chunk in (next(stream, None),) if chunk is not None]
    except GenesysStreamError as error:
        view.failed(error)
        raise Failure(error, code_of(error), correlation_id=stream.request_id) from error
    except KeyboardInterrupt:
        click.echo("genesys-stream: stopped before the first text", err=True)
        raise


def _view_for(*, as_json: bool) -> View:
    """Choose the view for the kind of stdout; a terminal that can move its cursor gets the live one."""
    if as_json:
        return JsonView()
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return LinesView()
    from ._live import LiveView  # imports rich, which the others do without

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
    if isinstance(failure, KeyboardInterrupt) and not isinstance(failure, OutputClosed):
        delivered = "the text so far is delivered" if not report.undelivered else "not all of the text is delivered"
        click.echo(f"genesys-stream: stopped; {delivered}", err=True)
    if failure is not None:
        raise failure
    if report.undelivered:
        missing = report.undelivered[0]
        raise Failure(missing.error, ExitCode.UNDELIVERED, lead="text could not be delivered: ")
