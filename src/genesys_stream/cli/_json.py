"""The view for programs: a JSON object per line, whose `event` is text, push, lost, and finally report or error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._errors import GenesysStreamError, StatusError
from .._values import Batch, Delivery, PushReceipt, Undelivered
from ._output import write_json
from ._view import Summary, View


class JsonView(View):
    """Prints JSON lines."""

    def failed(self, error: GenesysStreamError) -> None:
        """Print an error event, the last one."""
        write_json({"event": "error", "error": error_object(error)})

    def generated(self, text: str) -> None:
        """Print a text event."""
        write_json({"event": "text", "text": text})

    def pushed(self, delivery: Delivery, latency: float, to: str) -> None:
        """Print a push event."""
        write_json(
            {
                "event": "push",
                **_to(to),
                **_batch(delivery.batch),
                "latency": round(latency, 6),
                "attempts": delivery.attempts,
                "resent": delivery.resent,
                "receipt": _receipt(delivery.receipt),
            }
        )

    def lost(self, undelivered: Undelivered, to: str) -> None:
        """Print a lost event."""
        batch, error = _batch(undelivered.batch), error_object(undelivered.error)
        write_json({"event": "lost", **_to(to), **batch, "ambiguous": undelivered.ambiguous, "error": error})

    def end(self, summaries: Sequence[Summary]) -> None:
        """Print the report events, one for each destination, the last ones."""
        for summary in summaries:
            self._report(summary)

    def _report(self, summary: Summary) -> None:
        report, phone = summary.report, summary.phone
        usage = report.completion.usage
        write_json(
            {
                "event": "report",
                **_to(summary.to),
                "state": report.state,
                "text": report.completion.text,
                "finish_reason": report.completion.finish_reason,
                "usage": usage
                and {
                    "prompt_tokens": usage.prompt_tokens,
                    "completion_tokens": usage.completion_tokens,
                    "total_tokens": usage.total_tokens,
                },
                "stream_id": report.stream_id,
                "pushes": len(report.pushes),
                "bytes": summary.delivered_bytes,
                "undelivered": len(report.undelivered),
                "undelivered_text": report.undelivered_text,
                "resent": report.resent,
                "held_seconds": round(report.held_seconds, 6),
                "paced_seconds": round(report.paced_seconds, 6),
                "first_token_seconds": None if summary.first_token is None else round(summary.first_token, 6),
                "error": None if report.error is None else error_object(report.error),
                "phone": phone and {"text": phone.text, "payloads": phone.payloads, "agrees": summary.phone_agrees},
            }
        )


def _to(to: str) -> dict[str, Any]:
    return {"to": to} if to else {}


def _batch(batch: Batch) -> dict[str, Any]:
    return {
        "seq": batch.seq,
        "offset": batch.offset,
        "bytes": len(batch.text.encode()),
        "text": batch.text,
        "state": batch.state,
    }


def _receipt(receipt: object) -> dict[str, Any] | None:
    return receipt_object(receipt) if isinstance(receipt, PushReceipt) else None


def receipt_object(receipt: PushReceipt) -> dict[str, Any]:
    """Return a receipt as a JSON object."""
    return {
        "id": receipt.id,
        "status": receipt.status,
        "targets_count": receipt.targets_count,
        "correlation_id": receipt.correlation_id,
        "attempts": receipt.attempts,
        "resent": receipt.resent,
    }


def error_object(error: BaseException) -> dict[str, Any]:
    """Return an error as a JSON object."""
    found: dict[str, Any] = {"type": type(error).__name__, "message": str(error)}
    if isinstance(error, GenesysStreamError):
        found["retry_after"] = error.retry_after
    if isinstance(error, StatusError):
        found |= {"status": error.status, "code": error.code, "correlation_id": error.correlation_id}
    return found
