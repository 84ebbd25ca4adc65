"""Pushes: what the blocking and the async client have in common, which is all but the waiting."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Literal, Protocol, TypeVar

from ._core.http.push import ONCE, dry_run_flow, push, push_request
from ._core.http.retry import RequestFlow, Retry
from ._core.http.settings import Settings
from ._core.relaying.limits import ANDROID_FOREGROUND, Profile, RateLimits
from ._core.relaying.payload import MAX_PAYLOAD_BYTES, TITLE, Caption, Envelope, count_received, encode_push
from ._values import Batch, PushReceipt
from ._values._checks import check_kind, with_checked_names

Receipt_co = TypeVar("Receipt_co", covariant=True)
ReceiptT = TypeVar("ReceiptT")
SinkT = TypeVar("SinkT")


class Runs(Protocol[Receipt_co]):
    """The HTTP session of a client, as pushes and messages use it."""

    reauthorises: bool

    def run(self, flow: RequestFlow[PushReceipt], settings: Settings, *, answer_within: float | None) -> Receipt_co: ...


class Pushes(Generic[ReceiptT, SinkT]):
    """Sends push notifications.

    Args:
        session: Sends the requests.
        settings: The client's settings.
        limits: The rate limits of the credential and of its devices.
    """

    _sink: Callable[..., SinkT]

    def __init__(self, session: Runs[ReceiptT], settings: Settings, limits: RateLimits) -> None:
        self._session = session
        self._settings = settings
        self._limits = limits

    def _now(self) -> float:
        """Return the time of the clock that the relays of this client go by, in seconds."""
        raise NotImplementedError

    def send(
        self,
        targets: Sequence[str],
        title: str,
        body: str,
        data: Mapping[str, Any] | None = None,
        *,
        stringify: bool = False,
        resend_lost: bool = False,
        max_payload_bytes: int = MAX_PAYLOAD_BYTES,
        dry_run: bool = False,
    ) -> ReceiptT:
        """Send one push notification.

        Args:
            targets: The device tokens.
            title: What the notification is headed.
            body: What the notification reads.
            data: Strings to strings, for the app.
            stringify: Whether values of `data` that are not strings are written as JSON.
            resend_lost: Whether to send the same bytes again when an answer was lost, so that the push arrives at least
                once, instead of at most once.
            max_payload_bytes: The limit for the encoded payload, in bytes.
            dry_run: Whether to check everything and send nothing.

        Returns:
            The receipt.

        Raises:
            InvalidArgument: An argument is invalid, or the payload is too large; nothing was sent.
            StatusError: The service said no.
            AmbiguousDelivery: The answer was lost: the push may have been delivered, or not.
            NetworkError: The push was never sent.
        """
        content = [
            encode_push(targets, title, body, data, stringify=stringify, max_payload_bytes=max_payload_bytes),
        ]
        del targets, title, body, data  # a report that shows the locals of every frame shows nothing that was said
        return self._run(content.pop(), None, resend_lost=resend_lost, dry_run=dry_run, counts=True)

    def send_payload(
        self,
        content: bytes,
        *,
        retry: Retry | None = None,
        resend_lost: bool = False,
        dry_run: bool = False,
    ) -> ReceiptT:
        """Send a payload that is encoded already; see `send`.

        Args:
            content: The payload as JSON.
            retry: The retry policy, in place of the client's.
            resend_lost: As for `send`.
            dry_run: As for `send`.

        Returns:
            The receipt.

        Raises:
            InvalidArgument: An argument is of the wrong kind.
            GenesysStreamError: As for `send`.
        """
        check_kind("content", content, bytes)
        check_kind("retry", retry, Retry, optional=True)
        held = [content]
        del content  # as in `send`
        return self._run(held.pop(), retry, resend_lost=resend_lost, dry_run=dry_run, counts=False)

    def _run(self, content: bytes, retry: Retry | None, *, resend_lost: bool, dry_run: bool, counts: bool) -> ReceiptT:
        settings = self._settings
        if dry_run:
            flow = dry_run_flow(content)
        else:
            request = push_request(settings.push_url, content)
            flow = push(
                request, retry or settings.retry, reauthorise=self._session.reauthorises, resend_lost=resend_lost
            )
            if counts:
                flow = self._counted(flow)
            del request
        del content
        return self._session.run(flow, settings, answer_within=settings.timeouts.push)

    def _counted(self, flow: RequestFlow[PushReceipt]) -> RequestFlow[PushReceipt]:
        """Send a push that waits for no turn, but counts, so that the relays of the credential leave room for it."""
        self._limits.count(self._now())
        return (yield from flow)

    @with_checked_names
    def to(
        self,
        *targets: str,
        title: Caption = TITLE,
        body: Caption = count_received,
        data: Mapping[str, str] | None = None,
        ref: str = "",
        mode: Literal["delta", "tail", "snapshot"] = "delta",
        alert: Literal["all", "final"] | None = None,
        max_payload_bytes: int = MAX_PAYLOAD_BYTES,
        profile: Profile | None = ANDROID_FOREGROUND,
        dry_run: bool = False,
    ) -> SinkT:
        """Make a sink for `relay`: one push for each batch, to the same targets.

        Args:
            *targets: The device tokens.
            title: What each notification is headed, or a callable that says it for a batch.
            body: What each notification reads, likewise.
            data: The app's own keys for every payload.
            ref: Where the receiver can fetch the whole text, an id or a URL; the final payload carries it.
            mode: What the payloads hold: "delta", the new text alone; "tail", the end of the text before it as well; or
                "snapshot", all of the text before it, as far as it fits.
            alert: Which payloads have a title and a body: the "final" one alone, so that the others show no
                notification; or "all". By default "all" where the profile is `visible`, else "final".
            max_payload_bytes: The limit for one encoded payload, in bytes.
            profile: What the devices bear, such as `APNS_ALERT`; None for no limit but the credential's.
            dry_run: Whether to do everything but send.

        Returns:
            The sink.

        Raises:
            InvalidArgument: An argument is invalid.
        """
        check_kind("profile", profile, Profile, optional=True)
        if alert is None:
            alert = "all" if profile is not None and profile.visible else "final"
        envelope = Envelope(
            targets,
            title=title,
            body=body,
            data={} if data is None else data,
            ref=ref,
            mode=mode,
            alert=alert,
            max_payload_bytes=max_payload_bytes,
        )

        def send(content: bytes, batch: Batch) -> ReceiptT:  # noqa: ARG001 - the payload says all of it
            held = [content]
            del content  # as in `send`
            return self.send_payload(held.pop(), retry=ONCE, dry_run=dry_run)

        return type(self)._sink(
            name=f"push to {len(targets)} target{'s' * (len(targets) != 1)}",
            send=send,
            encode=envelope.encode,
            max_bytes=max_payload_bytes,
            repeat=envelope.history,
            window=None if profile is None else profile.window,
            final_only=profile is not None and profile.final_only,
            limiter=self._limits.limiter(targets, None if profile is None else profile.device),
        )
