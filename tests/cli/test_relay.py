"""`relay`: what a user sees, what a script reads, and what the phone gets."""

import os
import re
from pathlib import Path

import pytest

from genesys_stream import StreamAssembler
from genesys_stream.testing import Cut, ErrorEvent, Say

from .conftest import SECRET

QUICK = ("relay", "--sandbox", "--token-interval", "0")


def assembled_from_pushes(fake):
    assembler = StreamAssembler()
    for payload in fake.pushes:
        assembler.receive(payload)
    return assembler


def test_the_sandbox_proves_that_the_phone_has_the_text(run):
    result = run(*QUICK, "How does Go stream HTTP?")

    assert (result.code, result.err) == (0, "")
    assert re.search(r"^push 1: \d+ bytes, .*\"Go", result.out, re.MULTILINE)
    assert re.search(r"^phone: +\d+ payloads? makes? 571 characters, the same text$", result.out, re.MULTILINE)
    assert re.search(r"^undelivered: nothing$", result.out, re.MULTILINE)
    assert "\x1b" not in result.out


def test_one_payload_makes_what_many_make(run):
    """The proof's line agrees with its number."""
    result = run(*QUICK, "--coalescer", "final-only", "hi")

    assert re.search(r"^phone: +1 payload makes \d+ characters, ", result.out, re.MULTILINE)


@pytest.mark.parametrize("strategy", ["time-size", "sentence", "pass-through"])
def test_json_lines_add_up(run, strategy):
    """Text pieces, pushes and the report all tell the same text."""
    result = run(*QUICK, "--json", "--coalescer", strategy, "hi")

    report = result.report
    assert result.code == 0
    assert "".join(line["text"] for line in result.events("text")) == report["text"]
    assert "".join(line["text"] for line in result.events("push")) == report["text"]
    assert [line["seq"] for line in result.events("push")] == list(range(1, report["pushes"] + 1))
    assert sum(line["bytes"] for line in result.events("push")) == report["bytes"] == len(report["text"].encode())
    assert report["phone"] == {"text": report["text"], "payloads": report["pushes"], "agrees": True}
    assert (report["state"], report["finish_reason"], report["undelivered"]) == ("complete", "stop", 0)
    assert report["first_token_seconds"] > 0


@pytest.mark.parametrize(
    ("options", "sizes"), [(("--max-bytes", "50", "--window", "60"), range(25, 51)), (("--window", "0"), range(1, 51))]
)
def test_size_and_window_shape_the_pushes(run, options, sizes):
    # At a pace that leaves the sender time to send before the end, even on a busy machine.
    result = run("relay", "--sandbox", "--token-interval", "0.01", "--json", *options, "hi")

    assert result.events("push")[0]["bytes"] in sizes


def test_an_option_that_a_coalescer_does_not_have_is_refused(run):
    result = run(*QUICK, "--coalescer", "pass-through", "--window", "1", "hi")

    assert result.code == 2
    assert "pass-through has no option --window" in result.err


def test_a_size_that_no_character_fits_is_refused(run):
    result = run(*QUICK, "--max-bytes", "1", "hi")

    assert result.code == 2
    assert "max_bytes" in result.err


def test_the_model_is_asked_what_the_command_line_says(run, credentials, fake):
    result = run(
        "relay", "--model", "m-1", "--system", "Be brief.", "--title", "News", "--target", "a", "--target", "b", "Hi"
    )

    asked, sent = fake.completions.requests[0].json, fake.pushes[-1]
    assert result.code == 0
    assert asked["model"] == "m-1"
    assert asked["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert (sent["targets"], sent["title"]) == (["a", "b"], "News")
    assert "phone:" not in result.out


def test_the_phone_comes_from_the_environment(run, credentials, fake):
    run("relay", "Hi")

    assert fake.pushes[0]["targets"] == ["phone-1"]


def test_without_a_phone_nothing_is_asked(run, credentials, environment, fake):
    environment.delenv("MOBILE_DEVICE_TOKEN")
    result = run("relay", "Hi")

    assert result.code == 2
    assert "MOBILE_DEVICE_TOKEN" in result.err
    assert fake.request_log == []


@pytest.mark.parametrize("arguments", [(), ("-",)])
def test_the_prompt_may_come_from_stdin(run, credentials, fake, arguments):
    result = run("relay", *arguments, stdin="\ufeffWas ist größer?\n".encode())

    assert result.code == 0
    assert fake.completions.requests[0].json["messages"][-1]["content"] == "Was ist größer?"


def test_the_prompt_may_come_from_a_file(run, credentials, fake, tmp_path):
    path = tmp_path / "prompt.txt"
    path.write_text("First line.\nSecond: ä\n", encoding="utf-8")
    result = run("relay", "--file", str(path))

    assert result.code == 0
    assert fake.completions.requests[0].json["messages"][-1]["content"] == "First line.\nSecond: ä"


@pytest.mark.parametrize(
    ("arguments", "stdin", "problem"),
    [
        ((), None, "no prompt"),
        ((), b"  \n", "the prompt is empty"),
        (("-",), b"\xff\xfe", "not UTF-8"),
        (("Hi", "--file", __file__), None, "not both"),
        (("--file", "/no/such/file"), None, "does not exist"),
        (("bad \udcff byte",), None, "not UTF-8"),
    ],
)
def test_a_prompt_that_is_none_is_reported(run, credentials, arguments, stdin, problem):
    result = run("relay", *arguments, stdin=stdin)

    assert result.code == 2
    assert problem in result.err


def test_a_dry_run_sends_nothing(run, credentials, fake):
    result = run("relay", "--dry-run", "--json", "Hi")

    assert result.code == 0
    assert fake.pushes == []
    assert {line["receipt"]["status"] for line in result.events("push")} == {"dry_run"}


def test_a_stream_that_breaks_delivers_the_text_before_that(run, credentials, fake):
    fake.completions.queue(Say(tokens=("One ", "two ", "three."), faults=(Cut(3),)))
    result = run("relay", "--json", "Hi")

    phone = assembled_from_pushes(fake)
    assert result.code == 1
    assert result.report["state"] == "error"
    assert result.report["error"]["type"] in {"StreamTruncated", "ConnectionLost"}
    assert (phone.text, phone.state, phone.complete) == ("One two ", "error", True)
    assert "correlation id" in result.err
    assert result.err.count("\n") <= 2


def test_an_error_inside_the_stream_is_reported_on_stderr(run, credentials, fake):
    fake.completions.queue(
        Say(tokens=("One ", "two"), faults=(ErrorEvent(2, {"message": "content filter", "code": 400}),))
    )
    result = run("relay", "Hi")

    assert result.code == 1
    assert "content filter" in result.err
    assert "state:       error" in result.out


def test_text_that_the_push_service_refuses_is_undelivered(run, credentials, fake):
    fake.push.fail(400, times=None)
    result = run("relay", "--json", "Hi")

    lost = result.events("lost")
    assert result.code == 3
    assert "".join(line["text"] for line in lost) == result.report["text"] == result.report["undelivered_text"]
    assert lost[0]["error"]["status"] == 400
    assert "could not be delivered" in result.err
    assert fake.push.requests[0].correlation_id in result.err


def test_a_loss_is_one_line_on_stderr(spawn, finish, credentials, fake):
    """The library's own warning is for programs; the command's message and summary say the same."""
    fake.push.fail(400, times=None)
    result = finish(spawn("relay", "Hi"))

    assert result.code == 3
    assert result.err.startswith("genesys-stream: text could not be delivered: ") and result.err.count("\n") == 1


def test_lines_tell_of_losses_too(run, credentials, fake):
    fake.push.fail(400, times=None)
    result = run("relay", "Hi")

    assert re.search(r"^push 1: \d+ bytes? UNDELIVERED, BadRequest: ", result.out, re.MULTILINE)
    assert re.search(r"^undelivered: \d+ push", result.out, re.MULTILINE)


def test_a_push_that_is_throttled_is_sent_again(run, credentials, fake):
    fake.push.rate_limit(retry_after=0.05)
    result = run("relay", "--json", "Hi")

    assert result.code == 0
    assert result.report["held_seconds"] > 0
    assert assembled_from_pushes(fake).text == result.report["text"]


def test_pushes_stay_within_the_budget(run, credentials, fake):
    """However often a strategy would push, no more goes out than the service is known to bear."""
    said = [f"word{number} " for number in range(100)]
    fake.completions.say(said, every=0.005)
    result = run("relay", "--json", "--coalescer", "pass-through", "Hi")

    assert (result.code, assembled_from_pushes(fake).text) == (0, "".join(said))
    assert len(fake.pushes) < 60  # 40 at once, and 4 more each second
    assert result.report["paced_seconds"] > 0


def test_without_a_text_nothing_is_pushed_and_nothing_reported(run, credentials, fake):
    """The cause is printed at once: neither a report of zeros nor a push service that is down comes before it."""
    fake.completions.fail(500, times=2)
    fake.push.fail(503, times=None)
    lines, objects = run("relay", "Hi"), run("relay", "--json", "Hi")

    assert (lines.code, objects.code, fake.push.requests) == (5, 5, [])
    assert lines.out.startswith("relaying from ") and lines.out.count("\n") == 1
    assert "(500" in lines.err
    assert [line["event"] for line in objects.lines] == ["error"]
    assert (objects.lines[0]["error"]["status"], objects.lines[0]["error"]["type"]) == (500, "ServerError")


def test_a_push_that_fails_for_a_while_is_sent_again(run, credentials, fake):
    fake.completions.say("One")
    fake.push.fail(503, times=2)
    result = run("relay", "--json", "Hi")

    assert result.code == 0
    assert len(fake.push.requests) > 2
    assert result.report["held_seconds"] > 0


def test_an_answer_without_text_is_complete(run, credentials, fake):
    fake.completions.say([])
    result = run("relay", "--json", "Hi")

    assert (result.code, result.report["state"], result.report["text"]) == (0, "complete", "")


def test_all_that_is_missing_is_named_at_once(run, environment):
    """`relay hi` with no setup at all."""
    result = run("relay", "hi")

    assert result.code == 2
    for name in ("GENESYSCLOUD_OAUTHCLIENT_ID", "GENESYSCLOUD_OAUTHCLIENT_SECRET", "MOBILE_DEVICE_TOKEN", "--sandbox"):
        assert name in result.err


def test_a_refused_access_token_is_not_blamed_on_id_and_secret(run, credentials, environment):
    environment.setenv("GENESYSCLOUD_ACCESS_TOKEN", "expired")
    result = run("relay", "Hi")

    assert result.code == 4
    assert "check GENESYSCLOUD_ACCESS_TOKEN" in result.err
    assert "SECRET" not in result.err


def test_credentials_that_are_wrong_are_distinguished(run, credentials, environment):
    environment.setenv("GENESYSCLOUD_OAUTHCLIENT_SECRET", "wrong")
    secret = run("relay", "Hi")
    environment.setenv("GENESYSCLOUD_OAUTHCLIENT_ID", "nobody")
    client_id = run("relay", "Hi")

    assert (secret.code, client_id.code) == (4, 4)
    assert "GENESYSCLOUD_OAUTHCLIENT_SECRET" in secret.err
    assert "GENESYSCLOUD_OAUTHCLIENT_ID" in client_id.err
    assert "GENESYSCLOUD_REGION" in client_id.err


def test_a_missing_permission_is_reported(run, credentials, fake):
    fake.completions.fail(403)
    result = run("relay", "Hi")

    assert result.code == 4
    assert "role" in result.err


@pytest.mark.parametrize(("status", "code"), [(400, 1), (404, 1), (500, 5)])
def test_a_service_that_says_no_has_its_code(run, credentials, fake, status, code):
    fake.completions.fail(status)
    result = run("relay", "Hi")

    assert result.code == code
    assert fake.completions.requests[0].correlation_id in result.err


@pytest.mark.parametrize("status", [400, 401, 403])
def test_text_that_cannot_be_delivered_has_its_code(run, credentials, fake, status):
    """Whatever the service has against the pushes, the answer was said and is not on the phone."""
    fake.push.fail(status, times=None)

    assert run("relay", "Hi").code == 3


def test_a_total_time_that_runs_out_delivers_the_text_so_far(run, credentials, fake):
    fake.completions.queue(Say(tokens=("One ", "two"), every=60.0))
    result = run("relay", "--timeout", "0.3", "--json", "Hi")

    assert result.code == 1
    assert assembled_from_pushes(fake).text == "One "
    assert "--timeout" in result.err


def test_the_sandbox_takes_no_other_place(run):
    result = run("relay", "--sandbox", "--region", "eu-west-1", "Hi")

    assert result.code == 2
    assert "--sandbox" in result.err


def test_other_paths_are_used(run, credentials, environment, fake):
    fake.completions.fail(404)
    result = run("relay", "--completions-path", "/v1/chat/completions", "Hi")

    assert result.code == 1
    assert fake.completions.requests[0].path == "/v1/chat/completions"
    assert "--completions-path" in result.err


def test_an_unsafe_address_is_refused_with_the_option_that_allows_it(run, credentials):
    result = run("relay", "--base-url", "http://gateway.example", "Hi")

    assert result.code == 2
    assert "--allow-insecure-http" in result.err


@pytest.mark.parametrize(
    "arguments", [("relay", "-v", "--json", "Hi"), ("-v", "token"), ("push", "-v", "--body", "b"), ("doctor", "-v")]
)
def test_no_secret_is_ever_printed(run, credentials, fake, arguments):
    """Not even with -v, which does say what was asked."""
    check_that_no_secret_is_in(run(*arguments), fake)


def test_no_secret_is_ever_printed_by_a_process_of_its_own(spawn, finish, credentials, fake):
    check_that_no_secret_is_in(finish(spawn("-v", "relay", "Hi")), fake)


def check_that_no_secret_is_in(result, fake):
    told = result.out + result.err

    assert result.code == 0
    assert "POST http://127.0.0.1" in result.err
    assert not [secret for secret in (SECRET, *fake.issued_tokens, "Basic", "Bearer") if secret in told]


def test_a_pipe_gets_no_control_codes_and_utf8(spawn, finish, credentials, fake, environment):
    environment.setenv("FORCE_COLOR", "1")
    environment.setenv("PYTHONIOENCODING", "utf-8")
    fake.completions.queue(Say(tokens=("Grüße \x1b[31m", "👋🏽")))
    result = finish(spawn("relay", "--coalescer", "final-only", "Hi"))

    assert result.code == 0
    assert "\x1b" not in result.out
    assert r"Grüße \u001b[31m👋🏽" in result.out


def test_an_encoding_that_cannot_say_it_does_not_stop_the_relay(spawn, finish, credentials, fake, environment):
    environment.setenv("PYTHONIOENCODING", "ascii")
    fake.completions.queue(Say(tokens=("Grüße",)))
    result = finish(spawn("relay", "Hi"))

    assert result.code == 0
    assert assembled_from_pushes(fake).text == "Grüße"


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_reader_who_leaves_stops_the_relay(spawn, credentials, fake, options):
    """`genesys-stream relay ... | head -1`: the model is stopped, and the phone gets the text so far and its end."""
    fake.completions.queue(Say(tokens=("word ",) * 1000, every=0.05))
    process = spawn("relay", *options, "--coalescer", "pass-through", "Hi")
    process.stdout.readline()
    process.stdout.close()

    assert process.wait(timeout=30) == 141
    phone = assembled_from_pushes(fake)
    assert (phone.state, phone.complete) == ("cancelled", True)
    assert 0 < len(phone.text) < 5000
    assert process.stderr.read() == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_does_not_stop_the_relay(spawn, credentials, fake):
    """The phone gets all of it, and one line on stderr says what became of the output."""
    fake.completions.say("One two three.")
    with Path("/dev/full").open("w") as disk:
        process = spawn("relay", "Hi", stdout=disk)
        code, told = process.wait(timeout=60), process.stderr.read().decode()

    assert (code, assembled_from_pushes(fake).text) == (0, "One two three.")
    assert told.startswith("genesys-stream: cannot write to stdout: ") and told.count("\n") == 1


@pytest.mark.skipif(os.name != "posix", reason="needs a child that closes its stdout")
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_without_a_stdout_the_phone_still_gets_it(spawn, credentials, fake, options):
    """`genesys-stream relay ... >&-`, as a service may be started."""
    fake.completions.say("One two three.")
    process = spawn("relay", *options, "Hi", preexec_fn=lambda: os.close(1))

    assert (process.wait(timeout=60), process.stderr.read()) == (0, b"")
    assert assembled_from_pushes(fake).text == "One two three."
