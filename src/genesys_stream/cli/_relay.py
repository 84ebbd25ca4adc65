"""`genesys-stream relay`: relay a completion to phones while it is generated."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from typing import Any

import attrs
import click
from attrs import frozen

from .. import _relay as library
from .._core.reading.surrogates import SurrogateJoiner
from .._core.relaying.sink import Sink
from .._errors import GenesysStreamError, InvalidToken
from .._sync.completions import CompletionStream
from .._values import Batch, CompletionChunk, Delivery, RelayReport, Timeouts, Undelivered
from ._coalescers import COALESCERS, make_coalescer
from ._codes import ExitCode
from ._destinations import GONE, HINTS, Outlet, open_outlet, read_destinations, targets_outlet
from ._failures import Failure, code_of
from ._json import JsonView
from ._lines import LinesView
from ._options import with_prompt, with_service, with_verbose
from ._output import check_output
from ._service import ServiceOptions, check_setup, connect
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
@click.option(
    "--to",
    "destinations",
    multiple=True,
    metavar="SERVICE:TOKEN",
    help="A device of a push service: fcm:TOKEN, apns:TOKEN, webpush:FILE with the browser's subscription, or "
    "genesys:TOKEN; repeatable, each at its own pace.  With --sandbox the service alone, such as fcm.",
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
    destinations: tuple[str, ...],
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
    wanted = read_destinations(destinations, sandbox=service.sandbox)
    to = check_setup(targets, service, others=bool(wanted))
    titles: dict[str, Any] = {} if title is None else {"title": title}
    # Who limits the whole answer does not expect to wait minutes more for a push service that is down.
    limits: dict[str, Any] = {} if timeout is None else {"give_up_after": min(timeout, 300.0)}
    with connect(service) as connection, ExitStack() as stack:
        stream = connection.client.completions.stream(**question, timeouts=Timeouts(total=timeout))
        outlets = [targets_outlet(connection, to, dry_run=dry_run, **titles)] if to else []
        outlets += [open_outlet(one, connection, service, stack, dry_run=dry_run, **titles) for one in wanted]
        labels = _Labels()
        with _view_for(as_json=as_json) as view:
            view.begin(connection.address, [*to, *wanted], sandbox=service.sandbox)
            shown = _ShownStream(stream, _first_chunk(stream, view), view.generated)
            reports, failure = _run(
                lambda: library.relay_each(
                    shown,
                    [labels.note(outlet) for outlet in outlets],
                    coalescer=coalescer,
                    on_event=lambda event: _show(view, event, labels),
                    **limits,
                )
            )
        view.end(
            [
                Summary(report, stream.timing.first_token, _phone(outlet), outlet.label)
                for outlet, report in zip(outlets, reports, strict=True)
            ]
        )
    _finish(outlets, reports, failure, stream.request_id)


class _Labels:
    """Knows which destination a batch was sent to."""

    def __init__(self) -> None:
        self._labels: dict[int, tuple[Batch, str]] = {}  # with the batch, so that no other one gets its id

    def note(self, outlet: Outlet) -> Sink:
        """Return the outlet's sink, which notes each batch that it is given."""
        if not outlet.label:
            return outlet.sink

        def send(content: bytes, batch: Batch) -> object:
            self._labels[id(batch)] = batch, outlet.label
            return outlet.sink.send(content, batch)

        return attrs.evolve(outlet.sink, send=send)

    def of(self, batch: Batch) -> str:
        """Return the destination of a batch; "" for one that was never sent."""
        return self._labels.pop(id(batch), (batch, ""))[1]


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


def _run(start: Callable[[], tuple[RelayReport, ...]]) -> tuple[tuple[RelayReport, ...], BaseException | None]:
    try:
        return start(), None
    except BaseException as error:
        reports = getattr(error, "reports", ())
        if not reports:
            raise
        return reports, error


def _show(view: View, event: object, labels: _Labels) -> None:
    if isinstance(event, Delivery):
        view.pushed(event, time.monotonic() - event.batch.first_at, labels.of(event.batch))
    elif isinstance(event, Undelivered):
        view.lost(event, labels.of(event.batch))


def _phone(outlet: Outlet) -> Phone | None:
    return None if outlet.payloads is None else Phone.of(outlet.payloads())


def _finish(
    outlets: Sequence[Outlet], reports: Sequence[RelayReport], failure: BaseException | None, correlation_id: str
) -> None:
    """Exit with the code that fits, and say why on stderr."""
    if isinstance(failure, GenesysStreamError):
        raise Failure(failure, code_of(failure), correlation_id=correlation_id) from failure
    undelivered = [
        (outlet, missing) for outlet, report in zip(outlets, reports, strict=True) for missing in report.undelivered
    ]
    if isinstance(failure, KeyboardInterrupt) and not isinstance(failure, OutputClosed):
        delivered = "not all of the text is delivered" if undelivered else "the text so far is delivered"
        click.echo(f"genesys-stream: stopped; {delivered}", err=True)
    if failure is not None:
        raise failure
    if undelivered:
        outlet, missing = undelivered[0]
        lead = f"text could not be delivered{outlet.label and f' to {outlet.label}'}: "
        gone = isinstance(missing.error, InvalidToken) and missing.error.gone
        advice = GONE if gone else HINTS.get(outlet.service)
        raise Failure(missing.error, ExitCode.UNDELIVERED, lead=lead, advice=advice)
