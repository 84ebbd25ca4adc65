"""One HTTP/2 connection of the fake APNs, on h2."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame

from ._apns import ApnsAnswer, FakeApns, GoAway, LimitStreams, NeverAnswer, RefuseStream
from ._values import Drop, Request

_ALL_STREAMS = 2**31 - 1

LINGER = 0.5
"""Seconds between the last answer before a GOAWAY and the close, unless the client closes first."""


class _Stream:
    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers
        self.body = bytearray()


class ApnsConnection(asyncio.Protocol):
    """One HTTP/2 connection.

    Args:
        fake: Answers the pushes.
        opened: The open connections of the server; this one is among them while it is open.
    """

    def __init__(self, fake: FakeApns, opened: set[ApnsConnection]) -> None:
        self._fake = fake
        self._opened = opened
        self._http = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8", validate_inbound_headers=False)
        )
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._streams: dict[int, _Stream] = {}
        self._answering: set[int] = set()
        self._last = 0
        self._end: int | None = None
        self._over = False
        self._trusted = False
        self._number = 0

    # Called by asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._opened.add(self)
        fake = self._fake
        fake.connections += 1
        fake.open_connections += 1
        self._number = fake.connections
        first = fake.max_streams if fake.first_streams is None else fake.first_streams
        # Before `initiate_connection`, so that the limit is in the first SETTINGS frame.
        self._http.local_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = first
        self._http.local_settings.acknowledge()
        self._http.initiate_connection()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._opened.discard(self)
        self._fake.open_connections -= 1
        self._transport = None

    def data_received(self, data: bytes) -> None:
        try:
            for event in self._http.receive_data(data):
                self._handle(event)
        except h2.exceptions.ProtocolError:
            self.close()
        self._flush()

    # Called by the server.

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close after what was written."""
        if self._transport is not None:
            self._flush()
            self._transport.close()

    def limit(self, streams: int) -> None:
        """Let the client have only so many streams from now on."""
        self._http.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: streams})
        self._flush()

    def go_away(self, *, two_steps: bool) -> None:
        """Answer what has come, take nothing more, and close."""
        if two_steps:
            self._write_goaway(_ALL_STREAMS)
        self._end = self._last
        self._streams = {stream: came for stream, came in self._streams.items() if stream <= self._last}
        self._write_goaway(self._last)
        self._close_if_over()

    # Frames.

    def _write_goaway(self, last: int) -> None:
        # Written by hand, because h2 sends no answer any more after its own GOAWAY.
        self._flush()
        if self._transport is not None:
            self._transport.write(GoAwayFrame(last_stream_id=last, error_code=ErrorCodes.NO_ERROR).serialize())

    def _flush(self) -> None:
        data = self._http.data_to_send()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived) and event.stream_id is not None:
            if self._end is None:
                self._streams[event.stream_id] = _Stream({str(k): str(v) for k, v in event.headers or ()})
        elif isinstance(event, h2.events.DataReceived) and event.stream_id is not None:
            if event.flow_controlled_length:
                with contextlib.suppress(h2.exceptions.ProtocolError):
                    self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if event.stream_id in self._streams:
                self._streams[event.stream_id].body += event.data or b""
        elif isinstance(event, h2.events.StreamEnded) and event.stream_id in self._streams:
            self._respond(event.stream_id, self._streams.pop(event.stream_id))
        elif isinstance(event, h2.events.StreamReset):
            self._streams.pop(event.stream_id or 0, None)
            self._answering.discard(event.stream_id or 0)
            self._close_if_over()
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.close()

    def _respond(self, stream: int, came: _Stream) -> None:
        scripted = self._fake.push.next()
        if isinstance(scripted, RefuseStream):
            self._http.reset_stream(stream, ErrorCodes.REFUSED_STREAM)
            return
        self._last = max(self._last, stream)
        path, _, query = came.headers.get(":path", "").partition("?")
        request = Request(
            at=self._fake.now(),
            method=came.headers.get(":method", ""),
            path=path,
            query=query,
            headers={name: value for name, value in came.headers.items() if not name.startswith(":")},
            body=bytes(came.body),
            connection=self._number,
        )
        answer, trusted = self._fake._respond(request, scripted)
        if isinstance(scripted, Drop):
            self._break(reset=scripted.reset)
            return
        if trusted and not self._trusted:
            self._trusted = True
            if self._fake.first_streams is not None:
                self.limit(self._fake.max_streams)
        if isinstance(scripted, NeverAnswer):
            return
        self._answering.add(stream)
        if isinstance(scripted, LimitStreams):
            self.limit(scripted.streams)
        if isinstance(scripted, GoAway):
            self.go_away(two_steps=scripted.two_steps)
        if answer.after:
            self._loop.call_later(answer.after, self._answer, stream, answer)
        else:
            self._answer(stream, answer)

    def _answer(self, stream: int, answer: ApnsAnswer) -> None:
        if stream in self._answering:
            self._answering.discard(stream)
            body = answer.body
            headers = [(":status", str(answer.status)), *((name.lower(), value) for name, value in answer.headers)]
            with contextlib.suppress(h2.exceptions.ProtocolError):
                self._http.send_headers(stream, headers, end_stream=not body)
                if body:
                    self._http.send_data(stream, body, end_stream=True)
            self._flush()
        self._close_if_over()

    def _close_if_over(self) -> None:
        if self._end is not None and not self._answering and not self._streams and not self._over:
            self._over = True
            # Not at once: to close while the client still sends is a reset, which would take the GOAWAY with it.
            self._loop.call_later(LINGER, self.close)

    def _break(self, *, reset: bool) -> None:
        if self._transport is None:
            return
        if reset:
            connection = self._transport.get_extra_info("socket")
            # With a linger time of zero the close is a reset.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
