"""What the blocking and the async relay have in common, which is all but the waiting."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from . import _errors
from ._core.relaying.relay import RelayState
from ._hooks import emit
from ._values import Batch, Completion, RelayEvent, RelayReport, RelayStarted

_log = logging.getLogger("genesys_stream")


class Outlet(NamedTuple):
    """A sink, and the state of the relay to it.

    Attributes:
        state: The state.
        send: Takes a payload and its batch; what it returns may be awaitable in an async relay.
    """

    state: RelayState
    send: Callable[[bytes, Batch], object]


class RelaySettings(NamedTuple):
    """How a relay begins and ends.

    Attributes:
        started: The event of its beginning.
        grace: For how many seconds what was said is still delivered after an interruption.
        strict: Whether undelivered text raises.
        on_event: Told of the beginning, of every delivery and loss, and of the reports.
    """

    started: RelayStarted
    grace: float
    strict: bool
    on_event: Callable[[RelayEvent], object] | None


def conclude(
    outlets: Sequence[Outlet], completion: Completion, interruption: BaseException | None, settings: RelaySettings
) -> tuple[RelayReport, ...]:
    """Make the reports of a relay that is over, and say in the log what was not delivered.

    Returns:
        The reports, one for each sink.

    Raises:
        BaseException: What interrupted the relay or ended its source, or with `strict` what a sink failed with; the
            reports are on it.
    """
    reports = tuple(outlet.state.report(completion) for outlet in outlets)
    for outlet, report in zip(outlets, reports, strict=True):
        for lost in outlet.state.take_given_up():
            emit(settings.on_event, lost)
        _warn_of_undelivered(report)
        emit(settings.on_event, report)
    failure = interruption or next((report.error for report in reports if report.error is not None), None)
    if failure is None and settings.strict:
        failure = next((missing.error for report in reports for missing in report.undelivered), None)
    if failure is not None:
        with suppress(AttributeError, TypeError):  # an exception of another library may have no room for them
            failure.reports = reports  # type: ignore[attr-defined]  # ours declare it
            failure.report = reports[0]  # type: ignore[attr-defined]  # as above
        raise failure
    return reports


def _warn_of_undelivered(report: RelayReport) -> None:
    undelivered = report.undelivered
    if not undelivered:
        return
    kinds = Counter(type(missing.error).__name__ for missing in undelivered)
    _log.warning(
        "relay %s left %d characters undelivered, %d of its %d batches: %s",
        report.stream_id,
        sum(len(missing.text) for missing in undelivered),
        len(undelivered),
        len(undelivered) + len(report.pushes),
        ", ".join(f"{count} x {name}" for name, count in kinds.items()),
    )


def interrupted() -> _errors.AmbiguousDelivery:
    """Return the error of a push that was interrupted."""
    return _errors.AmbiguousDelivery("the delivery was interrupted; it may have been delivered")


def grace_is_over(seconds: float) -> _errors.DeadlineExceeded:
    """Return the error of text for which the grace period was too short."""
    return _errors.DeadlineExceeded("the grace period was over", seconds=seconds)
