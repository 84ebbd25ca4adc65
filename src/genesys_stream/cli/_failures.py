"""From an exception to one or two plain lines on stderr, and to an exit code."""

from __future__ import annotations

import click

from .. import _errors
from .._errors import GenesysStreamError
from ._codes import ExitCode
from ._words import one_line


class MissingCredentials(_errors.ConfigurationError):
    """The environment has no credentials, or half of them."""


_UNREACHABLE = (
    _errors.ConnectFailed,
    _errors.ConnectionLost,
    _errors.PoolExhausted,
    _errors.TimeoutExpired,
    _errors.RateLimited,
    _errors.RequestTimeout,
    _errors.ServerError,
)

# From the most particular to the most general; the first that fits is the way out.
_WAYS_OUT: tuple[tuple[type[GenesysStreamError], str], ...] = (
    (
        MissingCredentials,
        "without an account, try --sandbox; GENESYS_CLOUD_CLIENT_ID, GENESYS_CLIENT_ID and their like do as well",
    ),
    (_errors.AuthenticationError, "check GENESYSCLOUD_OAUTHCLIENT_ID, GENESYSCLOUD_OAUTHCLIENT_SECRET and the region"),
    (
        _errors.PermissionDenied,
        "give the OAuth client a role with the permissions for it, such as ai:llm:write and notifications:push:write",
    ),
    (_errors.NotFound, "check --completions-path, --push-path and the region: not every organisation has these paths"),
    (_errors.RateLimited, "wait a little, or send fewer pushes with a longer --window"),
    (_errors.ConnectFailed, "check the region, --base-url, and this machine's network and proxy"),
    (_errors.StreamTruncated, "try again: the service, or something on the way to it, broke the stream off"),
    (_errors.DeadlineExceeded, "give a longer --timeout, or ask for less"),
    (_errors.AmbiguousDelivery, "look at the phone before you send it again"),
    (_errors.UnexpectedContent, "check the region and --base-url: this does not look like the service"),
    (_errors.ServerError, "try again later; Genesys Cloud support asks for the correlation id"),
    (_errors.TimeoutExpired, "try again later"),
)


class Failure(Exception):
    """An error of the library on its way to stderr.

    Args:
        error: The error.
        code: What to exit with.
        lead: Words before the error's own.
        correlation_id: What Genesys Cloud support asks for, where the error itself does not know it.
    """

    def __init__(self, error: BaseException, code: ExitCode, *, lead: str = "", correlation_id: str = "") -> None:
        said = str(error) or type(error).__name__
        if correlation_id and correlation_id not in said:
            said += f" (correlation id {correlation_id})"
        super().__init__(said)
        self.message = one_line(f"{lead}{said}".replace("say allow_insecure_http=True", "say --allow-insecure-http"))
        self.code = code
        self.way_out = way_out(error)

    def show(self) -> None:
        """Write it to stderr."""
        click.echo(f"genesys-stream: {self.message}", err=True)
        if self.way_out:
            click.echo(f"  {self.way_out}", err=True)


def way_out(error: BaseException) -> str:
    """What a newcomer can do about it; "" when the error says it itself."""
    if isinstance(error, _errors.AuthenticationError) and error.code == "invalid_client":
        if "not found" in error.message.lower():
            return (
                "no OAuth client of this region has this id: check GENESYSCLOUD_OAUTHCLIENT_ID and GENESYSCLOUD_REGION"
            )
        return "the secret is not this client's: check GENESYSCLOUD_OAUTHCLIENT_SECRET"
    if isinstance(error, _errors.RateLimited) and error.retry_after:
        return f"the service asks to wait for {error.retry_after:g} seconds"
    return next((words for cls, words in _WAYS_OUT if isinstance(error, cls)), "")


def code_of(error: GenesysStreamError) -> ExitCode:
    """The exit code of an error that ended a command; one that came after the first word has broken the stream."""
    if isinstance(error, _errors.UsageError):
        return ExitCode.USAGE
    if error.partial is not None and error.partial.text:
        return ExitCode.BROKEN
    if isinstance(error, (_errors.AuthenticationError, _errors.PermissionDenied)):
        return ExitCode.REFUSED
    return ExitCode.UNREACHABLE if isinstance(error, _UNREACHABLE) else ExitCode.BROKEN
