"""One push to a push service: sent once, because its relay decides when to send again."""

from __future__ import annotations

from collections.abc import Callable

from ... import _errors
from ..._errors import StatusError
from ..._values import PushReceipt
from ..http.exchange import Reply, Request
from ..http.retry import Attempt, RequestFlow, never_sent


def send_once(
    request: Request,
    *,
    error_of: Callable[[Reply], StatusError],
    receipt_of: Callable[[Reply], PushReceipt],
    reauthorise: bool = False,
) -> RequestFlow[PushReceipt]:
    """Send a push.

    Args:
        request: The push.
        error_of: Reads an unsuccessful reply.
        receipt_of: Reads a successful one.
        reauthorise: Whether an access token that was refused (`AuthenticationError`) may be replaced, once.

    Returns:
        The receipt.

    Raises:
        StatusError: The service refused the push.
        AmbiguousDelivery: The answer was lost, so that nobody knows whether the push was taken.
        NetworkError: The push was never sent.
    """
    refused = None
    while True:
        outcome = yield Attempt(request, 0.0, refused)
        if not isinstance(outcome, Reply):
            if never_sent(outcome):
                raise outcome
            msg = f"the push was sent and its answer was lost; it may have been delivered; in the end: {outcome}"
            raise _errors.AmbiguousDelivery(msg) from outcome
        if outcome.ok:
            return receipt_of(outcome)
        error = error_of(outcome)
        if not (reauthorise and isinstance(error, _errors.AuthenticationError) and outcome.token is not None):
            raise error
        refused, reauthorise = outcome.token, False
