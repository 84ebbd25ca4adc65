"""The command as a whole: help, version, a missing extra, exit codes, and text on a line."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import genesys_stream
from genesys_stream import cli
from genesys_stream.cli import _codes, _format
from genesys_stream.cli._coalescers import COALESCERS, make_coalescer
from genesys_stream.cli._failures import Failure, code_of

COMMANDS = ("relay", "stream", "push", "token", "doctor", "sandbox")


def test_the_version_is_the_packages(run):
    assert run("--version").out == f"genesys-stream {genesys_stream.__version__}\n"


def test_the_version_loads_neither_the_drawing_nor_the_fake(spawn, finish):
    """`--version` is cheap."""
    result = finish(spawn("--version", python=("-X", "importtime")))
    loaded = {line.rsplit("|", 1)[-1].strip() for line in result.err.splitlines()}

    assert result.code == 0
    assert "genesys_stream.cli._app" in loaded
    assert not {"genesys_stream.cli._live", "genesys_stream.testing"} & loaded


def test_the_library_does_not_load_the_command():
    """Whoever imports the library does not pay for the command; httpx loads click and rich by itself, where they are."""
    code = "import sys, genesys_stream; print([name for name in sys.modules if name.startswith('genesys_stream.cli')])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)

    assert loaded.stdout == "[]\n"


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_the_help_of_the_group_lists_the_exit_codes(run, option):
    result = run(option)

    assert result.code == 0
    for code, meaning in _codes.MEANINGS.items():
        assert re.search(rf"^ +{code.value} +{re.escape(meaning)}$", result.out, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_does_not_repeat_them(run, command):
    result = run(command, "--help")

    assert result.code == 0
    assert "Exit codes" not in result.out


def test_it_runs_as_a_module_of_the_package(spawn, finish):
    """`python -m genesys_stream`, which is how `spawn` starts it."""
    result = finish(spawn("--version"))

    assert (result.code, result.out) == (0, f"genesys-stream {genesys_stream.__version__}\n")


def test_the_docstring_tells_the_same_exit_codes():
    told = dict(re.findall(r"^    (\d+) +(.+)$", cli.__doc__, re.MULTILINE))

    assert told == {str(code.value): meaning for code, meaning in _codes.MEANINGS.items()}


def test_the_reference_lists_the_same_exit_codes():
    page = (Path(__file__).parents[2] / "docs/reference/command.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| (\d+) \| (.+) \|$", page, re.MULTILINE))

    assert listed == {str(code.value): meaning.replace("|", "\\|") for code, meaning in _codes.MEANINGS.items()}


def test_no_option_takes_a_secret(run):
    """Credentials on a command line are for everybody to read."""
    assert not [name for name in COMMANDS if re.search(r"--\S*(secret|client|access)", run(name, "--help").out)]


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra_one_line_says_how_to_get_it(environment, capsys, missing):
    for name in [name for name in sys.modules if name.split(".")[0] == missing or name == "genesys_stream.cli._app"]:
        environment.delitem(sys.modules, name)
    environment.setitem(sys.modules, missing, None)

    code = cli.main(["--version"])

    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert 'pip install "genesys-stream[cli]"' in err


def test_a_mistake_in_the_command_line_is_reported_without_a_traceback(run):
    result = run("relay", "--sandbox", "--no-such-option")

    assert result.code == 2
    assert "No such option" in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize("name", COALESCERS)
def test_every_coalescer_takes_its_options(name):
    _, accepted = COALESCERS[name]

    assert isinstance(make_coalescer(name), genesys_stream.Coalescer)
    assert isinstance(make_coalescer(name, **dict.fromkeys(accepted, 100)), genesys_stream.Coalescer)


def test_the_coalescer_of_the_library_is_the_default():
    assert make_coalescer(None, window=None, max_bytes=None) is None
    assert isinstance(make_coalescer(None, window=1.0, max_bytes=None), genesys_stream.TimeSize)


def test_what_steers_a_terminal_is_made_visible():
    assert _format.visible("a\x1b[2Jb\r\n\tc\x9b\u202e") == "a\ufffd[2Jb\n\tc\ufffd\ufffd"
    assert _format.quoted('a\n"b"\x1b\u2028é') == '"a\\n\\"b\\"\\u001b\\u2028é"'
    assert len(_format.one_line("word " * 1000)) == 400


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (genesys_stream.ConfigurationError("x"), 2),
        (genesys_stream.AuthenticationError("x", status=401), 4),
        (genesys_stream.PermissionDenied("x", status=403), 4),
        (genesys_stream.ConnectFailed("x"), 5),
        (genesys_stream.FirstTokenTimeout("x"), 5),
        (genesys_stream.RateLimited("x", status=429), 5),
        (genesys_stream.ServiceUnavailable("x", status=503), 5),
        (genesys_stream.BadRequest("x", status=400), 1),
        (genesys_stream.StreamTruncated("x"), 1),
        (genesys_stream.UnexpectedContent("x", content_type="text/html", first_bytes=b"<"), 1),
    ],
)
def test_every_error_has_its_exit_code(error, code):
    assert code_of(error) == code


def test_after_the_first_text_every_error_has_broken_the_stream():
    error = genesys_stream.ConnectionLost("x")
    error.partial = genesys_stream.Completion(
        choices=(genesys_stream.Choice(message=genesys_stream.Message(content="a")),)
    )

    assert code_of(error) == 1


def test_a_failure_is_one_line_with_the_correlation_id_once():
    known = Failure(genesys_stream.BadRequest("two\nlines", status=400, correlation_id="abc"), 1, correlation_id="abc")
    unknown = Failure(genesys_stream.StreamTruncated("cut"), 1, correlation_id="abc")

    assert known.message == "two lines (400, correlation id abc)"
    assert unknown.message == "cut (correlation id abc)"
