"""A watchdog for blocking reads: a read that nobody can interrupt ends when its socket is shut down.

The HTTP library takes one timeout per body, but a stream has several clocks, of which heartbeats feed only one.
So one thread watches the clocks of all open streams, and shuts down the socket of a stream whose clock ran out; the
read then ends at once, and its reader finds out from the clocks why. A stream that flows costs the thread nothing.

The thread knows a stream only by its `Watch`, a socket and a time, so that a stream that is dropped can die.
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
"""How long the watchdog waits for another stream when there is none to watch."""


class Watch:
    """One stream under watch.

    Attributes:
        since: When the read began that its reader waits in; None while it does not. The reader sets it, without asking.
        until: When that read ends, where it is not the reading that says so.
        noted: When the watchdog will next look whether it is due.
        flows: Whether the reading flowed when that was noted.
    """

    def __init__(self, response: Any, reading: StreamState) -> None:
        self.since: float | None = None
        self.until: float | None = None
        self.noted = _NEVER
        self.flows = False
        self._reading = reading
        stream = response.extensions.get("network_stream")
        self._socket = stream.get_extra_info("socket") if stream is not None else None

    def begin(self) -> None:
        """Take note that a read begins."""
        self.since = clock()
        if not (self.flows and self._reading.flows):
            self.flows = self._reading.flows
            watchdog.watch(self)

    @property
    def due(self) -> float | None:
        """When the read must end; None while there is none, or it may take as long as it likes."""
        since, due = self.since, self._reading.due if self.until is None else self.until
        return None if since is None or due is None else max(due, since + LATE_SECONDS)

    def bark(self) -> None:
        """Shut the socket down, so that the blocked read returns; a transport without sockets never blocks for long."""
        if isinstance(self._socket, socket.socket):
            try:
                # Past SSLSocket's own method, which would pull the TLS state from under the reader.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
            except OSError:
                # It is closed already, which is what was wanted.
                return

    def forget(self) -> None:
        """Let go of the socket, which is somebody else's now."""
        self._socket = None


class Watchdog:
    """Watches any number of streams with one thread, which lives only while there is something to watch."""

    def __init__(self) -> None:
        self._bell = threading.Condition()
        self._watched: set[Watch] = set()
        self._heap: list[tuple[float, int, Watch]] = []
        self._order = itertools.count()
        self._running = False
        self._wakes_at = _NEVER

    def watch(self, watch: Watch) -> None:
        """Begin to watch, or take note that a watched stream is due sooner than was noted."""
        with self._bell:
            self._watched.add(watch)
            due = watch.due
            if due is None or due >= watch.noted:
                return
            watch.noted = due
            heapq.heappush(self._heap, (due, next(self._order), watch))
            if not self._running:
                # The thread waits for the lock; where none can be started, the next stream tries again.
                threading.Thread(target=self._run, name="genesys-stream watchdog", daemon=True).start()
                self._running = True
            elif due < self._wakes_at:
                self._bell.notify()

    def leave(self, watch: Watch) -> None:
        """Stop watching; after this returns, its socket is not touched."""
        if sys.is_finalizing():
            # The thread has stopped for good, and may have stopped with the lock.
            return
        with self._bell:
            self._watched.discard(watch)
            watch.forget()
            if not self._watched and self._wakes_at > clock() + _LINGER_SECONDS:
                self._bell.notify()

    def bark(self, watch: Watch) -> None:
        """End a stream's read now, unless the stream has left."""
        with self._bell:
            watch.bark()

    def _run(self) -> None:
        with self._bell:
            idle = False
            while not idle or (self._watched and self._heap):
                idle = not (self._watched and self._heap)
                if idle:
                    # Streams often follow one another, and a thread takes longer to start than to wait.
                    self._heap.clear()
                    self._sleep(clock() + _LINGER_SECONDS)
                    continue
                at, _, watch = self._heap[0]
                now = clock()
                if now < at:
                    self._sleep(at)
                    continue
                heapq.heappop(self._heap)
                if watch not in self._watched or watch.noted != at:
                    continue
                # In this order, because the reader does not ask for the lock: a read that begins now either is seen
                # here, or sees that it is no longer noted.
                watch.noted, watch.flows = _NEVER, False
                due = watch.due
                if due is not None and due > now:
                    watch.noted = due
                    heapq.heappush(self._heap, (due, next(self._order), watch))
                elif due is not None:
                    watch.bark()
            self._running = False

    def _sleep(self, until: float) -> None:
        self._wakes_at = until
        self._bell.wait(min(max(0.0, until - clock()), threading.TIMEOUT_MAX))


watchdog = Watchdog()
if hasattr(os, "register_at_fork"):
    # A forked child has no thread, and its lock may be held by one that it does not have.
    os.register_at_fork(after_in_child=watchdog.__init__)  # type: ignore[misc]  # it is made anew, in place
