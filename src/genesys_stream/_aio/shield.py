"""What must not be cancelled half-way, and what must not be left to the garbage collector.

httpx 0.28 loses a connection of its pool when the task that opens or closes a response is cancelled at the wrong moment
(encode/httpcore#1093): natively by asyncio, which anyio's shields do not stop, nearly anywhere; through cancel scopes
between the connection that was made and the request that goes out on it.
So these steps run in tasks of their own, and whoever is cancelled meanwhile leaves the rest to them.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import types
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from typing import Any, Generic, TypeAlias, TypeVar

import anyio

from .. import _errors

T = TypeVar("T")
Step = Callable[[], Awaitable[object]]
Steps: TypeAlias = Generator[Any, Any, Any]
Trace = Callable[[str, Any], Coroutine[Any, Any, None]]


def on_asyncio() -> bool:
    """Whether this is a task of asyncio, and not of trio."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


def _here() -> Any:
    """The event loop that this is."""
    if on_asyncio():
        return asyncio.get_running_loop()
    import trio

    return trio.lowlevel.current_trio_token()


class _Errand:
    """A step that is awaited in a task of its own.

    Attributes:
        where: The event loop.
        done: Set at its end.
        cancel: Cancels it.
    """

    def __init__(self, where: Any) -> None:
        self.where = where
        self.done = anyio.Event()
        self.cancel: Callable[[], object]


class _Opening(Generic[T]):
    """An answer that somebody waits for, had by an errand.

    It is cancelled only while it waits for the headers or for the body, where the HTTP library knows what to do.
    Every other phase is short, or has a timeout of its own.
    """

    def __init__(self, make: Callable[[Trace], Awaitable[T]], give_back: Callable[[T], Awaitable[object]]) -> None:
        self.errand: _Errand
        self.made: list[T] = []
        self.error: Exception | None = None
        self._make = make
        self._give_back = give_back
        self._abandoned = False
        self._waiting = False

    async def run(self) -> None:
        """Have it, and give it back if nobody wants it any more."""
        try:
            self.made.append(await self._make(self._trace))
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            self.error = error
        if self._abandoned:
            await self.give_back()

    async def give_back(self) -> None:
        """Close what was opened."""
        while self.made:
            await self._give_back(self.made.pop())

    async def _trace(self, name: str, _: Any) -> None:
        """Hear from the HTTP library what it is doing."""
        self._waiting = name.endswith(("receive_response_headers.started", "receive_response_body.started"))
        if self._waiting and self._abandoned:
            self.errand.cancel()

    def abandon(self) -> None:
        """Take note that nobody waits for it any more."""
        self._abandoned = True
        if self._waiting:
            self.errand.cancel()


class Reaper:
    """Keeps the tasks that open and close responses, and finish what a cancelled caller began."""

    def __init__(self) -> None:
        self._openings: set[_Opening[Any]] = set()
        self._errands: set[_Errand] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, make: Callable[[Trace], Awaitable[T]], give_back: Callable[[T], Awaitable[object]]) -> T:
        """Await `make(trace)`; if the caller is cancelled meanwhile, what it makes is given back.

        Raises:
            StreamStateError: The client was closed meanwhile.
        """
        opening = _Opening(make, give_back)
        opening.errand = self._start(opening.run)
        self._openings.add(opening)
        try:
            await opening.errand.done.wait()
        except BaseException:
            opening.abandon()
            if opening.errand.done.is_set():
                self._start(opening.give_back)
            raise
        finally:
            self._openings.discard(opening)
        if opening.made:
            return opening.made.pop()
        error, opening.error = opening.error, None
        try:
            raise error or _errors.StreamStateError("the client was closed while the request was under way")
        finally:
            # Its traceback leads here, and would keep both alive until the garbage collector comes.
            del error, opening

    async def close(self, step: Step) -> None:
        """Await `step()` to its end, even if the caller is cancelled meanwhile; what it raises is of no use."""
        with anyio.CancelScope(shield=True):
            # A task of our own is cancelled by nobody else, so that it can close what it has opened.
            if on_asyncio() and asyncio.current_task() not in self._tasks:
                await self._start(step).done.wait()
            else:
                with suppress(Exception):
                    await step()

    def later(self, step: Step) -> Callable[[], None]:
        """Make a function for a finaliser, which may run in any thread: it has `step()` awaited on this event loop."""
        if on_asyncio():
            loop = asyncio.get_running_loop()

            def schedule() -> None:
                # If the event loop has ended, its sockets have ended with it.
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(self._start, step, loop)

            return schedule
        import trio

        token = trio.lowlevel.current_trio_token()

        def schedule_on_trio() -> None:
            # As above.
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(self._start, step, token)

        return schedule_on_trio

    async def settle(self, *, cancel: bool) -> None:
        """Wait until all is given back.

        Args:
            cancel: Whether to cancel what is still being opened, because its connections are closed in a moment.
        """
        opening = {opening.errand for opening in self._openings}
        for errand in opening if cancel else ():
            errand.cancel()
        here = _here()
        with anyio.CancelScope(shield=True):
            for errand in tuple(self._errands):
                if errand.where is here and (cancel or errand not in opening):
                    await errand.done.wait()

    def _start(self, step: Step, where: Any = None) -> _Errand:
        """Have `step()` awaited in a task of its own."""
        errand = _Errand(where or _here())
        self._errands.add(errand)

        async def run() -> None:
            try:
                with suppress(Exception):
                    await step()
            finally:
                self._errands.discard(errand)
                errand.done.set()

        if isinstance(errand.where, asyncio.AbstractEventLoop):
            task = errand.where.create_task(run())
            errand.cancel = task.cancel
            self._tasks.add(task)

            def ended(task: asyncio.Task[None]) -> None:
                self._tasks.discard(task)
                if errand in self._errands:
                    # It was cancelled before it began, so that nothing of the above has run.
                    self._errands.discard(errand)
                    # To older versions of anyio an event that was made in a callback, for which nobody waits, is
                    # none of an event loop's.
                    with suppress(RuntimeError):
                        errand.done.set()

            task.add_done_callback(ended)
            return errand
        import trio

        scope = trio.CancelScope()
        errand.cancel = scope.cancel

        async def shielded() -> None:
            with trio.CancelScope(shield=True), scope:
                await run()

        try:
            trio.lowlevel.spawn_system_task(shielded, context=contextvars.copy_context())
        except RuntimeError:
            # The event loop is ending, and takes no more tasks; its sockets end with it.
            self._errands.discard(errand)
            errand.done.set()
        return errand


class Direct(Reaper):
    """The reaper where the HTTP library may be cancelled anywhere: only what a finaliser leaves needs a task."""

    async def open(self, make: Callable[[Trace], Awaitable[T]], give_back: Callable[[T], Awaitable[object]]) -> T:  # noqa: ARG002 - the reaper's signature
        """Await `make(trace)`."""
        return await make(_deaf)

    async def close(self, step: Step) -> None:
        """Await `step()`; what it raises is of no use."""
        with suppress(Exception):
            await step()


async def _deaf(_: str, __: Any) -> None:
    """Hear nothing of what the HTTP library does."""


class Pieces:
    """The body of a response, piece by piece.

    It is read through four async generators, one inside the other, and only the outermost can be closed from outside.
    So the event loop takes no note of them: its finalisers would complain of the others, or close them in a task of
    their own. Whoever reads closes the response instead, so they have nothing to do when they are dropped.

    Args:
        stream: The response's stream.
    """

    def __init__(self, stream: AsyncIterable[bytes]) -> None:
        self._pieces = aiter(stream)
        self._begun = False

    def begin(self) -> tuple[Steps | None, Any]:
        """Ask for the next piece, without waiting.

        Returns:
            None and the piece, if it is there already, or None for the piece at the end of the body;
            otherwise what `finish` is to go on with.
        """
        try:
            if self._begun:
                steps: Steps = self._pieces.__anext__().__await__()
                return steps, steps.send(None)
            self._begun = True
            hooks = sys.get_asyncgen_hooks()
            sys.set_asyncgen_hooks(firstiter=None, finalizer=_let_die)
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
        """The next piece; None at the end of the body."""
        steps, piece = self.begin()
        if steps is not None:
            piece = await finish(steps, piece)
        return piece  # type: ignore[no-any-return]  # what a generator yields and returns is typed as Any


def _let_die(_: object) -> None:
    """Finalise an async generator by doing nothing: without a finaliser it would be closed, and would want to await."""


@types.coroutine
def finish(steps: Steps, pending: Any, alarm: Alarm | None = None) -> Generator[Any, Any, bytes | None]:
    """Wait for a piece that was not there at once.

    When a read is cancelled, the generators that it goes through close the response themselves, which httpx does not
    survive being cancelled again (encode/httpcore#1093). What they wait for meanwhile are mere turns of the event
    loop, which go on regardless.

    Args:
        steps: The read that has begun.
        pending: What it waits for.
        alarm: Ends it when it is due; it was set before.

    Returns:
        The piece, None at the end of the body; and nothing at all, if the alarm has ended the read.
    """
    closing = False
    try:
        while True:
            sent: Any = None
            error: BaseException | None = None
            if alarm is not None:
                alarm.pending = pending
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
        if alarm is not None and alarm.has_ended(error):
            return b""
        raise
    finally:
        if alarm is not None:
            alarm.pending = alarm.task = None


class Alarm:
    """Ends a read that is due, on asyncio, with one timer for all the reads of a stream.

    A cancel scope for each read would cost more than the read, and its timer would hardly ever ring.
    This one rings when the first of all these times has come, and only then looks whether the read it finds is due.
    It does what a scope does: it cancels what the task waits for, and does so once.

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
        self._rang = False
        self._cancelled_before = 0

    def set(self, due: float) -> None:
        """End the read that begins now when it is due, in the event loop's time."""
        self._due = due
        if due < self._at:
            self._set(due)
        self.task, self._rang = asyncio.current_task(), False

    def has_ended(self, error: BaseException) -> bool:
        """Whether it was the alarm alone that ended the read; if somebody else cancelled the task, that stands."""
        cancelled = isinstance(error, asyncio.CancelledError)
        return cancelled and self._rang and _cancellations(self.task) == self._cancelled_before

    def stop(self) -> None:
        """Ring no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._at = float("inf")

    def _set(self, at: float) -> None:
        self.stop()
        self._at = at
        self._timer = self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer, self._at = None, float("inf")
        if self.task is None or self._rang:
            return
        if self._loop.time() < self._due:
            self._set(self._due)
            return
        self._cancelled_before = _cancellations(self.task)
        self._rang = self.pending is not None and self.pending.cancel()
        if not self._rang:
            # It waits for a turn of the event loop, which nobody can cancel, or has what it waited for, which may not
            # be all that it needs.
            self._set(self._loop.time())


def _cancellations(task: Any) -> int:
    """How often the task was asked to end."""
    return task.cancelling()  # type: ignore[no-any-return]  # the task is Any, because trio has none
