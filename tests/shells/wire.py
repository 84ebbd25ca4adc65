"""A peer that says exactly these bytes, HTTP or not: what an HTTP server's library would never send."""

import socket
import ssl
import struct
import threading
import time

from tests.shells.worlds import settle

RESET = object()
STAY = object()

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED = STREAM + b"Transfer-Encoding: chunked\r\n\r\n"


def chunked(*pieces):
    """The pieces as chunks of a chunked body, without the last one."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


END = b"0\r\n\r\n"


def reply(body, status=b"200 OK", content_type=b"application/json", headers=b""):
    """A whole answer."""
    head = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b\r\n"
    return head % (status, content_type, len(body), headers) + body


class Wire:
    """Listens on the loopback and plays one script per request, the last one again and again.

    A script is a list of bytes, pauses in seconds, and last how the connection ends: RESET, or STAY to keep it open for
    another request; a FIN otherwise.

    Attributes:
        requests: What was received.
        connections: How many connections were made.
        open: How many of them the client has not closed.
    """

    def __init__(self, *scripts, tls=None):
        self.requests = []
        self.connections = 0
        self.open = 0
        self._scripts = list(scripts)
        self._tls = tls
        self._lock = threading.Lock()
        self._threads = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def __enter__(self):
        self._accepting = threading.Thread(target=self._accept, name="wire")
        self._accepting.start()
        return self

    def __exit__(self, *error):
        assert settle(lambda: self.open == 0), f"{self.open} connections were left open"
        # Closing alone does not wake a thread that accepts.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in (self._accepting, *self._threads):
            thread.join(5)

    @property
    def base_url(self):
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(10)
            with self._lock:
                self.connections += 1
                self.open += 1
            thread = threading.Thread(target=self._serve, args=(connection,), name="wire")
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection):
        try:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                while self._answer(connection):
                    pass
        except (OSError, ssl.SSLError):
            connection.close()
        finally:
            with self._lock:
                self.open -= 1

    def _answer(self, connection):
        request = _receive(connection)
        if not request:
            return False
        with self._lock:
            self.requests.append(request)
            script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        for piece in script:
            if piece is RESET:
                time.sleep(0.02)  # for what was sent to arrive: a reset overtakes it
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            if piece is STAY:
                return True
            if isinstance(piece, float):
                time.sleep(piece)
            else:
                connection.sendall(piece)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
        return False


def _receive(connection):
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            return b""
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body
