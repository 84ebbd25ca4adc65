"""Pushes over HTTP/2 to a server that is not ours: node's http2."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.shells.worlds import WORLDS

pytest.importorskip("pyqwest", reason="the extra [apns] is not installed")
pytest.importorskip("h2", reason="h2 is not installed")
if shutil.which("node") is None:
    pytest.skip("node is not installed", allow_module_level=True)

import pyqwest
from tests.shells.test_http2 import MANY, close, push_many

from genesys_stream import AmbiguousDelivery, Timeouts
from genesys_stream.apns import Apns, AsyncApns
from genesys_stream.testing import FakeApns

SCRIPT = Path(__file__).parent / "apns_server.js"


@pytest.fixture(params=[*WORLDS])
def world(request):
    return WORLDS[request.param]


@pytest.fixture
def node(request):
    """The address of node's server with the fault that the test asks for."""
    fault, at = request.param
    with subprocess.Popen(["node", str(SCRIPT), fault, str(at)], stdout=subprocess.PIPE, text=True) as process:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}", fault
        process.kill()


def report(url):
    transport = pyqwest.SyncHTTPTransport(http_version=pyqwest.HTTPVersion.HTTP2)
    return json.loads(pyqwest.SyncClient(transport).get(f"{url}/report").content)


FAULTS = [("none", 0), ("one", 0), ("goaway", 500), ("refuse", 100), ("limit", 300), ("silence", 200)]


@pytest.mark.parametrize("node", FAULTS, indirect=True, ids=[fault for fault, _ in FAULTS])
async def test_a_thousand_pushes(world, node):
    """They arrive once each, but for the one that is never answered, which is said to be ambiguous."""
    url, fault = node
    fake = FakeApns()
    options = {"key": fake.key, "key_id": "K", "team_id": "T", "topic": "com.example.app", "base_url": url}
    timeouts = Timeouts(push=1.5 if fault == "silence" else 20.0)
    apns = (Apns if world.name == "sync" else AsyncApns).from_p8(**options, timeouts=timeouts)

    outcomes = await push_many(world, apns.to("c0ffee"))
    await close(apns)

    failed = [type(error) for error in outcomes if error is not None]
    assert failed == ([AmbiguousDelivery] if fault == "silence" else [])
    assert report(url) == {"distinct": MANY - len(failed), "most": 1}
