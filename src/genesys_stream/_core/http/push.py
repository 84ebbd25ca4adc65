"""A push as a request flow: the request, its retries, and the receipt."""

from __future__ import annotations

import json

from ... import _errors
from ..._values import PushReceipt
from .exchange import Reply, Request
from .retry import RequestFlow, Retry, RetryState, never_sent, send_with_retry

ONCE = Retry(attempts=1)
"""The retry policy of a sink: one attempt, because its relay decides when to send again."""


def push_request(url: str, content: bytes) -> Request:
    """Return the request of a push whose payload is `content`."""
    return Request("POST", url, {"Content-Type": "application/json", "Accept": "application/json"}, content)


def dry_receipt(content: bytes) -> PushReceipt:
    """Return the receipt of a dry run."""
    return PushReceipt(status="dry_run", attempts=0, extra={"bytes": len(content)})


def push(request: Request, retry: Retry, *, reauthorise: bool, resend_lost: bool) -> RequestFlow[PushReceipt]:
    """Send a push, with retries.

    Args:
        request: The push.
        retry: The retry policy.
        reauthorise: Whether to replace a refused token, once, and send again.
        resend_lost: Whether to send the same bytes again when an answer was lost.

    Returns:
        The receipt.

    Raises:
        StatusError: The service refused the push.
        AmbiguousDelivery: An answer was lost and no later attempt succeeded, so that nobody knows whether the push was
            accepted.
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
    """Return the receipt of a successful reply, whatever its body looks like."""
    try:
        payload = json.loads(reply.body)
    except (ValueError, RecursionError):
        payload = None
    fields = payload if isinstance(payload, dict) else {}
    count = fields.get("targets_count")
    return PushReceipt(
        id=_word(fields.get("id")),
        status=_word(fields.get("status")),
        targets_count=count if isinstance(count, int) and not isinstance(count, bool) else None,
        correlation_id=reply.correlation_id,
        attempts=retries.attempts,
        resent=retries.resent,
        extra={name: value for name, value in fields.items() if name not in {"id", "status", "targets_count"}},
    )


def _word(value: object) -> str:
    return "" if value is None else str(value)
