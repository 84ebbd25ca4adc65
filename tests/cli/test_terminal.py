"""The live view, on a terminal that is one."""

import os
import re
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("there are no pseudo-terminals there", allow_module_level=True)

import pty

COLOUR = re.compile(r"\x1b\[[0-9;]*(?:3[0-9]|4[0-9]|9[0-7])[0-9;]*m")


def screen(got):
    """Play what a terminal got, and return the lines that stay: enough of a terminal for what rich sends."""
    lines, row, column = [""], 0, 0
    for text, amount, command in re.findall(r"([^\x1b]+)|\x1b\[\??([0-9;]*)([A-Za-z])", got):
        if command == "A":
            row -= int(amount or 1)
        elif command == "K":
            lines[row] = ""
        for char in text:
            if char == "\r":
                column = 0
            elif char == "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            else:
                lines[row] = lines[row].ljust(column)[:column] + char + lines[row][column + 1 :]
                column += 1
    return [line.rstrip() for line in lines]


@pytest.fixture
def on_a_terminal(spawn, environment):
    """Run the command on a pseudo-terminal, and give what the terminal got."""
    environment.setenv("TERM", "xterm-256color")

    def call(*arguments, columns=70, lines=20):
        environment.setenv("COLUMNS", str(columns))
        environment.setenv("LINES", str(lines))
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
    assert "the same text" in rest
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


def test_the_log_goes_above_the_panel(on_a_terminal):
    """What -v prints pushes the panel down; nothing of the panel stays on the screen."""
    code, got = on_a_terminal("relay", "-v", "--sandbox", "--token-interval", "0.005", "Hi", columns=160)

    shown = "\n".join(screen(got))
    assert code == 0
    assert got.count("╭") > 1
    assert shown.count("╭") == shown.count("╰") == 0
    assert re.search(r"^\S+ \S+ DEBUG .*notifications/push: 202", shown, re.MULTILINE)


@pytest.mark.parametrize("columns", [60, 120])
def test_the_result_is_readable_at_any_width(on_a_terminal, columns):
    """The text is wrapped at words, the table has a header, and no line is wider than the terminal."""
    code, got = on_a_terminal(
        *("relay", "--sandbox", "--token-interval", "0.002", "How does Go stream HTTP?"), columns=columns, lines=50
    )

    lines = screen(got)
    text = lines[1 : lines.index("")]
    assert code == 0
    assert max(map(len, lines)) <= columns
    assert " ".join(text).endswith("so that the connection can be reused or released.")
    assert not [line for line in text if line.startswith(" ")]
    assert [line for line in lines if line.split() == ["push", "bytes", "after", "text"]]
    assert [line for line in lines if line.endswith(", the same text")]


@pytest.mark.parametrize("lines", [60, 20])
def test_the_table_has_as_many_rows_as_fit(on_a_terminal, credentials, fake, lines):
    """The whole result fits on the screen, with the prompt below."""
    fake.completions.say([f"word{number} " for number in range(30)], every=0.03)
    code, got = on_a_terminal("relay", "--coalescer", "pass-through", "Hi", lines=lines)

    assert code == 0
    shown = screen(got)
    table = [line for line in shown if re.match(r" *\d+ +\d+ +\d", line) or "before" in line]
    assert len(shown) <= lines
    assert len(table) > (12 if lines == 60 else 3)


def test_no_result_of_zeros_before_the_cause_of_an_error(on_a_terminal, credentials, fake):
    fake.completions.fail(403)
    code, got = on_a_terminal("relay", "Hi", columns=160)

    assert code == 4
    assert next(line for line in screen(got) if line).startswith("genesys-stream: ")
