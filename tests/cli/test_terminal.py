"""The live view, on a terminal that is one."""

import os
import re
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("there are no pseudo-terminals there", allow_module_level=True)

import pty

COLOUR = re.compile(r"\x1b\[[0-9;]*(?:3[0-9]|4[0-9]|9[0-7])[0-9;]*m")


@pytest.fixture
def on_a_terminal(spawn, environment):
    """Run the command on a pseudo-terminal, and give what the terminal got."""
    environment.setenv("TERM", "xterm-256color")
    environment.setenv("COLUMNS", "70")
    environment.setenv("LINES", "20")

    def call(*arguments):
        ours, theirs = pty.openpty()
        process = spawn(*arguments, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        got = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # how Linux tells that the other side was closed
                break
            if not piece:
                break
            got += piece
        os.close(ours)
        return process.wait(timeout=60), got.decode()

    return call


def test_the_text_grows_and_the_summary_stays(on_a_terminal):
    code, got = on_a_terminal("relay", "--sandbox", "--token-interval", "0.005", "How does Go stream HTTP?")

    live, _, rest = got.rpartition("\x1b[?25h")
    assert code == 0
    assert live.count("╭") > 1
    assert "Go streams HTTP without buffering the whole message." in rest
    assert "exactly what was said" in rest
    assert re.search(r"complete", rest)


def test_no_color_is_honoured(on_a_terminal, environment, credentials, fake):
    fake.push.fail(400, times=None)
    code, colourful = on_a_terminal("relay", "Hi")
    environment.setenv("NO_COLOR", "1")
    other_code, plain = on_a_terminal("relay", "Hi")

    assert (code, other_code) == (3, 3)
    assert COLOUR.search(colourful)
    assert not COLOUR.search(plain)


def test_a_dumb_terminal_gets_lines(on_a_terminal, environment):
    environment.setenv("TERM", "dumb")
    code, got = on_a_terminal("relay", "--sandbox", "--token-interval", "0", "Hi")

    assert code == 0
    assert "\x1b" not in got
    assert "push 1: " in got


@pytest.mark.parametrize("command", ["relay", "stream"])
def test_a_model_cannot_steer_the_terminal(on_a_terminal, credentials, fake, command):
    fake.completions.say(["before\x1b]0;title\x07", "after"])
    code, got = on_a_terminal(command, "Hi")

    assert code == 0
    assert "\x1b]" not in got
    assert "before\ufffd]0;title\ufffdafter" in got


def test_a_terminal_without_a_prompt_is_not_waited_for(on_a_terminal, credentials):
    code, got = on_a_terminal("stream")

    assert code == 2
    assert "no prompt" in got


def test_the_log_goes_above_the_drawing(on_a_terminal):
    code, got = on_a_terminal("relay", "-v", "--sandbox", "--token-interval", "0.005", "Hi")

    assert code == 0
    assert "notifications/push: 202" in got
