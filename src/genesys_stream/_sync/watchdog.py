"""A watchdog thread for blocking reads: it ends a read that takes too long by shutting down its socket.

The HTTP library takes one timeout per body, but a stream has several timeouts, of which heartbeats reset only one.
So one thread watches the deadlines of all open streams, and shuts down the socket of a stream that missed one; the read
then ends at once, and its reader sees from the time which timeout expired. A stream that flows costs the thread
nothing.

The thread refers to a stream only by its `Watch`, a socket and a time, so that a dropped stream can be collected.
"""

from __future__ import annotations

import heapq
import itertools
import os
import socket
import sys
import threading
from typing import Any

from .._core.reading.stream import LATE_SECONDS, StreamState
from .session import clock

_NEVER = float("inf")

_LINGER_SECONDS = 0.1
"""For how long the thread waits for another stream when there is none to watch."""


class Watch:
    """One stream that is watched.

    Attributes:
        since: When the current read began; None if there is none. The reader sets it without a lock.
        until: When that read must end, if the stream's own timeouts do not say so.
        scheduled: When the watchdog will next check the stream.
        flows: Whether the stream flowed when that was scheduled.
    """

    def __init__(self, response: Any, reading: StreamState) -> None:
        self.since: float | None = None
        self.until: float | None = None
        self.scheduled = _NEVER
        self.flows = False
        self._reading = reading
        stream = response.extensions.get("network_stream")
        self._socket = stream.get_extra_info("socket") if stream is not None else None

    def begin(self) -> None:
        """Start timing a read."""
        self.since = clock()
        if not (self.flows and self._reading.flows):
            self.flows = self._reading.flows
            watchdog.watch(self)

    @property
    def due(self) -> float | None:
        """When the read must end; None if there is none, or no limit."""
        since, due = self.since, self._reading.due if self.until is None else self.until
        return None if since is None or due is None else max(due, since + LATE_SECONDS)

    def abort(self) -> None:
        """Shut down the socket, so that the blocked read returns; a transport without sockets never blocks for long."""
        if isinstance(self._socket, socket.socket):
            try:
                # Not SSLSocket's own method, which would remove the TLS state that the reader uses.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
            except OSError:
                # It is closed already.
                return

    def forget(self) -> None:
        """Forget the socket, which may serve another request now."""
        self._socket = None


class Watchdog:
    """Watches any number of streams with one thread, which runs only while there is a stream to watch."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._watched: set[Watch] = set()
        self._heap: list[tuple[float, int, Watch]] = []
        self._order = itertools.count()
        self._running = False
        self._wakes_at = _NEVER

    def watch(self, watch: Watch) -> None:
        """Watch a stream, or check it sooner than was scheduled."""
        with self._condition:
            self._watched.add(watch)
            due = watch.due
            if due is None or due >= watch.scheduled:
                return
            watch.scheduled = due
            heapq.heappush(self._heap, (due, next(self._order), watch))
            if not self._running:
                # The thread waits for the lock; if it cannot be started, the next stream tries again.
                threading.Thread(target=self._run, name="genesys-stream watchdog", daemon=True).start()
                self._running = True
            elif due < self._wakes_at:
                self._condition.notify()

    def leave(self, watch: Watch) -> None:
        """Stop watching a stream; after this returns, its socket is not touched."""
        if sys.is_finalizing():
            # The thread has stopped, and may hold the lock.
            return
        with self._condition:
            self._watched.discard(watch)
            watch.forget()
            if not self._watched and self._wakes_at > clock() + _LINGER_SECONDS:
                self._condition.notify()

    def abort(self, watch: Watch) -> None:
        """End a stream's read now, unless it is not watched any more."""
        with self._condition:
            watch.abort()

    def _run(self) -> None:
        with self._condition:
            idle = False
            while not idle or (self._watched and self._heap):
                idle = not (self._watched and self._heap)
                if idle:
                    # Streams often follow one another, and starting a thread takes longer than this wait.
                    self._heap.clear()
                    self._sleep(clock() + _LINGER_SECONDS)
                    continue
                at, _, watch = self._heap[0]
                now = clock()
                if now < at:
                    self._sleep(at)
                    continue
                heapq.heappop(self._heap)
                if watch not in self._watched or watch.scheduled != at:
                    continue
                # In this order, because the reader takes no lock: a read that begins now is either seen here, or
                # sees that it is no longer scheduled.
                watch.scheduled, watch.flows = _NEVER, False
                due = watch.due
                if due is not None and due > now:
                    watch.scheduled = due
                    heapq.heappush(self._heap, (due, next(self._order), watch))
                elif due is not None:
                    watch.abort()
            self._running = False

    def _sleep(self, until: float) -> None:
        self._wakes_at = until
        self._condition.wait(min(max(0.0, until - clock()), threading.TIMEOUT_MAX))


watchdog = Watchdog()
if hasattr(os, "register_at_fork"):
    # A forked child has no watchdog thread, and its lock may be held by a thread that does not exist there.
    os.register_at_fork(after_in_child=watchdog.__init__)  # type: ignore[misc]  # reset in place
