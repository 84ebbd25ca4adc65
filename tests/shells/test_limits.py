"""Relays that share rate limits, over a real socket: ten on one credential, and some beside a phone that waits."""

import functools

import anyio
from tests.shells.worlds import ASK

from genesys_stream import AsyncClient, Profile, Rate, Retry, StreamAssembler, relay
from genesys_stream.testing import FakeGenesys

RELAYS = 10
WORDS = [f"word{number} " for number in range(80)]

# 30 requests in 6 s, as 300 in 60 s: GENESYS, Rate(40, 4.0), leaves room for ten completions and a few more; at a tenth
# of the scale the ten completions are a third, and 4 pushes at once and 2.4 a second leave two requests unused.
LIMIT = (30, 6.0)
PUSHES = Rate(4, 2.4)
PHONE = Profile(Rate(10, 1.36), window=0.05)


def share(fake, words, *, every, profile, push_rate):
    """Relay the same answer to ten phones at the same time, and look at each of them; returns the reports."""
    reports = {}
    fake.completions.say(words, every=every, times=None)

    async def one(client, phone):
        stream = client.completions.stream(**ASK)
        retry = Retry(attempts=8, wait_max=0.5)
        reports[phone] = await relay(stream, client.push.to(phone, profile=profile), retry=retry)

    async def scenario():
        with fake.serve() as server:
            ids = {"client_id": "client-id", "client_secret": "client-secret"}
            urls = {"base_url": server.base_url, "login_url": server.base_url}
            async with AsyncClient(**ids, **urls, push_rate=push_rate) as client:
                async with anyio.create_task_group() as group:
                    for number in range(RELAYS):
                        group.start_soon(one, client, f"phone {number}")

    anyio.run(scenario)
    assert len(reports) == RELAYS
    for phone, report in reports.items():
        screen = StreamAssembler()
        for payload in fake.pushes:
            if payload["targets"] == [phone]:
                screen.receive(payload["data"])
        assert screen.complete and screen.text == "".join(words)
        assert not report.undelivered
    return reports.values()


def refusals(fake):
    return [entry for entry in fake.push.requests if entry.status == 429]


def test_within_the_budget_nothing_is_refused_and_nothing_is_lost():
    """All of the text arrives, the relays take turns, and the service never has to say no."""
    fake = FakeGenesys(rate_limit=LIMIT)
    reports = share(fake, WORDS, every=0.05, profile=PHONE, push_rate=PUSHES)

    assert refusals(fake) == []
    assert sum(report.paced_seconds for report in reports) > 0
    assert all(report.held_seconds == 0 for report in reports)


def test_without_a_budget_the_service_says_no_and_nothing_is_lost():
    """The text waits out each refusal, and goes out together."""
    fake = FakeGenesys(rate_limit=(30, 1.5))
    reports = share(fake, WORDS[:40], every=0.02, profile=None, push_rate=None)

    assert refusals(fake)
    assert all(report.paced_seconds == 0 for report in reports)
    assert sum(report.held_seconds for report in reports) > 0


async def test_a_phone_that_waits_delays_no_other_phone(world, fake, server):
    """Beside a phone whose burst is spent, the relays to three others finish while the one to it has not."""
    fake.completions.say(WORDS[:20], every=0.01, times=None)
    finished = []

    async def one(client, phone, profile):
        stream = client.completions.stream(**ASK)
        report = await world.relay(stream, client.push.to(phone, profile=profile))
        assert report.delivered_text == "".join(WORDS[:20])
        finished.append(phone)

    async with world.client(server, push_rate=Rate(4, 50.0)) as client:
        slow = Profile(Rate(1, 0.5), window=0.02)
        await world.relay(world.source(["spends the burst"]), client.push.to("slow", profile=slow))
        fast = Profile(Rate(100, 50.0), window=0.02)
        phones = [f"fast {number}" for number in range(3)]
        await world.together(
            *(functools.partial(one, client, phone, slow if phone == "slow" else fast) for phone in ["slow", *phones])
        )

    assert (sorted(finished[:3]), finished[3:]) == (phones, ["slow"])


async def test_two_relays_on_one_sink_are_both_paced(world, fake, server):
    """Together they stay within the device's rate."""
    fake.completions.say(WORDS[:40], every=0.01, times=None)
    rate = Rate(2, 10.0)

    async with world.client(server) as client:
        sink = client.push.to("phone", profile=Profile(rate, window=0.01))

        async def one():
            return await world.relay(client.completions.stream(**ASK), sink)

        reports = await world.together(one, one)

    assert [report.delivered_text for report in reports] == ["".join(WORDS[:40])] * 2
    assert all(report.paced_seconds > 0 for report in reports)
    times = sorted(entry.at for entry in fake.push.requests)
    # A push may take up to 0.2 s longer to arrive than another one.
    assert len(times) <= rate.burst + (times[-1] - times[0] + 0.2) * rate.per_second
