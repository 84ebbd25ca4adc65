"""Pushes, awaited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from .._core.http.push import ONCE, dry_receipt, push, push_request
from .._core.http.retry import Retry
from .._core.http.settings import Settings
from .._core.relaying.limits import ANDROID_FOREGROUND, Account, Budget, Ledger, Profile, Rate
from .._core.relaying.payload import MAX_PAYLOAD_BYTES, TITLE, Caption, Envelope, check_push, count_received
from .._values import Batch, PushReceipt
from .._values._checks import check_kind
from .._wire import dumps
from .session import HttpSession, clock


class AsyncPushSink:
    """What `relay` delivers to: one push for each batch, to the same targets.

    It sends a batch once and says what came of it; when to send it again is for the relay to decide.

    Attributes:
        profile: What the devices bear.
        budget: What the relay books its pushes from.
    """

    def __init__(
        self, client: AsyncPushClient, envelope: Envelope, *, profile: Profile | None, budget: Account, dry_run: bool
    ) -> None:
        self.profile = profile
        self.budget = budget
        self._client = client
        self._envelope = envelope
        self._dry_run = dry_run

    @property
    def history(self) -> int:
        """How many characters of the text before it a batch should bring along."""
        return self._envelope.history

    def fit(self, batch: Batch) -> int:
        """How many characters of the batch's text one payload can carry.

        Args:
            batch: With the numbers that it will have when it is sent.

        Returns:
            At least one character; 0 for a batch without text.

        Raises:
            InvalidArgument: The payload's limit leaves no room for a character.
        """
        return self._envelope.fit(batch)

    async def __call__(self, batch: Batch) -> PushReceipt:
        """Push a batch.

        Args:
            batch: What to push.

        Returns:
            The receipt.

        Raises:
            StatusError: The service said no.
            AmbiguousDelivery: The answer was lost.
            NetworkError: The push was never sent.
        """
        return await self._client.send_payload(self._envelope.encode(batch), retry=ONCE, dry_run=self._dry_run)


class AsyncPushClient:
    """Sends push notifications.

    Args:
        session: Sends the requests.
        settings: The client's settings.
        ledger: The token buckets of the credential and of its devices.
    """

    def __init__(self, session: HttpSession, settings: Settings, ledger: Ledger) -> None:
        self._session = session
        self._settings = settings
        self._ledger = ledger

    async def send(
        self,
        targets: Sequence[str],
        title: str,
        body: str,
        data: Mapping[str, Any] | None = None,
        *,
        stringify: bool = False,
        resend_lost: bool = False,
        dry_run: bool = False,
    ) -> PushReceipt:
        """Send one push notification.

        Args:
            targets: The device tokens.
            title: What the notification is headed.
            body: What the notification reads.
            data: Strings to strings, for the app.
            stringify: Whether values of `data` that are not strings are written as JSON.
            resend_lost: Whether to send the same bytes again when an answer was lost, so that the push arrives at least
                once, instead of at most once.
            dry_run: Whether to check everything and send nothing.

        Returns:
            The receipt.

        Raises:
            InvalidArgument: An argument will not do; nothing was sent.
            StatusError: The service said no.
            AmbiguousDelivery: The answer was lost: the push may have been delivered, or not.
            NetworkError: The push was never sent.
        """
        content = [dumps(check_push(targets, title, body, data, stringify=stringify))]
        del targets, title, body, data  # a report that shows the locals of every frame shows nothing that was said
        if not dry_run:
            # Never held back itself, but counted, so that the relays of the same credential leave room for it.
            self._budget().book(clock(), final=True)
        return await self.send_payload(content.pop(), resend_lost=resend_lost, dry_run=dry_run)

    async def send_payload(
        self,
        content: bytes,
        *,
        retry: Retry | None = None,
        resend_lost: bool = False,
        dry_run: bool = False,
    ) -> PushReceipt:
        """Send a payload that is encoded already; see `send`.

        Args:
            content: The payload as JSON.
            retry: How patient to be, where that is not the client's way.
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
        if dry_run:
            return dry_receipt(content)
        settings = self._settings
        conversation = push(
            push_request(settings.push_url, content),
            retry or settings.retry,
            reauthorise=self._session.reauthorises,
            resend_lost=resend_lost,
        )
        del content
        return await self._session.run(conversation, settings, answer_within=settings.timeouts.push)

    def to(
        self,
        *targets: str,
        title: Caption = TITLE,
        body: Caption = count_received,
        data: Mapping[str, str] | None = None,
        ref: str = "",
        mode: Literal["delta", "tail", "snapshot"] = "delta",
        alert: Literal["all", "final"] = "all",
        max_payload_bytes: int = MAX_PAYLOAD_BYTES,
        profile: Profile | None = ANDROID_FOREGROUND,
        dry_run: bool = False,
    ) -> AsyncPushSink:
        """Make a sink for `relay`.

        Args:
            *targets: The device tokens.
            title: What each notification is headed, or a callable that says it for a batch.
            body: What each notification reads, likewise.
            data: The app's own keys for every payload.
            ref: Where the receiver can fetch the whole text, an id or a URL; the final payload carries it.
            mode: What the payloads hold: "delta", the new text alone; "tail", the end of the text before it as well; or
                "snapshot", all of the text before it, as far as it fits.
            alert: Which payloads have a title and a body: "all", or the "final" one alone, so that a phone is sent the
                others in silence.
            max_payload_bytes: The limit for one encoded payload, in bytes.
            profile: What the devices bear, such as `APNS_ALERT`; None for no limit but the credential's.
            dry_run: Whether to do everything but send.

        Returns:
            The sink.

        Raises:
            InvalidArgument: An argument will not do.
        """
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
        check_kind("profile", profile, Profile, optional=True)
        device = None if profile is None else profile.device
        budget = self._budget(targets, device)
        return AsyncPushSink(self, envelope, profile=profile, budget=budget, dry_run=dry_run)

    def _budget(self, targets: Sequence[str] = (), device: Rate | None = None) -> Account:
        return Budget(self._ledger, targets, device)
