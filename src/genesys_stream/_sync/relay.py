"""The relay, blocking: one thread reads the source, the caller's sends."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from .. import _errors
from .._core.relaying.relay import Desk, Listener, finish_reason_of, lost_in_hand, state_after
from .._hooks import emit
from .._values import Batch, CompletionChunk, RelayReport
from .completions import CompletionStream
from .session import clock, leave_by

# A wait does not hear a Ctrl-C that came just before it began, and on Windows it hears none.
# So the main thread, which is the one to be told, looks up now and then.
_LONGEST_WAIT = 0.5


class Relay:
    """One relay under way.

    Args:
        source: What is said.
        sink: Takes the batches.
        desk: Keeps account.
        grace: For how many seconds what was said is still delivered after an interruption.
        on_event: Told of every delivery and loss, and of the report.
    """

    def __init__(
        self,
        source: Iterable[CompletionChunk] | Iterable[str],
        sink: Callable[[Batch], object],
        desk: Desk,
        *,
        grace: float,
        on_event: Callable[[object], None] | None,
    ) -> None:
        self._source = source
        self._sink = sink
        self._desk = desk
        self._grace = grace
        self._on_event = on_event
        self._listener = Listener()
        self._bell = threading.Condition()
        self._taken: Batch | None = None

    def run(self) -> RelayReport:
        """Relay to the end.

        Returns:
            The report.

        Raises:
            BaseException: What ended the source, after what was said is delivered; the report is on it.
        """
        reader = threading.Thread(target=self._read, name="genesys-stream relay", daemon=True)
        interruption: BaseException | None = None
        try:
            reader.start()
            self._send(None)
            reader.join()
        except BaseException as error:  # noqa: BLE001 - it is raised below
            interruption = error
            self._interrupt(error)
            self._unlock()
        report = self._desk.report(self._listener.completion)
        emit(self._on_event, report)
        failure = interruption or report.error
        if failure is not None:
            _errors.attach_report(failure, report)
            raise failure
        return report

    def _read(self) -> None:
        error: BaseException | None = None
        try:
            with _closed_at_last(self._source) as items:
                for item in items:
                    with self._bell:
                        if self._desk.closing:
                            return
                        if self._desk.arrive(self._listener.hear(item), clock()):
                            self._bell.notify_all()
                        while self._desk.full and not self._desk.closing:
                            self._bell.wait()
            if isinstance(self._source, CompletionStream):
                self._source.result()  # one that somebody has closed ends as quietly as one that is whole
        except BaseException as caught:  # noqa: BLE001 - it is raised where `relay` was called
            error = caught
        with self._bell:
            finish_reason = finish_reason_of(self._listener, error)
            self._desk.end(state_after(error), clock(), finish_reason=finish_reason, error=error)
            self._bell.notify_all()

    def _send(self, until: float | None) -> None:
        desk = self._desk
        while not desk.done:
            with self._bell:
                now = clock()
                if until is not None and now >= until:
                    desk.abandon(_errors.DeadlineExceeded("the grace period was over", seconds=self._grace))
                    return
                # Kept here until it is in the sink's hands, so that an interruption between the two loses nothing.
                self._taken = self._taken or desk.take(now)
                if self._taken is None:
                    self._wait(now, until)
                    continue
            self._deliver(self._taken)

    def _wait(self, now: float, until: float | None) -> None:
        ends = [at for at in (self._desk.due, until) if at is not None]
        told = threading.current_thread() is threading.main_thread()
        longest = _LONGEST_WAIT if told else threading.TIMEOUT_MAX
        self._bell.wait(min(max(0.0, min(ends, default=float("inf")) - now), longest))

    def _deliver(self, batch: Batch) -> None:
        try:
            self._taken = None
            receipt = _not_awaitable(self._sink(batch))
        except Exception as error:  # noqa: BLE001 - whatever a sink raises is accounted for
            with self._bell:
                event: object = self._desk.failed(batch, error, clock())
                self._bell.notify_all()
        except BaseException:
            with self._bell:
                self._desk.failed(batch, lost_in_hand(), clock())
            raise
        else:
            with self._bell:
                event = self._desk.delivered(batch, receipt, clock())
                self._bell.notify_all()
        if event is not None:
            emit(self._on_event, event)

    def _interrupt(self, error: BaseException) -> None:
        """Deliver what was said before the interruption, for as long as the grace period lasts."""
        try:
            self._unlock()
            # What the desk has given away may have been sent, or not; the same bytes again do no harm.
            self._taken = self._desk._in_hand
            with self._bell:
                self._desk.end("cancelled", clock(), finish_reason=type(error).__name__, error=error)
                self._bell.notify_all()
            # A stream's read ends with this; a generator that is running ends with its next item.
            _close(self._source)
            until = clock() + self._grace
            leaving = leave_by.set(until)
            try:
                self._send(until)
            finally:
                leave_by.reset(leaving)
        except BaseException as again:  # noqa: BLE001 - the first interruption is the one that is raised
            self._desk.abandon(again)

    def _unlock(self) -> None:
        """Release the lock if an interruption hit just between its taking and the `with` that would release it."""
        with suppress(RuntimeError):
            while True:
                self._bell.release()


@contextmanager
def _closed_at_last(source: Iterable[Any]) -> Generator[Iterator[Any], None, None]:
    items = iter(source)
    try:
        yield items
    finally:
        _close(items)
        _close(source)


def _close(source: object) -> None:
    close: Any = getattr(source, "close", None)
    if callable(close):
        # Such as the ValueError of a generator that is running in the reading thread.
        with suppress(Exception):
            close()


def _not_awaitable(receipt: object) -> object:
    """Refuse the answer of a sink that has not delivered anything yet, and that nobody here can await."""
    if inspect.isawaitable(receipt):
        if inspect.iscoroutine(receipt):
            receipt.close()
        raise _errors.InvalidArgument(
            "sink", "must not be async where the source is not; hand both over async, or neither"
        )
    return receipt
