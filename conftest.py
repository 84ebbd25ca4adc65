"""The Python examples in README.md and docs/ are run, in order, one namespace per page.

`await` and `async with` work at the top level, as they read in the text.
`<!-- skip: next -->` above an example spares it, and `<!-- invisible-code-block: python ... -->`
prepares what the reader need not see.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
from typing import Any

from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

LOOP = "__loop__"


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


def setup(namespace: dict[str, Any]) -> None:
    """Give the page a loop, and the name that a script has."""
    namespace["__name__"] = "__main__"
    namespace[LOOP] = asyncio.new_event_loop()


def teardown(namespace: dict[str, Any]) -> None:
    """Close it."""
    loop: asyncio.AbstractEventLoop = namespace[LOOP]
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


pytest_collect_file = Sybil(
    parsers=[ExampleParser(), SkipParser()],
    patterns=["README.md", "docs/*.md", "docs/**/*.md"],
    setup=setup,
    teardown=teardown,
).pytest()
