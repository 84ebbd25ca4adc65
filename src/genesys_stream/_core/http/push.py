"""A push as a conversation: the request, and the receipt."""

from __future__ import annotations

import json

from ... import _errors
from ..._values import PushReceipt
from .exchange import Reply, Request
from .retry import RequestFlow, Retry, RetryState, never_sent, send_with_retry

ONCE = Retry(attempts=1)
"""For a sink, whose relay decides when to send again."""


def push_request(url: str, content: bytes) -> Request:
    """Make the request for a push whose payload is `content`."""
    return Request("POST", url, {"Content-Type": "application/json", "Accept": "application/json"}, content)


def dry_run_flow(content: bytes) -> RequestFlow[PushReceipt]:
    """Send nothing; returns the receipt of a dry run."""
    return PushReceipt(status="dry_run", attempts=0, extra={"bytes": len(content)})
    yield  # which makes it a flow like any other


def push(request: Request, retry: Retry, *, reauthorise: bool, resend_lost: bool) -> RequestFlow[PushReceipt]:
    """Send a push.

    Args:
        request: The push.
        retry: How patient to be.
        reauthorise: Whether a refused token may be replaced.
        resend_lost: Whether to send the same bytes again when an answer was lost.

    Returns:
        The receipt.

    Raises:
        StatusError: The service said no.
        AmbiguousDelivery: An answer was lost, and none that came later made up for it, so that nobody knows whether
            the push was taken.
        NetworkError: The push was never sent.
    """
    retries = RetryState(retry)
    try:
        reply = yield from send_with_retry(request, retries, reauthorise=reauthorise, repeat_lost=resend_lost)
    except (_errors.StatusError, _errors.NetworkError) as error:
        if not retries.resent and (isinstance(error, _errors.StatusError) or never_sent(error)):
            raise
        msg = f"the push was sent and its answer was lost; it may have been delivered; in the end: {error}"
        raise _errors.AmbiguousDelivery(msg, attempts=retries.attempts) from error
    return _receipt(reply, retries)


def _receipt(reply: Reply, retries: RetryState) -> PushReceipt:
    """A success is a success, whatever its body looks like."""
    try:
        payload = json.loads(reply.body)
    except (ValueError, RecursionError):
        payload = None
    fields = payload if isinstance(payload, dict) else {}
    count = fields.get("targets_count")
    return PushReceipt(
        id=_word(fields.get("id", fields.get("messageId"))),  # the latter is that of a bot's reply
        status=_word(fields.get("status")),
        targets_count=count if isinstance(count, int) and not isinstance(count, bool) else None,
        correlation_id=reply.correlation_id,
        attempts=retries.attempts,
        resent=retries.resent,
        extra={name: value for name, value in fields.items() if name not in {"id", "status", "targets_count"}},
    )


def _word(value: object) -> str:
    return "" if value is None else str(value)
