"""Genesys Cloud completions, streamed, coalesced, and relayed to phones, with nothing lost on the way.

The public names are listed in `__init__.pyi`, for type checkers and for this module alike.
Each is imported when it is first used, so that a program pays for what it needs.
"""

import re
from importlib import import_module

_STUB = __loader__.get_data(f"{__file__}i").decode()
_MODULES = {
    name: module
    for module, names in re.findall(r"^from (\S+) import (\([^)]*\)|.*)", _STUB, re.MULTILINE)
    for name in re.findall(r" as (\w+)", names)
}
__all__ = sorted(_MODULES)  # noqa: PLE0605  # pyright: ignore[reportUnsupportedDunderAll]  # a list, read from the stub


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = globals()[name] = getattr(import_module(_MODULES[name], __name__), name)
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
