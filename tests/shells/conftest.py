"""Fixtures of the shells' tests: a served fake, and the worlds; see worlds.py."""

import gc
import importlib.util
import inspect

import pytest
from tests.shells.worlds import OVER_HTTPX2, WORLDS, our_threads, settle

from genesys_stream.testing import FakeGenesys


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes a while, and runs all the same unless deselected")


@pytest.fixture(params=[*WORLDS, *OVER_HTTPX2])
def world(request):
    """Each of the three worlds, and each of them over httpx2."""
    return {**WORLDS, **OVER_HTTPX2}[request.param]


@pytest.fixture(params=["asyncio", "trio"])
def loop_world(request):
    """Each of the two worlds that have an event loop."""
    return WORLDS[request.param]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Run a scenario, which is a coroutine function, in its world."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    world = next(arguments[name] for name in ("world", "loop_world") if name in arguments)
    world.run(pyfuncitem.obj, **arguments)
    return True


@pytest.fixture
def fake():
    return FakeGenesys()


@pytest.fixture
def server(fake):
    """The fake on the loopback; when the test is over, nothing of it may be left: no connection, thread or answer."""
    with fake.serve() as server:
        yield server
        gc.collect()
        assert settle(lambda: fake.open_connections == 0), f"{fake.open_connections} connections were left open"
        assert settle(lambda: not our_threads()), f"threads were left running: {our_threads()}"
    gc.collect()


def pytest_collection_modifyitems(items):
    """Skip what runs over httpx2 where it is not installed, as with our oldest dependencies."""
    if importlib.util.find_spec("httpx2") is None:
        for item in items:
            if "httpx2" in item.name:
                item.add_marker(pytest.mark.skip(reason="httpx2 is not installed"))


def pytest_collection_finish(session):
    """Have the collections that the tests ask for look at what the tests made, and not at the modules."""
    gc.collect()
    gc.freeze()
