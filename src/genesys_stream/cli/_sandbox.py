"""`genesys-stream sandbox`: serve a fake Genesys Cloud, for other commands and for apps under development."""

from __future__ import annotations

import re
import shlex
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from ._destinations import SETUPS, naming_packages
from ._format import one_line, quoted
from ._output import write
from ._service import SANDBOX_PHONE

if TYPE_CHECKING:
    from ..testing import Entry

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - looked up, not listened on
_LONGEST_TEXT = 60


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="The port to listen on.  [default: any that is free]"
)
@click.option(
    "--token-interval",
    type=click.FloatRange(min=0),
    default=0.03,
    show_default=True,
    metavar="SECONDS",
    help="The time between two tokens of a completion.",
)
@click.option(
    "--expires-in",
    type=click.IntRange(min=1),
    default=86399,
    show_default=True,
    metavar="SECONDS",
    help="The lifetime of an access token.",
)
@click.option("--rate-limit", metavar="N/SECONDS", help="How many requests a token may make, such as 300/60.")
@click.option(
    "--service",
    "services",
    multiple=True,
    type=click.Choice(list(SETUPS)),
    help="Serve the fake of a push service as well; repeatable.",
)
@click.option("-v", "--verbose", is_flag=True, help="Print the body and the correlation id of each request, too.")
@click.pass_context
def sandbox(
    context: click.Context,
    *,
    host: str,
    port: int,
    token_interval: float,
    expires_in: int,
    rate_limit: str | None,
    services: tuple[str, ...],
    verbose: bool,
) -> None:
    """Serve a fake Genesys Cloud until Ctrl-C.

    Prints the variables that point the other commands at it on stdout, and a line for each request on stderr.
    """
    verbose = verbose or context.find_root().params.get("verbose") is True
    limit = _rate_limit(rate_limit)
    from ..testing import FakeGenesys

    def on_request(entry: Entry) -> None:
        click.echo(_lines(entry, verbose=verbose), err=True)

    fake = FakeGenesys(token_interval=token_interval, expires_in=expires_in, rate_limit=limit, on_request=on_request)
    server = fake.serve(host, port)
    try:
        server.start()
    except OSError as error:
        raise click.UsageError(f"cannot listen on {host} port {port}: {error.strerror or error}") from None
    with ExitStack() as stack:
        stack.callback(server.stop)
        try:
            url = server.base_url.replace(f"//{host}:", f"//{_ANY_ADDRESS.get(host, host)}:")
            variables = {
                "GENESYSCLOUD_OAUTHCLIENT_ID": fake.client_id,
                "GENESYSCLOUD_OAUTHCLIENT_SECRET": fake.client_secret,
                "GENESYSCLOUD_REGION": url,
                "MOBILE_DEVICE_TOKEN": SANDBOX_PHONE,
            }
            for service in dict.fromkeys(services):
                with naming_packages(service):
                    variables |= SETUPS[service](stack, on_request)
            write("".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()))
            click.echo("Paste these lines into another terminal. Ctrl-C stops the sandbox.", err=True)
            server.wait()
        except KeyboardInterrupt:
            return  # the usual end of a server


def _lines(entry: Entry, *, verbose: bool) -> str:
    """Return what is printed for a request: one line, or with `verbose` its details below."""
    at = time.strftime("%H:%M:%S", time.localtime(entry.at))
    status = "connection broken" if entry.status is None else entry.status
    line = f"{at} {entry.method} {one_line(entry.path)} {status}{_content(entry)}"
    if verbose:
        line += f"\n         correlation id {entry.correlation_id}, connection {entry.connection}"
        if entry.body and entry.route != "tokens":  # whose body may hold a secret
            line += f"\n         {one_line(entry.body.decode('utf-8', 'replace'))}"
    return line


def _content(entry: Entry) -> str:
    """Return the prompt of a completion, or to whom a push or a message goes, and its text."""
    try:
        body = entry.json
        if entry.route == "completions":
            return f"  {_short(body['messages'][-1]['content'])}"
        if entry.route == "push":
            data = body.get("data", {})
            number = f"push {data['seq']} " if "seq" in data else "push "
            return f"  {number}to {', '.join(body['targets'])}: {_short(data.get('llm_response') or body['body'])}"
        if entry.route == "messages":
            return f"  message to {body.get('toAddress') or body['externalContactId']}: {_short(body['textBody'])}"
        if entry.route == "bot_replies":
            text = "".join(message["text"] for message in body["replyMessages"])
            return f"  reply, {body['botState']}: {_short(text)}"
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        pass  # a request that is refused may hold anything
    return ""


def _short(text: Any) -> str:
    text = text if isinstance(text, str) else str(text)
    return quoted(text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…")


def _rate_limit(text: str | None) -> tuple[int, float] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9}(?:\.\d{1,9})?)", text)
    if found is None or float(found[2]) <= 0:
        raise click.UsageError(f"--rate-limit must be N/SECONDS, such as 300/60, not {text!r}")
    return int(found[1]), float(found[2])
