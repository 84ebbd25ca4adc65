"""What a push costs over each service, in CPU time of the client's process, beside the libraries that others use.

The clients take turns against one server in a process of its own, without TLS, one push at a time and fifty at once.
That of APNs has TLS.

    python benchmarks/services.py             in a minute
    python benchmarks/services.py --pushes 2000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import ssl
import statistics
import tempfile
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import trustme

from genesys_stream import Batch
from genesys_stream.apns import Apns, AsyncApns
from genesys_stream.fcm import AsyncFcm, Fcm
from genesys_stream.testing import FakeApns, FakeFcm, FakeWebPush
from genesys_stream.webpush import AsyncWebPush, WebPush

DEVICE = "f" * 160
BATCH = Batch("The quick brown fox jumps over the lazy dog. " * 5, stream_id="0" * 26, seq=7, offset=900, crc=1)
TEXT = {"llm_response": BATCH.text, "stream_id": BATCH.stream_id, "seq": "7", "offset": "900"}
AT_ONCE = 50
RUNS = 5

Client = Callable[[Any, int, int], float]
"""Takes where to push, how many, and how many at once; returns the CPU time in seconds."""


class Where:
    """The server, and the key of a service account of its own.

    Attributes:
        url: The server's address.
        key: The file of the key.
    """

    def __init__(self, url: str, key: Path) -> None:
        self.url = url
        self.key = key


class Answers(asyncio.Protocol):
    """A server that takes every push and grants every token."""

    TOKEN = json.dumps({"access_token": "token", "expires_in": 3599, "token_type": "Bearer"}).encode()
    NAME = json.dumps({"name": "projects/fake-project/messages/0:1"}).encode()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            head = self.received[:end].lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            if len(self.received) < end + 4 + length:
                return
            self.received = self.received[end + 4 + length :]
            body = self.TOKEN if head.startswith(b"post /token") else self.NAME
            self.transport.write(  # type: ignore[attr-defined]  # a stream's transport
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )


def serve(say: Connection) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Answers, "127.0.0.1", 0, backlog=256)
        say.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


@contextmanager
def served() -> Iterator[Where]:
    hear, say = multiprocessing.Pipe()
    process = multiprocessing.Process(target=serve, args=(say,), daemon=True)
    process.start()
    url = f"http://127.0.0.1:{hear.recv()}"
    with tempfile.TemporaryDirectory() as folder:
        key = Path(folder, "key.json")
        key.write_text(json.dumps(FakeFcm().service_account(url)))
        yield Where(url, key)
    process.terminate()
    process.join()


def in_threads(push: Callable[[], object], pushes: int, at_once: int) -> float:
    """Push from as many threads; the first push, which gets the token, is not counted."""
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(lambda _: push(), range(at_once)))
        started = time.process_time()
        list(pool.map(lambda _: push(), range(pushes)))
        return time.process_time() - started


async def in_tasks(push: Callable[[], Awaitable[object]], pushes: int, at_once: int) -> float:
    """Push from as many tasks, likewise."""
    left = pushes

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await push()

    await asyncio.gather(*[push() for _ in range(at_once)])
    started = time.process_time()
    await asyncio.gather(*[worker() for _ in range(at_once)])
    return time.process_time() - started


def ours_blocking(transport: str, where: Where, pushes: int, at_once: int) -> float:
    with Fcm.from_service_account_file(where.key, base_url=where.url, transport=transport) as fcm:
        sink = fcm.to(DEVICE, profile=None)
        return in_threads(lambda: sink.send(sink.encode(BATCH), BATCH), pushes, at_once)


def ours(transport: str, where: Where, pushes: int, at_once: int) -> float:
    async def main() -> float:
        async with AsyncFcm.from_service_account_file(where.key, base_url=where.url, transport=transport) as fcm:
            sink = fcm.to(DEVICE, profile=None)
            return await in_tasks(lambda: sink.send(sink.encode(BATCH), BATCH), pushes, at_once)

    return asyncio.run(main())


def firebase(where: Where) -> tuple[object, object]:
    """Return the module and an app, which is left to the end of the process: closing it needs its own event loop."""
    import firebase_admin
    from firebase_admin import credentials, messaging

    messaging._MessagingService.FCM_URL = where.url + "/v1/projects/{0}/messages:send"
    return messaging, firebase_admin.initialize_app(credentials.Certificate(str(where.key)), name="bench")


def firebase_blocking(where: Where, pushes: int, at_once: int) -> float:
    messaging, app = firebase(where)
    if at_once == 1:
        return in_threads(lambda: messaging.send(message(messaging), app=app), pushes, 1)  # type: ignore[attr-defined]
    return batches(lambda many: messaging.send_each(many, app=app), messaging, pushes, at_once)  # type: ignore[attr-defined]


def firebase_async(where: Where, pushes: int, at_once: int) -> float:
    messaging, app = firebase(where)
    with asyncio.Runner() as runner:
        return batches(
            lambda many: runner.run(messaging.send_each_async(many, app=app)),  # type: ignore[attr-defined]
            messaging,
            pushes,
            at_once,
        )


def batches(send: Callable[[list[object]], object], messaging: object, pushes: int, at_once: int) -> float:
    """Push in batches, which is how firebase-admin sends several at once."""
    send([message(messaging) for _ in range(at_once)])
    started = time.process_time()
    for _ in range(pushes // at_once):
        send([message(messaging) for _ in range(at_once)])
    return time.process_time() - started


def message(messaging: object) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return messaging.Message(  # type: ignore[attr-defined]
            token=DEVICE,
            data=TEXT,
            android=messaging.AndroidConfig(priority="normal", ttl=0),  # type: ignore[attr-defined]
        )


FCM: dict[str, Client] = {
    "genesys-stream, blocking over httpx": partial(ours_blocking, "httpx"),
    "genesys-stream, blocking over httpx2": partial(ours_blocking, "httpx2"),
    "firebase-admin, blocking": firebase_blocking,
    "genesys-stream, async over httpx": partial(ours, "httpx"),
    "genesys-stream, async over aiohttp": partial(ours, "aiohttp"),
    "firebase-admin, async": firebase_async,
}


SUBSCRIPTION = FakeWebPush().subscribe()
VAPID_KEY = "A" * 42 + "E"  # the number 1, which is as good a private key as any for a server that does not look
SUBJECT = "mailto:me@example.com"


def browser(where: Where) -> dict[str, Any]:
    """Return the subscription of a browser whose push service is the server."""
    return {**SUBSCRIPTION, "endpoint": f"{where.url}/wpush"}


def web_push_blocking(where: Where, pushes: int, at_once: int) -> float:
    with WebPush(VAPID_KEY, subject=SUBJECT, allow_insecure_http=True) as push:
        sink = push.to(browser(where), profile=None)
        return in_threads(lambda: sink.send(sink.encode(BATCH), BATCH), pushes, at_once)


def web_push(transport: str, where: Where, pushes: int, at_once: int) -> float:
    async def main() -> float:
        async with AsyncWebPush(VAPID_KEY, subject=SUBJECT, allow_insecure_http=True, transport=transport) as push:
            sink = push.to(browser(where), profile=None)
            return await in_tasks(lambda: sink.send(sink.encode(BATCH), BATCH), pushes, at_once)

    return asyncio.run(main())


def pywebpush_options(where: Where) -> dict[str, Any]:
    return {
        "subscription_info": browser(where),
        "data": json.dumps({"data": TEXT}),
        "vapid_private_key": VAPID_KEY,
        "vapid_claims": {"sub": SUBJECT},
        "ttl": 0,
    }


def pywebpush_blocking(where: Where, pushes: int, at_once: int) -> float:
    import requests
    from pywebpush import webpush

    with requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=at_once))
        return in_threads(lambda: webpush(**pywebpush_options(where), requests_session=session), pushes, at_once)


def pywebpush_async(where: Where, pushes: int, at_once: int) -> float:
    async def main() -> float:
        import aiohttp
        from pywebpush import webpush_async

        async with aiohttp.ClientSession() as session:
            return await in_tasks(
                lambda: webpush_async(**pywebpush_options(where), aiohttp_session=session), pushes, at_once
            )

    return asyncio.run(main())


WEB_PUSH: dict[str, Client] = {
    "genesys-stream, blocking": web_push_blocking,
    "pywebpush, blocking": pywebpush_blocking,
    "genesys-stream, async over httpx": partial(web_push, "httpx"),
    "genesys-stream, async over aiohttp": partial(web_push, "aiohttp"),
    "pywebpush, async": pywebpush_async,
}


def serve_apns(say: Connection) -> None:
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    fake = FakeApns()
    with fake.serve(tls=tls) as server:
        say.send((f"https://localhost:{server.port}", fake.key, authority.cert_pem.bytes()))
        time.sleep(3600)


@contextmanager
def served_apns() -> Iterator[ApnsWhere]:
    hear, say = multiprocessing.Pipe()
    process = multiprocessing.Process(target=serve_apns, args=(say,), daemon=True)
    process.start()
    yield ApnsWhere(*hear.recv())
    process.terminate()
    process.join()


class ApnsWhere:
    """The server of APNs, the key that it takes, and the certificate of its authority."""

    IDS = {"key_id": "ABC123DEFG", "team_id": "DEF123GHIJ", "topic": "com.example.app"}  # noqa: RUF012 - never changed

    def __init__(self, url: str, key: str, certificate: bytes) -> None:
        self.url = url
        self.key = key
        self.certificate = certificate


def apns_blocking(where: ApnsWhere, pushes: int, at_once: int) -> float:
    with Apns.from_p8(where.key, **where.IDS, base_url=where.url, certificates=where.certificate) as apns:  # type: ignore[arg-type]  # three strings
        sink = apns.to("c0ffee", profile=None)
        return in_threads(lambda: sink.send(sink.encode(BATCH), BATCH), pushes, at_once)


def apns_async(where: ApnsWhere, pushes: int, at_once: int) -> float:
    async def main() -> float:
        async with AsyncApns.from_p8(
            where.key, **where.IDS, base_url=where.url, certificates=where.certificate
        ) as apns:  # type: ignore[arg-type]  # three strings
            sink = apns.to("c0ffee", profile=None)
            return await in_tasks(lambda: sink.send(sink.encode(BATCH), BATCH), pushes, at_once)

    return asyncio.run(main())


def aioapns(where: ApnsWhere, pushes: int, at_once: int) -> float:
    import aioapns as library
    from aioapns import connection

    connection.APNsProductionClientProtocol.APNS_SERVER = "localhost"
    connection.APNsProductionClientProtocol.APNS_PORT = int(where.url.rpartition(":")[2])
    tls = ssl.create_default_context(cadata=where.certificate.decode())

    async def main() -> float:
        apns = library.APNs(key=where.key, **where.IDS, ssl_context=tls)

        async def push() -> None:
            one = library.NotificationRequest(
                device_token="c0ffee",  # noqa: S106 - of the fake
                message={"aps": {"content-available": 1}, **TEXT},
                push_type=library.PushType.BACKGROUND,
                priority=5,
                time_to_live=0,
            )
            assert (await apns.send_notification(one)).is_successful  # noqa: S101 - what is measured must work

        await push()
        return await in_tasks(push, pushes, at_once)

    return asyncio.run(main())


APNS: dict[str, Client] = {
    "genesys-stream, blocking": apns_blocking,
    "genesys-stream, async": apns_async,
    "aioapns": aioapns,
}

SERVICES = {"FCM": FCM, "Web Push": WEB_PUSH, "APNs": APNS}


def in_child(client: Client, where: Any, pushes: int, at_once: int) -> float:
    """Measure in a process of its own, so that no client pays for another's threads or garbage."""
    hear, say = multiprocessing.Pipe()

    def measure() -> None:
        say.send(client(where, pushes, at_once))

    process = multiprocessing.get_context("fork").Process(target=measure)
    process.start()
    seconds: float = hear.recv()
    process.join()
    return seconds


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--pushes", type=int, default=500, help="how many each client sends in each of its runs")
    arguments.add_argument("--only", choices=SERVICES, help="the service to measure")
    given = arguments.parse_args()
    for service in [given.only] if given.only else SERVICES:
        with served_apns() if service == "APNs" else served() as where:
            for at_once in (1, AT_ONCE):
                measure(service, where, given.pushes, at_once)


def measure(service: str, where: Any, pushes: int, at_once: int) -> None:
    """Let the clients of a service take turns, and print what each costs."""
    clients = SERVICES[service]
    taken: dict[str, list[float]] = {name: [] for name in clients}
    for _ in range(RUNS):
        for name, client in clients.items():
            taken[name].append(in_child(client, where, pushes, at_once) / pushes * 1000)
    print(f"\n{service}, {at_once} at once: ms of CPU per push, the median of {RUNS} runs")
    for name, values in taken.items():
        print(f"  {name:36}{statistics.median(values):6.2f}   ({min(values):.2f} to {max(values):.2f})")


if __name__ == "__main__":
    main()
