"""The Python examples in README.md and docs/ are run, in order, one namespace per page.

`await` and `async with` work at the top level, as they read in the text.
`<!-- skip: next -->` above an example spares it, and `<!-- invisible-code-block: python ... -->`
prepares what the reader need not see.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
from types import CodeType
from typing import Any

from sybil import Example, Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

LOOP = "__loop__"


def evaluate(example: Example) -> None:
    """Run one example; a coroutine runs on the loop of its page."""
    source = "\n" * (example.line + example.parsed.line_offset) + example.parsed
    code = compile(source, example.path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    if code.co_flags & inspect.CO_COROUTINE:
        example.namespace[LOOP].run_until_complete(eval_in(code, example.namespace))
    else:
        eval_in(code, example.namespace)


def eval_in(code: CodeType, namespace: dict[str, Any]) -> Any:
    """Evaluate `code`; what it defines stays in `namespace`."""
    return eval(code, namespace)  # noqa: S307 - the examples are our own


def setup(namespace: dict[str, Any]) -> None:
    """Give the page a loop."""
    namespace[LOOP] = asyncio.new_event_loop()


def teardown(namespace: dict[str, Any]) -> None:
    """Close it."""
    loop: asyncio.AbstractEventLoop = namespace[LOOP]
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(evaluator=evaluate), SkipParser()],
    patterns=["README.md", "docs/*.md", "docs/**/*.md"],
    setup=setup,
    teardown=teardown,
).pytest()
