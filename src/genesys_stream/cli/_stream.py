"""`genesys-stream stream`: print a completion as it arrives."""

from __future__ import annotations

import sys
from typing import Any

import click

from .._core.reading.surrogates import SurrogateJoiner
from .._errors import GenesysStreamError
from .._sync.completions import CompletionStream
from .._values import Timeouts
from ._failures import Failure, code_of
from ._format import visible
from ._options import with_prompt, with_service, with_verbose
from ._output import write, write_json
from ._service import ServiceOptions, connect


@click.command()
@with_prompt
@click.option("--json", "as_json", is_flag=True, help="Print each chunk as a line of JSON.")
@with_service("push_path")
@with_verbose
def stream(*, service: ServiceOptions, question: dict[str, Any], timeout: float | None, as_json: bool) -> None:
    """Print the answer to PROMPT as it arrives; nothing is pushed.

    Without PROMPT, or with "-", the prompt is read from stdin.
    """
    with connect(service) as connection:
        completion = connection.client.completions.stream(**question, timeouts=Timeouts(total=timeout))
        try:
            _print_chunks(completion) if as_json else _print_text(completion)
        except GenesysStreamError as error:
            raise Failure(error, code_of(error), correlation_id=completion.request_id) from error


def _print_chunks(completion: CompletionStream) -> None:
    for chunk in completion:
        write_json(chunk.raw, needed=True)


def _print_text(completion: CompletionStream) -> None:
    # A file gets the text as it is; a terminal gets no control characters.
    shown = visible if sys.stdout.isatty() else str
    joiner = SurrogateJoiner()
    last = "\n"
    try:
        for chunk in completion:
            text = joiner.feed(chunk.text)
            if text:
                write(shown(text), needed=True)
                last = text[-1]
    finally:
        rest = joiner.close()
        if rest or last != "\n":
            write(rest + "\n")
