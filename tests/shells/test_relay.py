"""The relay against a served Genesys Cloud, in every world: each character once, in order, and in time."""

from itertools import pairwise

import pytest
from tests.shells.worlds import ASK

from genesys_stream import Delivery, Retry, StreamAssembler, TimeSize
from genesys_stream.testing import FakeGenesys, Handle

WORDS = [f"word{number} " for number in range(400)]
EMOJI = [
    "👩‍👩",
    "‍👧‍👦 ",
    "🇩",
    "🇪",
    "🇫🇷 ",
    "👍",
    "🏽 ",
    "e",
    "\u0301",
    "日本",
    "語の",
    "テキスト。",
    "中",
    "文",
    " ok ",
] * 27
PATIENT = Retry(attempts=8, wait_initial=0.05, wait_max=0.2)


def assembled(fake):
    """What the phone shows, after checking that each character came to it once, in order, and within its limit."""
    phone = StreamAssembler()
    for payload in fake.pushes:
        phone.receive(payload["data"])
    offset = 0
    for payload in fake.pushes:
        assert int(payload["data"]["offset"]) == offset
        offset += len(payload["data"]["llm_response"].encode())
    assert phone.complete and not phone.missing and not phone.suspect
    assert "".join(payload["data"]["llm_response"] for payload in fake.pushes) == phone.text
    return phone.text


async def relayed(world, server, **options):
    async with world.client(server) as client:
        stream = client.completions.stream(**ASK)
        return await world.relay(stream, client.push.to("device"), retry=PATIENT, **options)


def in_time(fake, every, tokens):
    """Compare with what the fake wrote down: when it was asked for the stream, and when each push came."""
    began = fake.completions.requests[0].at
    pushes = [entry.at for entry in fake.push.requests]
    ended = began + every * (tokens - 1)
    return {
        "first push after first token": pushes[0] - began,
        "last push after the end": pushes[-1] - ended,
        "longest gap": max((b - a for a, b in pairwise(pushes)), default=0.0),
        "pushes": len(pushes),
    }


MIXED = [token for pair in zip(WORDS, EMOJI, strict=False) for token in pair][:400]


class TestOnTime:
    @pytest.mark.parametrize(
        "said",
        [
            pytest.param(WORDS[:60], id="60 words"),
            pytest.param(EMOJI[:60], id="60 pieces of emoji and CJK"),
            pytest.param(MIXED, id="400 of both", marks=pytest.mark.slow),
        ],
    )
    async def test_each_character_once_in_order_and_in_time(self, world, said, record_property):
        """Tokens 20 ms apart are at the phone within the window, the last ones as soon as the stream ends."""
        bounds = {
            # The window, and as much again for a machine that is busy with other things.
            "first push after first token": 0.2 + 0.2,
            "last push after the end": 0.4,
            "longest gap": 0.2 + 0.4,
            # One push for each window, and not one for each token.
            "pushes": len(said) * 0.02 / 0.2 + 2,
        }
        for attempt in range(5):
            fake = FakeGenesys()
            fake.completions.say(said, every=0.02)
            with fake.serve() as server:
                report = await relayed(world, server, coalescer=TimeSize(0.2, 500))

            assert "".join(said) == assembled(fake) == report.completion.text == report.delivered_text
            assert (report.state, report.undelivered, report.resent) == ("complete", (), 0)
            assert fake.pushes[-1]["data"]["reason"] == "stop"
            figures = in_time(fake, 0.02, len(said))
            record_property("figures", {name: round(value, 3) for name, value in figures.items()})
            print(world, attempt, len(said), {name: round(value, 3) for name, value in figures.items()})
            late = {name: figures[name] for name, bound in bounds.items() if figures[name] > bound}
            if not late:
                break  # a busy machine is late by chance, and a fault every time
        assert late == {}

    async def test_silence_does_not_keep_text_back(self, world, fake, server):
        """What was said before the model pauses is pushed while it pauses."""
        fake.completions.stall(1.5, after_events=3, text=["Hello, ", "world", ", again."])

        report = await relayed(world, server, coalescer=TimeSize(0.1, 500))

        first, last = fake.push.requests[0], fake.push.requests[-1]
        assert assembled(fake) == "Hello, world, again."
        assert fake.pushes[0]["data"]["llm_response"] == "Hello, world"
        assert last.at - first.at > 0.3
        assert report.state == "complete"


class TestMishaps:
    """Whatever happens on the way, all of the text arrives, and nothing twice at the assembler."""

    async def test_token_that_dies_in_the_middle(self, world, fake, server):
        """A push that is refused for its token is sent with another one, and the stream goes on."""
        said = WORDS[:40]
        fake.completions.say(said, every=0.02)
        revoked = []

        def revoke_once(event):
            if isinstance(event, Delivery) and not revoked:
                revoked.append(event)
                fake.revoke_tokens()

        report = await relayed(world, server, coalescer=TimeSize(0.1, 500), on_event=revoke_once)

        assert "".join(said) == assembled(fake)
        assert [entry.status for entry in fake.push.requests if entry.status != 202] == [401]
        assert len(fake.issued_tokens) == 2
        assert (report.state, report.undelivered, report.resent) == ("complete", (), 0)

    @pytest.mark.parametrize("retry_after", [None, 0.3], ids=["without Retry-After", "with Retry-After"])
    async def test_burst_of_429(self, world, fake, server, retry_after):
        """Text that a rate limit holds back is sent together when it may be."""
        said = WORDS[:40]
        fake.completions.say(said, every=0.02)
        fake.push.rate_limit(retry_after, times=3)

        report = await relayed(world, server, coalescer=TimeSize(0.1, 500))

        assert "".join(said) == assembled(fake)
        statuses = [entry.status for entry in fake.push.requests]
        assert statuses[:3] == [429] * 3
        assert {202} == set(statuses[3:])
        assert (report.state, report.undelivered, report.resent) == ("complete", (), 0)
        if retry_after:
            held = [b.at - a.at for a, b in pairwise(fake.push.requests[:4])]
            assert min(held) >= retry_after
            assert report.held_seconds >= 3 * retry_after

    async def test_one_503(self, world, fake, server):
        """A service that is down for a moment costs nothing but that moment."""
        said = WORDS[:40]
        fake.completions.say(said, every=0.02)
        fake.push.queue(*[Handle()] * 2)
        fake.push.fail(503)

        report = await relayed(world, server, coalescer=TimeSize(0.1, 500))

        assert "".join(said) == assembled(fake)
        assert [entry.status for entry in fake.push.requests][:4] == [202, 202, 503, 202]
        assert (report.state, report.undelivered, report.resent) == ("complete", (), 0)

    @pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
    @pytest.mark.parametrize("which", ["the first", "the second", "the final one"])
    async def test_lost_answer(self, world, fake, server, reset, which):
        """A push whose answer is lost is sent again, byte by byte the same, and counted."""
        said = WORDS[:30]
        fake.completions.say(said, every=0.02)
        fake.push.queue(*[Handle()] * ["the first", "the second"].index(which) if which != "the final one" else [])
        if which == "the final one":
            fake.completions.clear()
            fake.completions.say(said)
        fake.push.lose_answer(reset=reset)

        report = await relayed(world, server, coalescer=TimeSize(0.1, 5000))

        lost = next(index for index, entry in enumerate(fake.push.requests) if entry.status is None)
        assert fake.push.requests[lost].body == fake.push.requests[lost + 1].body
        assert (report.state, report.undelivered, report.resent) == ("complete", (), 1)
        phone = StreamAssembler()
        for payload in fake.pushes:
            phone.receive(payload["data"])
        assert phone.complete
        assert "".join(said) == phone.text == report.delivered_text
        seqs = [payload["data"]["seq"] for payload in fake.pushes]
        assert len(seqs) == len(set(seqs)) + 1
        bodies = [entry.body for entry in fake.push.requests]
        assert len(bodies) == len(set(bodies)) + 1
        assert (which == "the final one") == (len(set(bodies)) == 1)

    async def test_all_at_once(self, world, fake, server):
        """A dead token, a burst of 429, a 503 and a lost answer in one stream."""
        said = EMOJI[:60]
        fake.completions.say(said, every=0.02)
        fake.push.rate_limit(None)
        fake.push.lose_answer()
        fake.push.queue(Handle())
        fake.push.fail(503)
        fake.push.rate_limit(0.1)
        told = []

        def revoke_once(event):
            told.append(event)
            if isinstance(event, Delivery) and not any(isinstance(earlier, Delivery) for earlier in told[:-1]):
                fake.revoke_tokens()

        report = await relayed(world, server, coalescer=TimeSize(0.05, 500), on_event=revoke_once)

        phone = StreamAssembler()
        for payload in fake.pushes:
            phone.receive(payload["data"])
        assert phone.complete
        assert "".join(said) == phone.text == report.delivered_text
        assert (report.state, report.undelivered, report.resent) == ("complete", (), 1)
        assert report is told[-1]
