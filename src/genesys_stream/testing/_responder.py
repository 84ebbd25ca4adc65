"""What the adapters (in memory, over a socket) know of a fake: it answers requests, and counts what is open."""

from __future__ import annotations

from threading import Lock

from attrs import asdict, define, field

from ._values import Answer, Entry, Request


@define(eq=False)
class Responder:
    """Answers requests without a network, and logs them."""

    lock: Lock = field(factory=Lock, init=False)
    request_log: list[Entry] = field(factory=list, init=False)
    connections: int = field(default=0, init=False)
    open_connections: int = field(default=0, init=False)
    open_answers: int = field(default=0, init=False)

    def respond(self, request: Request) -> Answer:
        """Answer a request, and log both."""
        raise NotImplementedError

    def log(self, request: Request, answer: Answer, route: str, correlation_id: str = "") -> Entry:
        """Log a request and its answer; to be called with the lock held."""
        entry = Entry(
            **asdict(request, recurse=False),
            status=None if answer.lost else answer.status,
            correlation_id=correlation_id,
            route=route,
        )
        self.request_log.append(entry)
        return entry

    def entries(self, route: str) -> list[Entry]:
        """Return the log entries of one route."""
        with self.lock:
            return [entry for entry in self.request_log if entry.route == route]
