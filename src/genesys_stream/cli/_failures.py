"""An exception as one or two lines on stderr, and as an exit code."""

from __future__ import annotations

import os

import click

from .. import _errors
from .._core.http.settings import _VARIABLES
from .._errors import GenesysStreamError
from ._codes import ExitCode
from ._format import one_line


class MissingCredentials(_errors.ConfigurationError):
    """The environment lacks credentials, or half of them."""


_UNREACHABLE = (
    _errors.ConnectFailed,
    _errors.ConnectionLost,
    _errors.PoolExhausted,
    _errors.TimeoutExpired,
    _errors.RateLimited,
    _errors.RequestTimeout,
    _errors.ServerError,
)

# Subclasses first; the first class that matches gives the hint.
_HINTS: tuple[tuple[type[GenesysStreamError], str], ...] = (
    (
        MissingCredentials,
        "without an account, try: genesys-stream relay --sandbox PROMPT",
    ),
    (_errors.AuthenticationError, "check GENESYSCLOUD_OAUTHCLIENT_ID, GENESYSCLOUD_OAUTHCLIENT_SECRET and the region"),
    (
        _errors.PermissionDenied,
        "give the OAuth client a role with the permissions for it, such as ai:llm:write and notifications:push:write",
    ),
    (_errors.NotFound, "check --completions-path, --push-path and the region: not every organisation has these paths"),
    (_errors.PayloadTooLarge, "send less: FCM and APNs take 4096 bytes for a push"),
    (_errors.RateLimited, "wait a little, or send fewer pushes with a longer --window"),
    (_errors.ConnectFailed, "check the region, --base-url, and this machine's network and proxy"),
    (_errors.StreamTruncated, "try again: the service, or a proxy before it, ended the stream early"),
    (_errors.DeadlineExceeded, "give a longer --timeout, or ask for less"),
    (_errors.AmbiguousDelivery, "look at the phone before you send it again"),
    (_errors.UnexpectedContent, "check the region and --base-url: this does not look like the service"),
    (_errors.ServerError, "try again later; Genesys Cloud support asks for the correlation id"),
    (_errors.TimeoutExpired, "try again later"),
)


class Failure(Exception):
    """An error that ends the command with a message and an exit code.

    Args:
        error: The error.
        code: The exit code.
        lead: Text before the error's message.
        advice: What the user can do about it; None for what there is to say for Genesys Cloud.
        correlation_id: What Genesys Cloud support asks for, where the error itself does not have it.
    """

    def __init__(
        self,
        error: BaseException,
        code: ExitCode,
        *,
        lead: str = "",
        correlation_id: str = "",
        advice: str | None = None,
    ) -> None:
        message = str(error) or type(error).__name__
        if correlation_id and correlation_id not in message:
            message += f" (correlation id {correlation_id})"
        super().__init__(message)
        self.message = one_line(f"{lead}{message}".replace("allow_insecure_http=True", "--allow-insecure-http"))
        self.code = code
        self.hint = hint(error) if advice is None else advice

    def show(self) -> None:
        """Write it to stderr."""
        click.echo(f"genesys-stream: {self.message}", err=True)
        if self.hint:
            click.echo(f"  {self.hint}", err=True)


def variable_of(argument: str) -> str:
    """Return the name of the environment variable that gives an argument of the client; "" where none is set."""
    return next((name for name in _VARIABLES[argument] if os.environ.get(name, "").strip()), "")


def hint(error: BaseException) -> str:
    """Return what the user can do about an error; "" where its message says it."""
    token = variable_of("access_token")
    if isinstance(error, _errors.AuthenticationError) and error.code != "invalid_client" and token:
        return f"check {token}: the token may have expired, or belong to another region"
    if isinstance(error, _errors.AuthenticationError) and error.code == "invalid_client":
        if "not found" in error.message.lower():
            return (
                "no OAuth client of this region has this id: check GENESYSCLOUD_OAUTHCLIENT_ID and GENESYSCLOUD_REGION"
            )
        return "the secret does not belong to this client: check GENESYSCLOUD_OAUTHCLIENT_SECRET"
    if isinstance(error, _errors.RateLimited) and error.retry_after:
        return f"the service asks to wait for {error.retry_after:g} seconds"
    return next((text for cls, text in _HINTS if isinstance(error, cls)), "")


def code_of(error: GenesysStreamError) -> ExitCode:
    """Return the exit code of an error that ended a command; after the first text it is that of a broken stream."""
    if isinstance(error, _errors.UsageError):
        return ExitCode.USAGE
    if error.partial is not None and error.partial.text:
        return ExitCode.BROKEN
    if isinstance(error, (_errors.AuthenticationError, _errors.PermissionDenied)):
        return ExitCode.REFUSED
    return ExitCode.UNREACHABLE if isinstance(error, _UNREACHABLE) else ExitCode.BROKEN
