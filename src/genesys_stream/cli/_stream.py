"""`genesys-stream stream`: a completion, printed while it is being said."""

from __future__ import annotations

import sys
from typing import Any

import click

from .._core.reading.surrogates import SurrogateJoiner
from .._errors import GenesysStreamError
from .._sync.completions import CompletionStream
from .._values import Timeouts
from ._codes import EPILOG
from ._failures import Failure, code_of
from ._options import with_place, with_prompt, with_verbose
from ._output import write, write_json
from ._place import Place, connected
from ._words import visible


@click.command(epilog=EPILOG)
@with_prompt
@click.option("--json", "as_json", is_flag=True, help="One chunk per line, as JSON, as it came.")
@with_place("push_path")
@with_verbose
def stream(*, place: Place, question: dict[str, Any], timeout: float | None, as_json: bool) -> None:
    """Print the answer to PROMPT as it comes; nothing is pushed.

    Without PROMPT, or with "-", the prompt is read from stdin.
    """
    with connected(place) as connection:
        completion = connection.client.completions.stream(**question, timeouts=Timeouts(total=timeout))
        try:
            _print_chunks(completion) if as_json else _print_text(completion)
        except GenesysStreamError as error:
            raise Failure(error, code_of(error), correlation_id=completion.request_id) from error


def _print_chunks(completion: CompletionStream) -> None:
    for chunk in completion:
        write_json(chunk.raw, needed=True)


def _print_text(completion: CompletionStream) -> None:
    # A file gets what was said to the letter; a screen is not to be steered by it.
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
