"""Ctrl-C and SIGTERM: what was said is delivered, the summary printed, and no traceback."""

import builtins
import os
import re
import signal
import time

import pytest

from genesys_stream import cli

pytestmark = pytest.mark.skipif(os.name == "nt", reason="a process cannot send itself Ctrl-C there")

STOPS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


def read_until(process, pattern):
    """Read stdout up to the line that matches."""
    read = ""
    while not re.search(pattern, read):
        line = process.stdout.readline().decode()
        assert line, read
        read += line
    return read


@pytest.mark.parametrize(("stop", "code"), STOPS)
def test_a_relay_that_is_stopped_delivers_the_text_so_far(spawn, finish, credentials, fake, stop, code):
    fake.completions.say(["word "] * 1000, every=0.02)
    process = spawn("relay", "--json", "Hi")
    before = read_until(process, '"event":"push"')
    process.send_signal(stop)
    result = finish(process, before)

    report, last = result.report, fake.pushes[-1]["data"]
    assert result.code == code
    assert "Traceback" not in result.err
    assert "the text so far is delivered" in result.err
    assert (report["state"], report["undelivered"]) == ("cancelled", 0)
    assert "".join(line["text"] for line in result.events("text")) == report["text"]
    assert "".join(line["text"] for line in result.events("push")) == report["text"]
    assert last["state"] == "cancelled"
    assert last["total"] == str(len(report["text"].encode()))


def test_the_sandbox_proves_it_after_ctrl_c_as_well(spawn, finish):
    process = spawn("relay", "--sandbox", "Hi")
    before = read_until(process, r"(?m)^push 1: ")
    process.send_signal(signal.SIGINT)
    result = finish(process, before)

    assert result.code == 130
    assert re.search(r"^state: +cancelled$", result.out, re.MULTILINE)
    assert re.search(r"^phone: .*, the same text$", result.out, re.MULTILINE)
    assert "Traceback" not in result.err


def test_a_relay_that_is_stopped_before_the_first_text_just_stops(spawn, finish, credentials, fake):
    fake.completions.say("late", first_after=60)
    process = spawn("relay", "Hi")
    wait_until(lambda: fake.completions.requests)
    process.send_signal(signal.SIGINT)
    result = finish(process)

    assert (result.code, fake.pushes) == (130, [])
    assert "stopped before the first text" in result.err and "Traceback" not in result.err


def test_text_that_is_held_back_when_the_grace_period_ends_is_accounted_for(spawn, finish, credentials, fake):
    """A second Ctrl-C ends the grace period at once."""
    fake.completions.say(["word "] * 1000, every=0.02)
    fake.push.rate_limit(retry_after=60, times=None)
    process = spawn("relay", "--json", "Hi")
    wait_until(lambda: fake.push.requests)
    process.send_signal(signal.SIGINT)
    wait_until(lambda: not fake.open_answers)  # the stream is closed once the first one was heard
    process.send_signal(signal.SIGINT)
    result = finish(process)

    assert result.code == 130
    assert result.report["undelivered_text"] == result.report["text"] != ""
    assert "not all" in result.err


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.parametrize(("stop", "code"), STOPS)
def test_a_stream_that_is_stopped_just_stops(spawn, finish, credentials, fake, stop, code):
    fake.completions.say(["line\n"] * 1000, every=0.02)
    process = spawn("stream", "Hi")
    before = read_until(process, "line\n")
    process.send_signal(stop)
    result = finish(process, before)

    assert result.code == code
    assert result.err == ""
    assert set(result.out.split()) == {"line"}


@pytest.mark.parametrize(("stop", "code"), STOPS)
def test_a_push_that_is_stopped_may_have_been_delivered(spawn, finish, credentials, fake, stop, code):
    """Its answer was awaited, and nobody knows any more; so much is said."""
    fake.push.late(60)
    process = spawn("push", "--body", "B")
    wait_until(lambda: fake.push.requests)
    process.send_signal(stop)
    result = finish(process)

    assert (result.code, result.out) == (code, "")
    assert "may have been delivered" in result.err and "look at the phone" in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize("wanted", ["io", "pathlib", "_app"])
def test_ctrl_c_while_the_command_is_imported(environment, capsys, wanted):
    """Whatever is imported when it comes, there is no traceback."""
    imported = builtins.__import__

    def stop(name, *arguments):
        if name == wanted:
            raise KeyboardInterrupt
        return imported(name, *arguments)

    with environment.context() as patch:
        patch.setattr(builtins, "__import__", stop)
        code = cli.main(["--version"])

    assert (code, *capsys.readouterr()) == (130, "", "")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_sandbox_serves_until_it_is_stopped(spawn, finish, environment, run, stop):
    """The lines that it prints point the other commands at it."""
    process = spawn("sandbox", "--token-interval", "0", "--expires-in", "100", "--rate-limit", "100/60")
    before = read_until(process, "MOBILE_DEVICE_TOKEN=")
    for name, value in re.findall(r"^export (\w+)=(\S+)$", before, re.MULTILINE):
        environment.setenv(name, value)

    token, relayed = run("token"), run("relay", "--json", "Hi")
    process.send_signal(stop)
    result = finish(process)

    assert token.code == 0
    assert "good for 1 min 40 s" in token.out
    assert (relayed.code, relayed.report["state"]) == (0, "complete")
    assert result.code == 0
    assert "Traceback" not in result.err
