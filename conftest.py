"""The Python examples in README.md and docs/ are run, in order, one namespace per page.

`await` and `async with` work at the top level, as they read in the text.
`from_env()` reaches a `FakeGenesys` that is served while the page is run; it goes by the name of `sandbox`.
`<!-- skip: next -->` above an example spares it, and `<!-- invisible-code-block: python ... -->`
prepares what the reader need not see.
"""

from __future__ import annotations

import ast
import asyncio
import gc
import inspect
from pathlib import Path
from typing import Any

import pytest
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

from genesys_stream.testing import FakeGenesys

LOOP = "__loop__"
AFTERWARDS = "__afterwards__"


def evaluate(example: Example) -> None:
    """Run one example; a coroutine runs on the loop of its page."""
    source = "\n" * (example.line + example.parsed.line_offset) + example.parsed
    code = compile(source, example.path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    answer = eval(code, example.namespace)  # noqa: S307 - the examples are our own
    if code.co_flags & inspect.CO_COROUTINE:
        example.namespace[LOOP].run_until_complete(answer)


class ExampleParser(PythonCodeBlockParser):
    """Blocks of Python are run by `evaluate`; those that begin with `>>>` stay doctests."""

    def __init__(self) -> None:
        super().__init__()
        self.codeblock_parser = CodeBlockParser("python", evaluate)


def sandbox_environment(url: str) -> dict[str, str]:
    """What `from_env()` must find to reach a `FakeGenesys` at `url`."""
    return {
        "GENESYSCLOUD_OAUTHCLIENT_ID": "client-id",
        "GENESYSCLOUD_OAUTHCLIENT_SECRET": "client-secret",
        "GENESYSCLOUD_REGION": url,
        "GENESYSCLOUD_ACCESS_TOKEN": "",
        "MOBILE_DEVICE_TOKEN": "fcm_device_token_abc123",
    }


def setup(namespace: dict[str, Any]) -> None:
    """Give the page a loop, the name that a script has, and a Genesys Cloud to talk to."""
    sandbox = FakeGenesys()
    server = sandbox.serve().start()
    environment = pytest.MonkeyPatch()
    for name, value in sandbox_environment(server.base_url).items():
        environment.setenv(name, value)
    namespace["__name__"] = "__main__"
    namespace["sandbox"] = sandbox
    namespace[LOOP] = asyncio.new_event_loop()
    namespace[AFTERWARDS] = [environment.undo, server.stop]


def teardown(namespace: dict[str, Any]) -> None:
    """Close it all."""
    loop: asyncio.AbstractEventLoop = namespace[LOOP]
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    for leave in namespace[AFTERWARDS]:
        leave()
    # What a page leaves open is told now, and not to the next one.
    namespace.clear()
    gc.collect()


EXAMPLES = Sybil(
    path=str(Path(__file__).parent),
    parsers=[ExampleParser(), SkipParser()],
    patterns=["README.md", "docs/*.md", "docs/**/*.md"],
    setup=setup,
    teardown=teardown,
)

pytest_collect_file = EXAMPLES.pytest()
