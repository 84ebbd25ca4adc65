"""A watchdog for blocking reads: a read that nobody can interrupt ends when its socket is shut down.

The HTTP library takes one timeout per body, but a stream has several clocks, of which heartbeats feed only one.
So one thread watches the clocks of all open streams, and shuts down the socket of a stream whose clock ran out; the
read then ends at once, and its reader finds out from the clocks why. A stream that flows costs the thread nothing.
"""

from __future__ import annotations

import heapq
import itertools
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

from .session import clock


class Watch:
    """One stream under watch.

    Args:
        due: When its next clock runs out.
        response: The open response, at whose socket the reader waits.
    """

    def __init__(self, due: Callable[[], float | None], response: Any) -> None:
        self.due = due
        stream = response.extensions.get("network_stream")
        self._socket = stream.get_extra_info("socket") if stream is not None else None

    def bark(self) -> None:
        """Shut the socket down, so that the blocked read returns; a transport without sockets never blocks for long."""
        if isinstance(self._socket, socket.socket):
            try:
                # Past SSLSocket's own method, which would pull the TLS state from under the reader.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
            except OSError:
                # It is closed already, which is what was wanted.
                return


class Watchdog:
    """Watches any number of streams with one thread, which lives only while there is something to watch."""

    def __init__(self) -> None:
        self._bell = threading.Condition()
        self._watched: set[Watch] = set()
        self._heap: list[tuple[float, int, Watch]] = []
        self._order = itertools.count()
        self._running = False

    def watch(self, watch: Watch) -> None:
        """Begin to watch, or take note that a watched stream is due sooner than before."""
        due = watch.due()
        with self._bell:
            self._watched.add(watch)
            if due is not None:
                heapq.heappush(self._heap, (due, next(self._order), watch))
                if not self._running:
                    self._running = True
                    threading.Thread(target=self._run, name="genesys-stream watchdog", daemon=True).start()
                elif self._heap[0][2] is watch:
                    self._bell.notify()

    def leave(self, watch: Watch) -> None:
        """Stop watching; after this returns, its socket is not touched."""
        with self._bell:
            self._watched.discard(watch)
            if not self._watched:
                self._bell.notify()

    def _run(self) -> None:
        with self._bell:
            while self._watched and self._heap:
                at, _, watch = self._heap[0]
                now = clock()
                if watch in self._watched and now < at:
                    self._bell.wait(at - now)
                    continue
                heapq.heappop(self._heap)
                if watch in self._watched:
                    due = watch.due()
                    if due is not None and due <= now:
                        watch.bark()
                    elif due is not None:
                        heapq.heappush(self._heap, (due, next(self._order), watch))
            self._heap.clear()
            self._running = False


watchdog = Watchdog()
if hasattr(os, "register_at_fork"):
    # A forked child has no thread, and its lock may be held by one that it does not have.
    os.register_at_fork(after_in_child=watchdog.__init__)  # type: ignore[misc]  # it is made anew, in place
