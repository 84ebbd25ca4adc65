"""`push`: one push and its receipt."""

import json

import pytest


def test_a_push_is_sent_and_its_receipt_printed(run, credentials, fake):
    result = run("push", "--target", "t", "--title", "T", "--body", "B", "--data", "k=v=w", "--data", "e=")

    assert result.code == 0
    assert fake.pushes == [{"targets": ["t"], "title": "T", "body": "B", "data": {"k": "v=w", "e": ""}}]
    assert "status:         queued\n" in result.out
    assert fake.push.requests[0].correlation_id in result.out


def test_a_receipt_may_be_json(run, credentials, fake):
    result = run("push", "--body", "B", "--json")

    assert json.loads(result.out)["targets_count"] == 1
    assert fake.pushes[0]["targets"] == ["phone-1"]


def test_a_dry_run_sends_nothing(run, credentials, fake):
    result = run("push", "--body", "B", "--dry-run")

    assert (result.code, fake.request_log) == (0, [])
    assert "dry_run" in result.out


@pytest.mark.parametrize("pairs", [("no-equals",), ("=v",), ("k=1", "k=2")])
def test_data_that_is_no_pair_is_refused(run, credentials, fake, pairs):
    result = run("push", "--body", "B", *(part for pair in pairs for part in ("--data", pair)))

    assert (result.code, fake.request_log) == (2, [])
    assert "--data" in result.err


@pytest.mark.parametrize(("status", "code"), [(400, 3), (404, 3), (401, 4), (403, 4), (500, 5)])
def test_a_push_that_is_refused_has_its_code(run, credentials, fake, status, code):
    fake.push.fail(status, times=None)
    result = run("push", "--body", "B")

    assert (result.code, result.out) == (code, "")
    assert fake.push.requests[-1].correlation_id in result.err


def test_a_push_that_is_too_large_is_refused_before_it_is_sent(run, credentials, fake):
    result = run("push", "--body", "x" * 5000)

    assert (result.code, fake.push.requests) == (2, [])
    assert "body" in result.err and "3584" in result.err


def test_a_push_that_is_too_large_for_the_service_is_reported(run, credentials, fake):
    fake.max_push_bytes = 100
    result = run("push", "--body", "x" * 100)

    assert (result.code, fake.pushes) == (3, [])
    assert "Maximum bytes: 100" in result.err and "send less" in result.err


def test_a_push_whose_answer_is_lost_is_not_sent_again(run, credentials, fake):
    fake.push.lose_answer()
    result = run("push", "--body", "B")

    assert result.code == 3
    assert len(fake.pushes) == 1
    assert "look at the phone" in result.err
