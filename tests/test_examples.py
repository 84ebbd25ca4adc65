"""The examples run as they are, against a served fake, with nothing but environment variables."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from genesys_stream import StreamAssembler
from genesys_stream.testing import FakeGenesys

EXAMPLES = Path(__file__).parent.parent / "examples"
ANSWER = "Naïve cafés stream 👩‍👩‍👧 emoji. They do so in order! Do they lose any? They do not."
FAST = 0.004


@pytest.fixture
def fake() -> FakeGenesys:
    fake = FakeGenesys(token_interval=FAST)
    fake.completions.say(ANSWER, times=None)
    return fake


@pytest.fixture
def environment(fake: FakeGenesys) -> Iterator[dict[str, str]]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GENESYS", "MOBILE"))}
    with fake.serve() as server:
        yield {
            **clean,
            "GENESYSCLOUD_OAUTHCLIENT_ID": "client-id",
            "GENESYSCLOUD_OAUTHCLIENT_SECRET": "client-secret",
            "GENESYSCLOUD_REGION": server.base_url,
            "MOBILE_DEVICE_TOKEN": "device-1",
            "PYTHONIOENCODING": "utf-8",
            "PYTHONWARNINGS": "error",
        }


def run(environment: dict[str, str], *command: str, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, timeout=60, check=False, encoding="utf-8"
    )
    assert (status, "Traceback" in done.stderr) == (done.returncode, False), done.stderr
    return done.stdout


def test_every_example_is_listed_and_run_here():
    """A new example has a line in examples/README.md, a place in docs/examples.md and a test in this file."""
    table = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    page = (EXAMPLES.parent / "docs" / "examples.md").read_text(encoding="utf-8")
    tests = Path(__file__).read_text(encoding="utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert f"[{path.name}]({path.name})" in table
        assert f"../examples/{path.name}\n" in page
        assert f'"{path.name}"' in tests


@pytest.mark.parametrize("name", ["relay_async.py", "relay_sync.py", "custom_coalescer.py"])
def test_an_answer_is_relayed_whole(name, fake, environment):
    """What the phone puts together is what the model said."""
    run(environment, str(EXAMPLES / name), "What", "is", "a", "stream?")

    phone = StreamAssembler()
    for push in fake.pushes:
        assert push["targets"] == ["device-1"]
        phone.receive(push)
    assert phone.complete
    assert phone.text == ANSWER
    assert fake.completions.requests[0].json["messages"][-1]["content"] == "What is a stream?"


def test_a_relay_whose_model_breaks_says_so(fake, environment):
    """An exit status that is not 0, no traceback, and what was said is on the phone."""
    fake.completions.drop(after_events=8, text=ANSWER)

    run(environment, str(EXAMPLES / "relay_async.py"), status=1)

    assert fake.pushes[-1]["data"]["state"] == "error"
    assert ANSWER.startswith("".join(push["data"]["llm_response"] for push in fake.pushes))


def test_a_stream_is_shown(fake, environment):
    """The text, and then how it flowed; nothing is pushed."""
    out = run(environment, str(EXAMPLES / "stream_only.py"))

    assert out.startswith(ANSWER)
    assert "first text after" in out
    assert fake.pushes == []


def test_a_stream_that_is_refused_is_explained(fake, environment):
    """The status, the service's words and the correlation id."""
    fake.completions.fail(403)

    run(environment, str(EXAMPLES / "stream_only.py"), status=1)


def test_a_webhook_gets_the_text(environment):
    """Posts instead of pushes, one of which is asked to wait."""
    with webhook(503, 429) as (url, posts):
        out = run({**environment, "WEBHOOK_URL": url}, str(EXAMPLES / "custom_sink.py"))

    assert "complete" in out
    assert len(posts) > 2


def test_the_tests_of_an_app_pass(environment):
    """The example of a test file is one."""
    out = run(
        environment,
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(EXAMPLES), "--noconftest"),
        *("-c", os.devnull, str(EXAMPLES / "test_your_app.py")),
    )

    assert "5 passed" in out


@contextmanager
def webhook(*refusals: int) -> Iterator[tuple[str, list[bytes]]]:
    """A webhook that first answers the given statuses, and then 200."""
    posts: list[bytes] = []
    statuses = list(refusals)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            posts.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(statuses.pop(0) if statuses else 200)
            self.send_header("Content-Length", "0")
            self.send_header("Retry-After", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", posts
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
