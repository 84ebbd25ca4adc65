"""The command's door: its subcommands, and what becomes of the errors that come out of them."""

from __future__ import annotations

import sys
from typing import Any

import click

from .._errors import GenesysStreamError
from .._version import __version__
from ._codes import EPILOG, ExitCode
from ._failures import Failure, code_of
from ._options import log_to_stderr
from ._push import push
from ._relay import relay
from ._sandbox import sandbox
from ._signals import Terminated, termination_as_interrupt
from ._stream import stream
from ._token import token


class App(click.Group):
    """A group in which every error of the library becomes two lines on stderr and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand that was asked for."""
        try:
            with termination_as_interrupt():
                return super().invoke(ctx)
        except Failure as known:
            failure = known
        except GenesysStreamError as error:
            failure = Failure(error, code_of(error))
        except Terminated:
            sys.exit(ExitCode.TERMINATED)
        except KeyboardInterrupt:
            sys.exit(ExitCode.INTERRUPTED)
        failure.show()
        sys.exit(failure.code)


@click.group(cls=App, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="genesys-stream", message="%(prog)s %(version)s")
@click.option("-v", "--verbose", is_flag=True, help="Log every request to stderr.")
def app(*, verbose: bool) -> None:
    """Stream completions from Genesys Cloud, and relay them to phones while the model is still speaking.

    Try it without an account: genesys-stream relay --sandbox "How does Go stream HTTP?"

    Credentials come from the environment alone: GENESYSCLOUD_OAUTHCLIENT_ID, GENESYSCLOUD_OAUTHCLIENT_SECRET and
    GENESYSCLOUD_REGION, or GENESYSCLOUD_ACCESS_TOKEN; GENESYS_CLOUD_CLIENT_ID and its like, and GENESYS_CLIENT_ID and
    GENESYS_CLIENT_SECRET, do as well.
    """
    if verbose:
        log_to_stderr()


for command in (relay, stream, push, token, sandbox):
    app.add_command(command)
