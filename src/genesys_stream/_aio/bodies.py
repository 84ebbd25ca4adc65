"""Reads the body of a response piece by piece, with a timer, and leaves no async generators behind."""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import AsyncIterable, Generator
from typing import Any, TypeAlias

import anyio

from .._core.reading.stream import LATE_SECONDS, StreamState

Steps: TypeAlias = Generator[Any, Any, Any]


class BodyReader:
    """Reads the body of a response, piece by piece.

    The body comes through several async generators, one inside the other, of which only the outermost can be closed
    from outside. The reader closes the response instead, so that they have nothing to do when they are dropped, and the
    event loop, whose finalisers would warn of the inner ones or close them in a task of their own, does not track them.

    Args:
        stream: The response's stream.
    """

    def __init__(self, stream: AsyncIterable[bytes]) -> None:
        self._pieces = aiter(stream)
        self._started = False

    def begin(self) -> tuple[Steps | None, Any]:
        """Start to read the next piece, without waiting.

        Returns:
            None and the piece if it has arrived already (None and None at the end of the body); otherwise the arguments
            for `finish`.
        """
        try:
            if self._started:
                steps: Steps = self._pieces.__anext__().__await__()
                return steps, steps.send(None)
            self._started = True
            hooks = sys.get_asyncgen_hooks()
            sys.set_asyncgen_hooks(firstiter=None, finalizer=_noop_finalizer)
            try:
                # All four are started before the innermost waits for the network.
                steps = self._pieces.__anext__().__await__()
                return steps, steps.send(None)
            finally:
                sys.set_asyncgen_hooks(*hooks)
        except StopIteration as done:
            return None, done.value
        except StopAsyncIteration:
            return None, None

    async def read(self) -> bytes | None:
        """Return the next piece; None at the end of the body."""
        steps, piece = self.begin()
        if steps is not None:
            piece = await finish(steps, piece)
        return piece  # type: ignore[no-any-return]  # what a generator yields and returns is typed as Any


def _noop_finalizer(_: object) -> None:
    """Do nothing to an async generator that is dropped; without a finaliser Python would close it."""


@types.coroutine
def finish(steps: Steps, pending: Any, timer: ReadTimer | None = None) -> Generator[Any, Any, bytes | None]:
    """Wait for a piece that has not arrived yet.

    When a read is cancelled, httpx's generators close the response themselves, and must not be cancelled again while
    they do (encode/httpcore#1093). What they wait for meanwhile are single turns of the event loop, which are repeated.

    Args:
        steps: The read that has begun.
        pending: What it waits for.
        timer: Ends the read when it is due; it was set before.

    Returns:
        The piece, None at the end of the body; b"" if the timer has ended the read.
    """
    closing = False
    try:
        while True:
            sent: Any = None
            error: BaseException | None = None
            if timer is not None:
                timer.pending = pending
            try:
                sent = yield pending
            except BaseException as caught:  # noqa: BLE001 - whatever it is, it is for the inner awaitable
                error = caught
            try:
                if error is None:
                    pending = steps.send(sent)
                    continue
                cancelled = isinstance(error, anyio.get_cancelled_exc_class())
                # asyncio's way to wait for one turn is to yield None.
                again = closing and pending is None and cancelled
                closing = closing or cancelled
                pending = steps.send(None) if again else steps.throw(error)
            finally:
                del error
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]  # as above
    except StopAsyncIteration:
        return None
    except BaseException as error:
        if timer is not None and timer.ended(error):
            return b""
        raise
    finally:
        if timer is not None:
            timer.pending = timer.task = None


class ReadTimer:
    """Ends a read that takes too long, on asyncio, with one timer for all reads of a stream.

    A cancel scope for each read would cost more than the read, and would hardly ever expire.
    This timer expires at the earliest of these times, and only then looks whether the current read is due.
    Like a scope it cancels what the task waits for, once.

    Attributes:
        task: The task that reads, while it waits.
        pending: What it waits for.
        time: The event loop's clock.
    """

    def __init__(self) -> None:
        self.task: asyncio.Task[Any] | None = None
        self.pending: Any = None
        self._loop = asyncio.get_running_loop()
        self.time = self._loop.time
        self._timer: asyncio.TimerHandle | None = None
        self._at = float("inf")
        self._due = float("inf")
        self._state: StreamState | None = None
        self._flows = False
        self._began = 0.0
        self._expired = False
        self._cancelled_before = 0

    def begin(self, state: StreamState) -> None:
        """Start the timer for a read that begins now; the state says when it must end, also while it waits.

        While tokens are coming that time cannot become sooner, and is looked at only when the timer expires.
        """
        self.task, self._expired = asyncio.current_task(self._loop), False
        self._began = self._loop.time()
        if not (self._flows and state.flows):
            self._state, self._flows = state, state.flows
            self._set_if_sooner(self._read_due(state))

    def set(self, due: float) -> None:
        """Start the timer for a read that begins now and must end at a time of the event loop's clock."""
        self.task, self._expired = asyncio.current_task(self._loop), False
        self._state, self._flows, self._due = None, False, due
        self._set_if_sooner(due)

    def _read_due(self, state: StreamState) -> float:
        due = state.due
        return float("inf") if due is None else max(due, self._began + LATE_SECONDS)

    def _set_if_sooner(self, due: float) -> None:
        if due < self._at:
            self._set(due)

    def ended(self, error: BaseException) -> bool:
        """Return whether the timer alone ended the read; a cancellation of the task by its owner takes precedence."""
        cancelled = isinstance(error, asyncio.CancelledError)
        return cancelled and self._expired and _cancellations(self.task) == self._cancelled_before

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._at = float("inf")

    def _set(self, at: float) -> None:
        self.stop()
        self._at = at
        if at != float("inf"):
            self._timer = self._loop.call_at(at, self._expire)

    def _expire(self) -> None:
        self._timer, self._at = None, float("inf")
        if self.task is None or self._expired:
            self._flows = False  # the next read sets the timer again
            return
        due = self._due if self._state is None else self._read_due(self._state)
        if self._loop.time() < due:
            self._set(due)
            return
        self._cancelled_before = _cancellations(self.task)
        self._expired = self.pending is not None and self.pending.cancel()
        if not self._expired:
            # The task waits for a single turn of the event loop, which cannot be cancelled, or for something that has
            # just happened, after which it may wait again.
            self._set(self._loop.time())


def _cancellations(task: Any) -> int:
    """Return how many cancellations of the task were requested."""
    return task.cancelling()  # type: ignore[no-any-return]  # the task is Any, because trio has none
