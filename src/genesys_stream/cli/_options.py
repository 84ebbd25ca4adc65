"""The options that several subcommands share."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from .._core.http.settings import COMPLETIONS_PATH, PUSH_PATH
from ._service import ServiceOptions

C = TypeVar("C", bound=Callable[..., Any])

_SERVICE_OPTIONS: dict[str, Callable[..., Any]] = {
    "sandbox": click.option(
        "--sandbox",
        is_flag=True,
        help="Use a fake Genesys Cloud that this command runs on your machine; needs no account.",
    ),
    "token_interval": click.option(
        "--token-interval",
        type=click.FloatRange(min=0),
        default=0.03,
        show_default=True,
        metavar="SECONDS",
        help="With --sandbox, the time between two tokens.",
    ),
    "region": click.option(
        "--region", metavar="REGION", help='"eu-west-1", "mypurecloud.ie", ...  [default: GENESYSCLOUD_REGION]'
    ),
    "base_url": click.option("--base-url", metavar="URL", help="The URL of the API, in place of the region's."),
    "login_url": click.option(
        "--login-url", metavar="URL", help="The URL of the token endpoint without its path, in place of the region's."
    ),
    "completions_path": click.option(
        "--completions-path",
        metavar="PATH",
        default=COMPLETIONS_PATH,
        show_default=True,
        help="The path of completions.",
    ),
    "push_path": click.option(
        "--push-path", metavar="PATH", default=PUSH_PATH, show_default=True, help="The path of pushes."
    ),
    "allow_insecure_http": click.option(
        "--allow-insecure-http", is_flag=True, help="Allow http URLs of other machines."
    ),
}


def _decorate(command: Callable[..., Any], decorators: Iterable[Callable[..., Any]]) -> Any:
    for decorator in reversed(list(decorators)):
        command = decorator(command)
    return command


def with_service(*without: str) -> Callable[[Callable[..., Any]], Any]:
    """Give a command the options that say where Genesys Cloud is, as one argument `service`.

    Args:
        *without: The fields of `ServiceOptions` that this command does not use.
    """
    options = {name: option for name, option in _SERVICE_OPTIONS.items() if name not in without}

    def decorate(command: Callable[..., Any]) -> Any:
        @functools.wraps(command)
        def call(**given: Any) -> Any:
            service = ServiceOptions(**{name: given.pop(name) for name in options})
            return command(service=service, **given)

        return _decorate(call, options.values())

    return decorate


def with_prompt(command: Callable[..., Any]) -> Any:
    """Give a command the options of a completion; the prompt comes from its argument, a file or stdin."""

    @functools.wraps(command)
    def call(*, prompt: str | None, file: Path | None, model: str, system: str | None, **options: Any) -> Any:
        messages = [{"role": "user", "content": _prompt(prompt, file)}]
        if system:
            messages.insert(0, {"role": "system", "content": system})
        return command(question={"model": model, "messages": messages}, **options)

    return _decorate(
        call,
        (
            click.argument("prompt", required=False),
            click.option(
                "--file",
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                help="Read the prompt from a file.",
            ),
            click.option("--model", default="gpt-4o", show_default=True, help="The model's name."),
            click.option("--system", metavar="TEXT", help="The system message, before the prompt."),
            click.option(
                "--timeout",
                type=click.FloatRange(min=0, min_open=True),
                metavar="SECONDS",
                help="Limit for the whole answer.",
            ),
        ),
    )


def with_verbose(command: C) -> C:
    """Give a command `-v`, which works before the subcommand as well."""
    return click.option(
        "-v", "--verbose", is_flag=True, expose_value=False, callback=_verbose, help="Log every request to stderr."
    )(command)


def _verbose(_context: click.Context, _option: click.Parameter, value: bool) -> None:
    if value:
        log_to_stderr()


def _prompt(argument: str | None, file: Path | None) -> str:
    if argument is not None and file is not None:
        raise click.UsageError("give the prompt as an argument or with --file, not both")
    try:
        if file is not None:
            text = file.read_text(encoding="utf-8-sig")
        elif argument is not None and argument != "-":
            text = argument
        else:
            text = _stdin(asked_for=argument == "-")
    except UnicodeDecodeError:
        raise click.UsageError("the prompt is not UTF-8 text") from None
    except OSError as error:
        raise click.UsageError(f"the prompt cannot be read: {error.strerror or error}") from None
    text = text.rstrip("\r\n")
    if not text.strip():
        raise click.UsageError("the prompt is empty")
    try:
        text.encode()
    except UnicodeEncodeError:  # an argument whose bytes are not the locale's
        raise click.UsageError("the prompt is not UTF-8 text") from None
    return text


def _stdin(*, asked_for: bool) -> str:
    # A process without stdin, such as a service's, has None in its place.
    terminal: Any = sys.stdin
    if terminal is None or (terminal.isatty() and not asked_for):
        raise click.UsageError("no prompt: give it as an argument, with --file, or on stdin")
    content: bytes = terminal.buffer.read()
    return content.decode("utf-8-sig")


class _ToStderr(logging.Handler):
    """Writes to the stderr of the moment, which the live view replaces so that lines go above its panel."""

    def emit(self, record: logging.LogRecord) -> None:
        # Not click.echo, which looks for the binary stream underneath, and so goes past the replacement.
        sys.stderr.write(self.format(record) + "\n")


def log_to_stderr() -> None:
    """Print the log of the library on stderr; it never holds text, tokens or secrets."""
    logger = logging.getLogger("genesys_stream")
    for handler in [known for known in logger.handlers if isinstance(known, _ToStderr)]:
        logger.removeHandler(handler)
    handler = _ToStderr()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
