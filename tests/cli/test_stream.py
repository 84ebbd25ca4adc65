"""`stream`: text to read, or chunks for machines."""

from pathlib import Path

import pytest

from genesys_stream.testing import Cut, Say


def test_the_text_is_printed_as_it_is(run, credentials, fake):
    fake.completions.queue(Say(tokens=("Hello, ", "wörld", ".")))
    result = run("stream", "Hi")

    assert (result.code, result.out, result.err) == (0, "Hello, wörld.\n", "")
    assert fake.pushes == []


def test_half_a_surrogate_pair_never_reaches_stdout(run, credentials, fake):
    fake.completions.queue(Say(tokens=("a\ud83d", "\udc4bb\ud83d")))
    result = run("stream", "Hi")

    assert result.out == "a👋b\ufffd\n"


def test_chunks_are_printed_as_they_came(run):
    result = run("stream", "--sandbox", "--token-interval", "0", "--json", "Hi")

    assert result.code == 0
    assert {chunk["object"] for chunk in result.lines} == {"chat.completion.chunk"}
    assert result.lines[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_a_stream_that_breaks_has_printed_the_text_before_that(run, credentials, fake, arguments):
    fake.completions.queue(Say(tokens=("One ", "two"), faults=(Cut(2),)))
    result = run("stream", *arguments, "Hi")

    assert result.code == 1
    assert "One " in result.out
    assert result.out.endswith("\n")
    assert "correlation id" in result.err


def test_a_time_that_runs_out_before_the_first_text_is_unreachable(run, credentials, fake):
    fake.completions.queue(Say(first_after=60.0))
    result = run("stream", "--timeout", "0.2", "Hi")

    assert (result.code, result.out) == (5, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_is_reported_without_a_traceback(spawn, credentials):
    with Path("/dev/full").open("w") as disk:
        process = spawn("stream", "Hi", stdout=disk)
        code, told = process.wait(timeout=60), process.stderr.read().decode()

    assert code == 1
    assert told.startswith("genesys-stream: cannot write to stdout: ") and told.count("\n") == 1


def test_a_reader_who_leaves_stops_the_stream(spawn, credentials, fake):
    fake.completions.queue(Say(tokens=("word\n",) * 1000, every=0.02))
    process = spawn("stream", "Hi")
    process.stdout.readline()
    process.stdout.close()

    assert (process.wait(timeout=30), process.stderr.read()) == (141, b"")
