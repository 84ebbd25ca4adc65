"""Genesys' own messaging: whatever happens on the way, no bubble is shown twice, and what is missing is listed."""

import json
import traceback

import pytest
from tests.shells.test_secrets import shown
from tests.shells.worlds import WORLDS

from genesys_stream import (
    AmbiguousDelivery,
    AuthenticationError,
    BadRequest,
    BotTurn,
    InvalidArgument,
    ParseError,
    PassThrough,
    PermissionDenied,
    Retry,
    ServerError,
    ServiceUnavailable,
    StreamTruncated,
    Timeouts,
)

QUICK = Retry(attempts=4, wait_initial=0.01, wait_max=0.02)
TURN = BotTurn(bot_id="bot", bot_session_id="session", bot_version="1", language_code="en-us")
TEXT = "The first sentence is long enough to be a bubble. The second one is not shorter than the first. And 😀 the end."


@pytest.fixture(params=[*WORLDS])
def world(request):
    """Each of the three plain worlds."""
    return WORLDS[request.param]


@pytest.fixture(params=["messages", "bot_replies"])
def channel(request):
    """Both ways to send a message."""
    return request.param


def sink_of(client, channel):
    if channel == "messages":
        return client.messages.to("+13175550001", from_address="+13175550000", messenger="sms")
    return client.bot_replies.to(TURN)


def bubbles(fake):
    """The texts that were accepted, in order."""
    replies = [message["text"] for reply in fake.sent_bot_replies for message in reply["replyMessages"]]
    return [message["textBody"] for message in fake.sent_messages] + replies


def words(text):
    """The words, with a pause between them."""
    *first, last = text.split(" ")
    return [item for word in first for item in (word + " ", 0.01)] + [last]


async def test_a_stream_becomes_bubbles(world, fake, server, channel):
    """A sentence each, in order, all of the text, and the receipts name the message."""
    async with world.client(server) as client:
        report = await world.relay(world.source(words(TEXT)), sink_of(client, channel))

    assert bubbles(fake) == [
        "The first sentence is long enough to be a bubble. ",
        "The second one is not shorter than the first. ",
        "And 😀 the end.",
    ]
    assert report.delivered_text == "".join(bubbles(fake)) == TEXT
    assert all(push.receipt.id for push in report.pushes)


async def test_the_states_of_a_bot(world, fake, server):
    """More follows until the last reply, which is sent without text as well."""
    async with world.client(server) as client:
        sink = client.bot_replies.to(TURN, intent="explain")
        await world.relay(world.source(["One. ", 0.05, "Two."]), sink, coalescer=PassThrough())
        await world.relay(world.source([]), client.bot_replies.to(TURN, end_state="MoreData"))
        with pytest.raises(StreamTruncated):
            await world.relay(world.source(["Thr", StreamTruncated("it broke")]), sink)

    first, *others = fake.sent_bot_replies
    assert (first["botState"], first["intent"], first["replyMessages"][0]["text"]) == ("MoreData", "explain", "One. ")
    assert [reply["botState"] for reply in others][-2:] == ["MoreData", "Failed"]
    assert "Complete" in [reply["botState"] for reply in others[:-2]]
    assert others[-2]["replyMessages"] == []
    assert others[-1]["errorInfo"]["code"] == "StreamTruncated"


async def test_an_end_without_text_is_no_bubble(world, fake, server):
    """All of the text was shown before; the account is complete all the same."""
    async with world.client(server) as client:
        sink = sink_of(client, "messages")
        report = await world.relay(world.source(["One. ", 0.05]), sink, coalescer=PassThrough())

    assert bubbles(fake) == ["One. "]
    assert [(push.batch.text, push.receipt.status) for push in report.pushes if not push.batch.text] == [("", "empty")]


async def test_a_token_that_was_revoked_is_replaced(world, fake, server, channel):
    """Once, and the bubble is sent once."""
    async with world.client(server) as client:
        sink = sink_of(client, channel)
        await world.relay(world.source(["One."]), sink)
        fake.revoke_tokens()
        report = await world.relay(world.source(["Two."]), sink)

    assert bubbles(fake) == ["One.", "Two."]
    assert not report.undelivered
    assert [entry.status for entry in fake.requests() if entry.route == channel] == [202, 401, 202]


@pytest.mark.parametrize(("status", "error"), [(403, PermissionDenied), (400, BadRequest), (500, ServerError)])
async def test_what_is_refused_is_listed_and_the_rest_goes_on(world, fake, server, channel, status, error):
    """A refusal is no doubt: the text is not with the reader."""
    getattr(fake, channel).fail(status)
    async with world.client(server) as client:
        source = world.source(["One. ", 0.1, "Two."])
        report = await world.relay(source, sink_of(client, channel), coalescer=PassThrough(), retry=QUICK)

    (lost,) = report.undelivered
    assert (type(lost.error), lost.text, lost.ambiguous) == (error, "One. ", False)
    assert bubbles(fake) == ["Two."]


async def test_wrong_credentials_are_listed(world, fake, server, channel):
    """Nothing is sent without a token."""
    async with world.client(server, client_secret="wrong") as client:
        report = await world.relay(world.source(["One."]), sink_of(client, channel), retry=QUICK)

    assert [type(lost.error) for lost in report.undelivered] == [AuthenticationError]
    assert bubbles(fake) == []


async def test_a_rate_limit_is_waited_out(world, fake, server, channel):
    """What came in the meantime goes along, and nothing is sent twice."""
    getattr(fake, channel).rate_limit(0.1, times=2)
    async with world.client(server) as client:
        source = world.source(["One. ", 0.05, "Two."])
        report = await world.relay(source, sink_of(client, channel), coalescer=PassThrough(), retry=QUICK)

    assert bubbles(fake) == ["One. Two."]
    assert report.held_seconds > 0.1
    assert not report.undelivered


async def test_a_rate_limit_of_the_credential_holds_pushes_too(world, fake, server, channel):
    """It is the same credential's: who else uses it waits."""
    limit = {"key": "client.credentials.token.rate.per.minute", "namespace": "platform.api", "value": 300}
    body = {"message": "Rate limit exceeded", "code": "too.many.requests", "status": 429, "limit": limit}
    getattr(fake, channel).answer(429, json=body, headers={"Retry-After": "0.2"})
    async with world.client(server) as client:
        await world.relay(world.source(["One."]), sink_of(client, channel), retry=QUICK)
        report = await world.relay(world.source(["Two."]), client.push.to("device"), retry=QUICK)

    assert bubbles(fake) == ["One."]
    assert report.paced_seconds > 0


async def test_a_413_has_less_sent_at_a_time(world, fake, server, channel):
    """As often as needed; all of the text arrives."""
    getattr(fake, channel).fail(413, times=2)
    async with world.client(server) as client:
        report = await world.relay(world.source([TEXT]), sink_of(client, channel), retry=QUICK)

    assert "".join(bubbles(fake)) == TEXT
    assert len(bubbles(fake)) >= 3
    assert not report.undelivered


@pytest.mark.parametrize("fault", ["lose_answer", "drop", "late", "fail"])
async def test_a_bubble_that_may_have_been_shown_is_not_sent_again(world, fake, server, channel, fault):
    """A lost answer, a slow one and a 503 leave a doubt, which is listed; the reader sees no bubble twice."""
    script = getattr(fake, channel)
    {
        "lose_answer": script.lose_answer,
        "drop": script.drop,
        "late": lambda: script.late(5.0),
        "fail": lambda: script.fail(503),
    }[fault]()
    async with world.client(server, timeouts=Timeouts(push=0.3)) as client:
        source = world.source(["One. ", 0.5, "Two."])
        report = await world.relay(source, sink_of(client, channel), coalescer=PassThrough(), retry=QUICK)

    (lost,) = report.undelivered
    assert (lost.text, lost.ambiguous) == ("One. ", True)
    assert isinstance(lost.error, AmbiguousDelivery if fault != "fail" else ServiceUnavailable)
    assert bubbles(fake) in (["One. ", "Two."], ["Two."])
    assert len(script.requests) == 2
    assert report.resent == 0


async def test_a_connection_that_cannot_be_made_is_tried_again(world, fake, server, channel):
    """Nothing was sent, so nothing can be there twice."""
    async with world.client(server) as client:
        sink = sink_of(client, channel)
        await world.relay(world.source(["One."]), sink)
        with server.refusing():
            report = await world.relay(world.source(["Two."]), sink, retry=Retry(attempts=2, wait_initial=0.01))
        assert not any(lost.ambiguous for lost in report.undelivered) or bubbles(fake) == ["One."]
        await world.relay(world.source(["Three."]), sink, retry=QUICK)

    assert bubbles(fake) == ["One.", "Three."]


@pytest.mark.parametrize(("messenger", "most"), [("sms", 765), ("open", 2000)])
async def test_no_message_is_longer_than_its_channel_takes(world, fake, server, messenger, most):
    """However much has gathered, in whichever script; the fake counts as the platform's languages do."""
    text = "".join(f"Sentence number {i} is about 😀 and 漢字。 " for i in range(150))
    async with world.client(server) as client:
        sink = client.messages.to("+13175550001", from_address="from", messenger=messenger)
        report = await world.relay(world.source([text]), sink)

    assert "".join(bubbles(fake)) == text
    assert not report.undelivered
    assert max(len(bubble) for bubble in bubbles(fake)) > most // 2


async def test_messages_count_against_the_rate_of_the_credential(world, fake, server, channel):
    """As pushes do: the bucket of the client is theirs together."""
    async with world.client(server) as client:
        await world.relay(world.source(["One."]), sink_of(client, channel))
        it = getattr(client, "it", client)

        assert it._limits._credential._full_at > it.push._now() - 1


async def test_nothing_secret_is_shown(world, fake, server, channel):
    """Neither text nor an address is in an error's report, or in a repr."""
    getattr(fake, channel).fail(400, message="No.")
    async with world.client(server) as client:
        sink = sink_of(client, channel)
        report = await world.relay(world.source(["sesame"]), sink)

    error = report.undelivered[0].error
    assert "sesame" not in shown(error)
    assert "+1317" not in shown(error) + repr(sink)


def test_a_turn_that_is_refused_shows_no_secret():
    """Neither the shared one, nor what was said."""
    body = json.dumps({"botId": 1, "inputMessage": {"text": "sesame-text"}})
    for headers, kind in (({"X": "sesame-other"}, AuthenticationError), ({"X": "sesame-secret"}, ParseError)):
        with pytest.raises(kind) as caught:
            BotTurn.from_request(body, headers, secret_header="X", secret="sesame-secret")
        assert "sesame" not in shown(caught.value)
        assert traceback.format_exception(caught.value)


async def test_bad_arguments_are_named(world, server):
    """With a hint where an option is misspelt."""
    async with world.client(server) as client:
        with pytest.raises(InvalidArgument, match="messenger must be one of"):
            client.messages.to("a", from_address="b", messenger="fax")
        with pytest.raises(InvalidArgument, match="from_adress is not an argument; did you mean from_address"):
            client.messages.to("a", from_adress="b", messenger="sms")
        with pytest.raises(InvalidArgument, match="turn must be BotTurn"):
            client.bot_replies.to("turn")


async def test_the_fake_refuses_what_the_service_would(world, fake, server):
    """Each field is checked; scripted answers and valid ones go to the log."""
    good = {"fromAddress": "a", "toAddress": "b", "toAddressMessengerType": "open", "textBody": "Hi"}
    wrong = [
        ({"toAddressMessengerType": "fax"}, "toAddressMessengerType"),
        ({"fromAddress": ""}, "fromAddress"),
        ({"toAddress": None}, "toAddress"),
        ({"toAddress": 1}, "toAddress"),
        ({"toAddressMessengerType": "webmessaging"}, "toAddress"),
        ({"toAddressMessengerType": "apple", "externalContactId": "c"}, "externalContactId"),
        ({"textBody": "a" * 2001}, "textBody"),
        ({"useExistingActiveConversation": "yes"}, "useExistingActiveConversation"),
    ]
    reply = {"botId": "b", "botSessionId": "s", "botState": "MoreData", "replyMessages": []}
    wrong_replies = [
        ({"botId": None}, "botId"),
        ({"languageCode": 1}, "languageCode"),
        ({"botState": "Done"}, "botState"),
        ({"replyMessages": "Hi"}, "replyMessages"),
        ({"replyMessages": [{"type": "Text", "text": ""}]}, "replyMessages[0]"),
        ({"errorInfo": {}}, "errorInfo"),
        ({"parameters": {"a": 1}}, "parameters"),
    ]
    headers = {"Authorization": f"Bearer {fake.issue_token()}"}
    messages = server.base_url + "/api/v2/conversations/messages/agentless"
    replies = server.base_url + "/api/v2/integrations/botconnectors/outgoing/messages"
    async with world.http_client() as http:

        async def post(url, body):
            answer = http.post(url, json=body, headers=headers)
            return await answer if hasattr(answer, "__await__") else answer

        for url, valid, cases in ((messages, good, wrong), (replies, reply, wrong_replies)):
            assert (await post(url, valid)).status_code == 202
            for changes, names in cases:
                answer = await post(url, {**valid, **changes})
                assert answer.status_code == 400
                assert [detail["fieldName"] for detail in answer.json()["details"]] == names.split(", ")

    assert (fake.sent_messages, fake.sent_bot_replies) == ([good], [reply])
    fake.clear()
    assert (fake.sent_messages, fake.sent_bot_replies) == ([], [])
