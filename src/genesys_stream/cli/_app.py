"""The group of commands, and how their errors become messages and exit codes."""

from __future__ import annotations

import logging
import sys
from typing import Any

import click

from .._errors import GenesysStreamError
from .._version import __version__
from ._codes import EPILOG, ExitCode
from ._doctor import doctor
from ._failures import Failure, code_of
from ._options import log_to_stderr
from ._push import push
from ._relay import relay
from ._sandbox import sandbox
from ._signals import OutputClosed, Terminated, termination_as_interrupt
from ._stream import stream
from ._token import token


class App(click.Group):
    """A group that prints every error of the library in one or two lines on stderr, and exits with its code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand."""
        try:
            with termination_as_interrupt():
                return super().invoke(ctx)
        except Failure as known:
            failure = known
        except GenesysStreamError as error:
            failure = Failure(error, code_of(error))
        except Terminated:
            sys.exit(ExitCode.TERMINATED)
        except OutputClosed:
            sys.exit(ExitCode.OUTPUT_CLOSED)
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

    Credentials are read from the environment only: GENESYSCLOUD_OAUTHCLIENT_ID, GENESYSCLOUD_OAUTHCLIENT_SECRET and
    GENESYSCLOUD_REGION, or GENESYSCLOUD_ACCESS_TOKEN. The names GENESYS_CLOUD_CLIENT_ID, GENESYS_CLIENT_ID and their
    like work, too. "genesys-stream doctor" says what is wrong with them.
    """
    # Without -v the library's warnings are not printed: the summary and the exit code have all that they say.
    logging.getLogger("genesys_stream").addHandler(logging.NullHandler())
    if verbose:
        log_to_stderr()


for command in (relay, stream, push, token, doctor, sandbox):
    app.add_command(command)
