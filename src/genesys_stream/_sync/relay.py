"""The relay, blocking: one thread reads the source, and one for each sink sends; the caller's is the first of these."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from .. import _errors
from .._core.relaying.delivery import End, Push
from .._core.relaying.relay import SourceText, TurnRequest, end_of
from .._hooks import emit
from .._outlets import Outlet, RelaySettings, conclude, grace_is_over, interrupted
from .._values import Completion, CompletionChunk, RelayEvent, RelayReport
from .._wire import type_name
from .completions import CompletionStream
from .session import clock, leave_by

# A wait does not hear a Ctrl-C that came just before it began, and on Windows it hears none.
# So the main thread, which is the one to be told, looks up now and then.
_LONGEST_WAIT = 0.5


class Relay:
    """One relay under way, to any number of sinks.

    Args:
        source: What is said.
        outlets: The sinks, each with the state of the relay to it.
        settings: How it ends.
    """

    def __init__(
        self,
        source: Iterable[CompletionChunk] | Iterable[str],
        outlets: Sequence[Outlet],
        settings: RelaySettings,
    ) -> None:
        self._source = source
        self._outlets = outlets
        self._settings = settings
        self._said = source if isinstance(source, CompletionStream) else SourceText()
        self._at_interruption: Completion | None = None
        self._lock = threading.Condition()
        self._senders = [_Sender(outlet, self._lock, settings) for outlet in outlets]

    def run(self) -> tuple[RelayReport, ...]:
        """Relay to the end.

        Returns:
            The reports, one for each sink.

        Raises:
            BaseException: What ended the source, after what was said is delivered; the reports are on it.
        """
        emit(self._settings.on_event, self._settings.started)
        threads = [
            threading.Thread(target=target, name="genesys-stream relay", daemon=True)
            for target in [self._read, *(sender.run for sender in self._senders[1:])]
        ]
        interruption: BaseException | None = None
        try:
            for thread in threads:
                thread.start()
            self._senders[0].send()
            for thread in threads:
                thread.join()
        except BaseException as error:  # noqa: BLE001 - it is raised below
            interruption = error
            self._interrupt(error, threads[1:])
            self._unlock()
        return conclude(self._outlets, self._completion(), interruption, self._settings)

    def _completion(self) -> Completion:
        return self._at_interruption or self._said.completion

    def _read(self) -> None:
        accumulate = self._said.accumulate if isinstance(self._said, SourceText) else None
        lock, senders = self._lock, self._senders
        error: BaseException | None = None
        try:
            with _closed_at_last(self._source) as items:
                for item in items:
                    with lock:
                        if senders[0].state.ended:
                            return
                        text = item.text if accumulate is None else accumulate(item)
                        if not text:
                            continue
                        now, full, wake = clock(), True, False
                        for sender in senders:
                            wake = sender.state.feed(text, now) or wake
                            full = full and sender.state.full
                        if wake:
                            lock.notify_all()
                        while full:
                            lock.wait()
                            full = all(sender.state.full and not sender.state.ended for sender in senders)
            if isinstance(self._said, CompletionStream):
                self._said.result()  # one that somebody has closed ends as quietly as one that is whole
        except BaseException as caught:  # noqa: BLE001 - it is raised where `relay` was called
            text = ""  # a report that shows the locals of every frame shows nothing that was said
            error = caught
        with lock:
            end = end_of(error, self._completion().finish_reason, clock())
            for sender in senders:
                sender.state.end(end)
            lock.notify_all()

    def _interrupt(self, error: BaseException, others: Sequence[threading.Thread]) -> None:
        """Deliver what was said before the interruption, for as long as the grace period lasts."""
        try:
            self._unlock()
            until = clock() + self._settings.grace
            with self._lock:
                self._senders[0].resume()
                said = self._at_interruption = self._said.completion
                end = End("cancelled", clock(), type(error).__name__, error)
                for sender in self._senders:
                    sender.until = until
                    sender.state.catch_up(said.text, end.at)
                    sender.state.end(end)
                self._lock.notify_all()
            # A stream's read ends with this; a generator that is running ends with its next item.
            _close(self._source)
            self._senders[0].send()
            for thread in others:
                thread.join(max(0.0, until - clock()) + _LONGEST_WAIT)
        except BaseException as again:  # noqa: BLE001 - the first interruption is the one that is raised
            for sender in self._senders:
                sender.state.fail_remaining(again)
        with self._lock:
            for sender in self._senders:
                sender.state.fail_remaining(grace_is_over(self._settings.grace))

    def _unlock(self) -> None:
        """Release the lock if an interruption hit just between its taking and the `with` that would release it."""
        with suppress(RuntimeError):
            while True:
                self._lock.release()


class _Sender:
    """Sends the pushes of one sink.

    Attributes:
        state: The state of the relay to the sink.
        until: The clock's time at which to send no more; None for no such time.
    """

    def __init__(self, outlet: Outlet, lock: threading.Condition, settings: RelaySettings) -> None:
        self.state = outlet.state
        self.until: float | None = None
        self._send_once = outlet.send
        self._lock = lock
        self._settings = settings
        self._taken: Push | None = None

    def run(self) -> None:
        """Send, in a thread of its own: what goes wrong is listed in the report."""
        try:
            self.send()
        except BaseException as error:  # noqa: BLE001 - there is nobody here to raise it to
            with self._lock:
                self.state.fail_remaining(error)
                self._lock.notify_all()

    def send(self) -> None:
        """Send until everything is delivered or given up, or the time is over."""
        state, lock = self.state, self._lock
        leaving = leave_by.set(self.until)
        try:
            while not state.finished:
                with lock:
                    now = clock()
                    if self.until is not None and now >= self.until:
                        state.fail_remaining(grace_is_over(self._settings.grace))
                        return
                    wanted: Push | TurnRequest | None = self._taken or state.next(now)
                    if wanted is None:
                        self._wait(now)
                        continue
                    if not isinstance(wanted, TurnRequest):
                        # Kept here until it is in the sink's hands, so that an interruption between loses nothing.
                        self._taken = wanted
                if isinstance(wanted, TurnRequest):
                    self._ask_for_turn(wanted)
                else:
                    self._deliver(wanted)
        finally:
            leave_by.reset(leaving)

    def _wait(self, now: float) -> None:
        ends = [at for at in (self.state.due, self.until) if at is not None]
        main = threading.current_thread() is threading.main_thread()
        longest = _LONGEST_WAIT if main else threading.TIMEOUT_MAX
        self._lock.wait(min(max(0.0, min(ends, default=float("inf")) - now), longest))

    def _ask_for_turn(self, wanted: TurnRequest) -> None:
        at = wanted.turn.request(clock(), final=wanted.final)
        if not isinstance(at, (int, float)):
            if inspect.iscoroutine(at):
                at.close()
            problem = f"must answer with a time where the relay is not async, not with {type_name(at)}"
            raise _errors.InvalidArgument("limiter", problem)
        with self._lock:
            self.state.turn_answered(at, clock())

    def _deliver(self, push: Push) -> None:
        state, lock = self.state, self._lock
        try:
            self._taken = None
            receipt = _not_awaitable(self._send_once(push.content, push.batch))
        except Exception as error:  # noqa: BLE001 - whatever a sink raises is accounted for
            with lock:
                event: RelayEvent | None = None if state.finished else state.failed(push, error, clock())
                lock.notify_all()
        except BaseException:
            with lock:
                if not state.finished:
                    state.failed(push, interrupted(), clock())
            raise
        else:
            with lock:
                event = None if state.finished else state.succeeded(push, receipt)
                lock.notify_all()
        if event is not None:
            emit(self._settings.on_event, event)

    def resume(self) -> None:
        """Go on with a push that was handed out when an interruption came: the same bytes again do no harm."""
        self._taken = self.state.in_flight


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
    """Return the answer of a sink; refuse one that is still to be awaited, which nobody can do here."""
    if inspect.isawaitable(receipt):
        if inspect.iscoroutine(receipt):
            receipt.close()
        raise _errors.InvalidArgument(
            "sink", "must not be async where the source is not; hand both over async, or neither"
        )
    return receipt
