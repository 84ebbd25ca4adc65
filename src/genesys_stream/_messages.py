"""Genesys' own messaging: what the blocking and the async client have in common, which is all but the waiting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, Literal

from ._core.http.push import ONCE, push, push_request
from ._core.http.settings import Settings
from ._core.relaying.limits import RateLimits
from ._core.services.messages import (
    AGENTLESS_PATH,
    BOT_REPLIES_PATH,
    MAX_CHARS,
    PIECES,
    Agentless,
    BotReply,
    BotTurn,
    Messenger,
    no_message,
)
from ._push import ReceiptT, Runs, SinkT
from ._values import Batch
from ._values._checks import with_checked_names


class _Sends(Generic[ReceiptT, SinkT]):
    _sink: Callable[..., SinkT]

    def __init__(self, session: Runs[ReceiptT], settings: Settings, limits: RateLimits) -> None:
        self._session = session
        self._settings = settings
        self._limits = limits

    def _make_sink(self, path: str, name: str, encode: Callable[[Batch], bytes], max_chars: int) -> SinkT:
        url = self._settings.base_url + path

        def send(content: bytes, batch: Batch) -> ReceiptT:  # noqa: ARG001 - the message says all of it
            held = [content]
            del content  # a report that shows the locals of every frame shows nothing that was said
            return self._send(url, held)

        return type(self)._sink(
            name=name,
            send=send,
            encode=encode,
            max_chars=max_chars,
            coalescer=PIECES,
            at_most_once=True,
            limiter=self._limits.limiter(),
        )

    def _send(self, url: str, held: list[bytes]) -> ReceiptT:
        settings = self._settings
        flow = no_message()
        if held[0]:
            request = push_request(url, held.pop())
            flow = push(request, ONCE, reauthorise=self._session.reauthorises, resend_lost=False)
            del request
        return self._session.run(flow, settings, answer_within=settings.timeouts.push)


class Messages(_Sends[ReceiptT, SinkT]):
    """Sends agentless messages of Genesys Cloud: SMS, WhatsApp, Open Messaging, web messaging, Apple Messages.

    Args:
        session: Sends the requests.
        settings: The client's settings.
        limits: The rate limits of the credential.
    """

    @with_checked_names
    def to(
        self,
        to_address: str | None = None,
        *,
        from_address: str,
        messenger: Messenger,
        external_contact_id: str | None = None,
        use_existing_active_conversation: bool = False,
    ) -> SinkT:
        """Make a sink for `relay`: one message for each batch, at most once, to the same recipient.

        A message stays as it is, so the relay cuts at the ends of sentences, unless it is given a coalescer.
        No text is repeated, and a batch without text is no message.
        A message whose answer was lost is not sent again, but listed as undelivered and ambiguous.

        Args:
            to_address: The recipient: a phone number in E.164, or a WhatsApp ID; not for web messaging.
            from_address: The sender: a phone number that can send SMS, the id of an integration, or for web messaging
                the id of a deployment.
            messenger: The messenger type.
            external_contact_id: The recipient as an external contact, for SMS, Open and web messaging.
            use_existing_active_conversation: Whether a message goes into a conversation that is going on between the
                two; otherwise it is refused then.

        Returns:
            The sink; its receipts are `PushReceipt`, with `conversationId` and what else was answered in `extra`.

        Raises:
            InvalidArgument: An argument is invalid.
        """
        agentless = Agentless(
            from_address=from_address,
            messenger=messenger,
            to_address=to_address,
            external_contact_id=external_contact_id,
            use_existing_active_conversation=use_existing_active_conversation,
        )
        return self._make_sink(AGENTLESS_PATH, f"messages by {messenger}", agentless.encode, agentless.max_chars)


class BotReplies(_Sends[ReceiptT, SinkT]):
    """Replies to a user for a bot that is connected with Genesys Cloud's Digital Bot Connector.

    Args:
        session: Sends the requests.
        settings: The client's settings.
        limits: The rate limits of the credential.
    """

    @with_checked_names
    def to(
        self,
        turn: BotTurn,
        *,
        end_state: Literal["Complete", "MoreData"] = "Complete",
        intent: str = "",
        parameters: Mapping[str, str] | None = None,
    ) -> SinkT:
        """Make a sink for `relay`: one reply for each batch, at most once.

        All replies but the last have the state MoreData; the last has `end_state`, or Failed with an `errorInfo` if the
        stream broke off, and is sent without text as well.
        It cuts, and counts what is lost, as `client.messages.to` does.

        Args:
            turn: What the user said.
            end_state: The state of the last reply: Complete, with which the Architect flow goes on, or MoreData, with
                which it waits for what the user says next.
            intent: The intent that the bot found.
            parameters: What the bot passes to the Architect flow.

        Returns:
            The sink; its receipts are `PushReceipt`.

        Raises:
            InvalidArgument: An argument is invalid.
        """
        reply = BotReply(turn=turn, end_state=end_state, intent=intent, parameters=parameters)
        return self._make_sink(BOT_REPLIES_PATH, "replies of a bot", reply.encode, MAX_CHARS)
