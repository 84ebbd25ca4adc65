"""Two ways to run the command: in this process, which is quick, and in one of its own, which is real."""

import io
import json
import logging
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from genesys_stream import cli
from genesys_stream.testing import FakeGenesys

SECRET = "s3cr3t-nobody-may-see"


class _Result(SimpleNamespace):
    """What a run left behind: code, out and err."""

    @property
    def lines(self):
        return [json.loads(line) for line in self.out.splitlines()]

    def events(self, kind):
        return [line for line in self.lines if line["event"] == kind]

    @property
    def report(self):
        assert self.lines[-1]["event"] == "report"
        return self.lines[-1]


class _Terminal(io.TextIOWrapper):
    def isatty(self):
        return True


@pytest.fixture
def environment(monkeypatch):
    """An environment with nothing of ours in it, and no proxy between us and the loopback."""
    for name in list(os.environ):
        if name.startswith(("GENESYS", "MOBILE_DEVICE")) or name.lower().endswith("_proxy") or name == "NO_COLOR":
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture
def fake():
    return FakeGenesys(client_secret=SECRET)


@pytest.fixture
def credentials(environment, fake):
    """The environment points to a served fake."""
    with fake.serve() as server:
        environment.setenv("GENESYSCLOUD_OAUTHCLIENT_ID", "client-id")
        environment.setenv("GENESYSCLOUD_OAUTHCLIENT_SECRET", SECRET)
        environment.setenv("GENESYSCLOUD_REGION", server.base_url)
        environment.setenv("MOBILE_DEVICE_TOKEN", "phone-1")
        yield server


@pytest.fixture
def run(environment, capsys):
    """Run the command in this process."""

    def call(*arguments, stdin=None):
        stream = _Terminal(io.BytesIO()) if stdin is None else io.TextIOWrapper(io.BytesIO(stdin))
        environment.setattr(sys, "stdin", stream)
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.main(list(arguments))
        out, err = capsys.readouterr()
        return _Result(code=int(left.value.code or 0), out=out, err=err)

    yield call
    logger = logging.getLogger("genesys_stream")
    logger.setLevel(logging.NOTSET)
    logger.handlers.clear()


@pytest.fixture
def spawn(environment):
    """Start the command in a process of its own; whatever happens, it does not outlive the test."""
    started = []

    def call(*arguments, python=(), stdin=subprocess.DEVNULL, **options):
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        process = subprocess.Popen(
            [sys.executable, *python, "-m", "genesys_stream", *arguments], stdin=stdin, **options
        )
        started.append(process)
        return process

    yield call
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def finish():
    """Wait for a process that was spawned."""

    def call(process, before=""):
        out, err = process.communicate(timeout=60)
        return _Result(code=process.returncode, out=before + out.decode(), err=err.decode())

    return call
