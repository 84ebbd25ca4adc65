"""`--to`: the services that a relay delivers to, with the credentials of the environment or with their fakes."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import click
import httpx
from attrs import field, frozen

from .._core.relaying.sink import Sink
from .._errors import ConfigurationError
from .._values import Batch, PushReceipt
from .._wire import dumps
from ._service import SANDBOX_PHONE, Connection, ServiceOptions

SERVICES = ("genesys", "fcm", "apns", "webpush")

APNS_VARIABLES = {"key": "APNS_KEY_FILE", "key_id": "APNS_KEY_ID", "team_id": "APNS_TEAM_ID", "topic": "APNS_TOPIC"}
FCM_URL, APNS_URL = "GENESYS_STREAM_FCM_URL", "GENESYS_STREAM_APNS_URL"
"""Where FCM and APNs are, if not at Google and Apple: `genesys-stream sandbox` prints them."""

# Device tokens of Apple's are in hexadecimal digits.
_SANDBOX_TOKENS = {"genesys": SANDBOX_PHONE, "fcm": SANDBOX_PHONE, "apns": "5a" * 32, "webpush": ""}

GONE = "the push service no longer knows this device or browser; it has to register again"

HINTS = {
    "fcm": "check GOOGLE_APPLICATION_CREDENTIALS and the token, which belongs to one Firebase project",
    "apns": f"check {', '.join(APNS_VARIABLES.values())} and the token; set APNS_SANDBOX=1 for a build from Xcode",
    "webpush": "check VAPID_PRIVATE_KEY and VAPID_SUBJECT; a subscription belongs to the key that it was made with",
}


@frozen
class Destination:
    """A device that is to be delivered to.

    Attributes:
        service: One of `SERVICES`.
        token: Its token; for Web Push, the file with its subscription.
        label: What it is called in what is printed.
    """

    service: str
    token: str = field(repr=False)
    label: str


@frozen
class Outlet:
    """A sink, and what the sandbox has of it.

    Attributes:
        sink: The sink.
        label: As that of `Destination`; "" for the phones of `--target`.
        service: Likewise.
        payloads: Returns what a device of the sandbox got; None for a real one.
    """

    sink: Sink
    label: str = ""
    service: str = "genesys"
    payloads: Callable[[], list[Any]] | None = None


def read_destinations(values: Iterable[str], *, sandbox: bool) -> list[Destination]:
    """Read the values of `--to`.

    Raises:
        UsageError: One is not SERVICE:TOKEN; with the sandbox, not SERVICE either.
    """
    found: list[Destination] = []
    for value in values:
        service, colon, token = value.partition(":")
        if service not in SERVICES:
            raise click.UsageError(f"--to must begin with one of {', '.join(f'{name}:' for name in SERVICES)}")
        if not token and (colon or not sandbox):
            what = "webpush:FILE, with a browser's subscription" if service == "webpush" else f"{service}:TOKEN"
            raise click.UsageError(f"--to must be {what}")
        number = 1 + sum(other.service == service for other in found)
        label = service if number == 1 else f"{service}-{number}"
        found.append(Destination(service, token or _SANDBOX_TOKENS[service], label))
    return found


def targets_outlet(connection: Connection, targets: Sequence[str], *, dry_run: bool, **options: Any) -> Outlet:
    """Return the outlet of the phones of `--target`, which get each push together."""
    sink = connection.client.push.to(*targets, **options, dry_run=dry_run)
    fake = connection.fake
    if fake is None or dry_run:
        return Outlet(sink)
    return Outlet(sink, payloads=lambda: [payload for payload in fake.pushes if payload["targets"] == [*targets]])


def open_outlet(
    destination: Destination,
    connection: Connection,
    service: ServiceOptions,
    stack: ExitStack,
    *,
    dry_run: bool,
    **options: Any,
) -> Outlet:
    """Return the outlet of a destination; what it needs is closed with the stack.

    Raises:
        ConfigurationError: Credentials are missing or invalid, or the extra is not installed.
        UsageError: The file with a subscription cannot be read.
    """
    if destination.service == "genesys":
        outlet = targets_outlet(connection, [destination.token], dry_run=dry_run, **options)
        return attrs.evolve(outlet, label=destination.label)
    with naming_packages(destination.service):
        opened = _OPEN[destination.service](destination.token, service, stack)
    sink = opened.client.to(opened.target, **options)
    if dry_run:
        sink = attrs.evolve(sink, send=_send_nothing)
    payloads = None if dry_run else opened.payloads
    return Outlet(sink, destination.label, destination.service, payloads)


def _send_nothing(content: bytes, batch: Batch) -> PushReceipt:  # noqa: ARG001 - the signature of a sink
    return PushReceipt(status="dry_run", attempts=0, extra={"bytes": len(content)})


@frozen
class _Opened:
    client: Any
    target: Any = field(repr=False)
    payloads: Callable[[], list[Any]] | None = None


def load(name: str) -> Any:
    """Import a module of a service, or the fakes, when they are needed."""
    return import_module(f"genesys_stream.{name}")


def serve_fake(name: str, stack: ExitStack, **options: Any) -> tuple[Any, Any]:
    """Start the fake of a service; returns it and its server."""
    fake = getattr(load("testing"), {"fcm": "FakeFcm", "apns": "FakeApns", "webpush": "FakeWebPush"}[name])(**options)
    return fake, stack.enter_context(fake.serve())


@contextmanager
def naming_packages(name: str) -> Generator[None, None, None]:
    """Say which package the fake of a service lacks, and how to install it.

    Raises:
        ConfigurationError: A package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        also = " h2" if name == "apns" else ""
        msg = f'the sandbox of {name} needs the package {package}: pip install "genesys-stream[{name}]"{also}'
        raise ConfigurationError(msg) from None


def write_key(content: str, name: str, stack: ExitStack) -> Path:
    """Write a key of the sandbox into a file of its own, which is removed with the stack."""
    path = Path(stack.enter_context(TemporaryDirectory(prefix="genesys-stream-"))) / name
    path.write_text(content, encoding="utf-8")
    return path


def _open_fcm(token: str, service: ServiceOptions, stack: ExitStack) -> _Opened:
    fcm = load("fcm").Fcm
    if not service.sandbox:
        url = {"base_url": found} if (found := os.environ.get(FCM_URL, "").strip()) else {}
        client = stack.enter_context(fcm.from_env(**url, allow_insecure_http=service.allow_insecure_http))
        return _Opened(client, token)
    fake, server = serve_fake("fcm", stack)
    path = write_key(dumps(fake.service_account(server.base_url)).decode(), "service-account.json", stack)
    http_client = stack.enter_context(
        httpx.Client(trust_env=False)
    )  # the environment's proxies are not for the loopback
    client = stack.enter_context(fcm.from_service_account_file(path, base_url=server.base_url, http_client=http_client))
    return _Opened(client, token, lambda: [message for message in fake.messages if message.get("token") == token])


def _open_apns(token: str, service: ServiceOptions, stack: ExitStack) -> _Opened:
    apns = load("apns").Apns
    if not service.sandbox:
        return _Opened(stack.enter_context(apns.from_p8(**_apns_arguments(service))), token)
    fake, server = serve_fake("apns", stack)
    client = stack.enter_context(apns.from_p8(**fake.client_options(server)))
    device = token.lower()
    return _Opened(client, token, lambda: [e.json for e in fake.request_log if e.accepted and e.device == device])


def _apns_arguments(service: ServiceOptions) -> dict[str, Any]:
    found = {name: os.environ.get(variable, "").strip() for name, variable in APNS_VARIABLES.items()}
    missing = [variable for name, variable in APNS_VARIABLES.items() if not found[name]]
    if missing:
        raise ConfigurationError(f"APNs needs variables that are not set in the environment: {', '.join(missing)}")
    url = os.environ.get(APNS_URL, "").strip() or None
    return {
        **found,
        "key": Path(found["key"]),
        "sandbox": os.environ.get("APNS_SANDBOX", "").strip().lower() in {"1", "true", "yes"},
        "base_url": url,
        "allow_insecure_http": service.allow_insecure_http,
    }


def _open_webpush(file: str, service: ServiceOptions, stack: ExitStack) -> _Opened:
    webpush = load("webpush").WebPush
    if not service.sandbox:
        client = stack.enter_context(webpush.from_env(allow_insecure_http=service.allow_insecure_http))
        return _Opened(client, _subscription(file))
    fake, server = serve_fake("webpush", stack)
    http_client = stack.enter_context(httpx.Client(trust_env=False))  # as above
    client = stack.enter_context(
        webpush(vapid_key(), subject=SANDBOX_SUBJECT, http_client=http_client, allow_insecure_http=True)
    )
    subscription = fake.subscribe(client.public_key, base_url=server.base_url)
    endpoint = subscription["endpoint"]
    return _Opened(client, subscription, lambda: [m.payload for m in fake.messages if m.endpoint == endpoint])


SANDBOX_SUBJECT = "mailto:sandbox@example.com"


def vapid_key() -> str:
    """Make a private key for Web Push, in base64url as most tools print it."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

    number = generate_private_key(SECP256R1()).private_numbers().private_value
    return base64.urlsafe_b64encode(number.to_bytes(32, "big")).decode().rstrip("=")


def _subscription(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise click.UsageError("the file with the subscription is not UTF-8 text") from None
    except OSError as error:
        raise click.UsageError(f"the file with the subscription cannot be read: {error.strerror or error}") from None


_OPEN: dict[str, Callable[[str, ServiceOptions, ExitStack], _Opened]] = {
    "fcm": _open_fcm,
    "apns": _open_apns,
    "webpush": _open_webpush,
}


# What `genesys-stream sandbox --service` prints, so that a relay in another terminal reaches its fakes.


def _set_up_fcm(stack: ExitStack, on_request: Callable[[Any], None]) -> dict[str, str]:
    fake, server = serve_fake("fcm", stack, on_request=on_request)
    path = write_key(dumps(fake.service_account(server.base_url)).decode(), "service-account.json", stack)
    return {"GOOGLE_APPLICATION_CREDENTIALS": str(path), FCM_URL: server.base_url}


def _set_up_apns(stack: ExitStack, on_request: Callable[[Any], None]) -> dict[str, str]:
    fake, server = serve_fake("apns", stack, on_request=on_request)
    found = {**fake.client_options(server), "key": str(write_key(fake.key, "key.p8", stack))}
    return {variable: found[name] for name, variable in APNS_VARIABLES.items()} | {APNS_URL: server.base_url}


def _set_up_webpush(stack: ExitStack, on_request: Callable[[Any], None]) -> dict[str, str]:
    fake, server = serve_fake("webpush", stack, on_request=on_request)
    path = write_key(dumps(fake.subscribe(base_url=server.base_url)).decode(), "subscription.json", stack)
    return {"VAPID_PRIVATE_KEY": vapid_key(), "VAPID_SUBJECT": SANDBOX_SUBJECT, "WEBPUSH_SUBSCRIPTION": str(path)}


SETUPS: dict[str, Callable[[ExitStack, Callable[[Any], None]], dict[str, str]]] = {
    "fcm": _set_up_fcm,
    "apns": _set_up_apns,
    "webpush": _set_up_webpush,
}
