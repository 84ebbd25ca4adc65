"""The two shells mirror each other: the same files, the same names, the same signatures."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

import genesys_stream
from genesys_stream import _aio, _sync

# What concerns threads alone, or tasks alone, or the HTTP libraries' async parts.
ONLY = {"watchdog.py", "bodies.py", "httpcore.py", "over_aiohttp.py", "tasks.py"}
WORDS = {
    "aclose": "close",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
}
PAIRS = sorted(
    (name, name.removeprefix("Async"))
    for name in genesys_stream.__all__
    if name.startswith("Async") and name.removeprefix("Async") in genesys_stream.__all__
)


def files_of(package):
    return {path.name for path in Path(package.__file__).parent.glob("*.py")}


def members_of(cls):
    """What a class offers, its bases included: public names, and the dunders that a user meets."""
    return {
        WORDS.get(name, name): value
        for base in reversed(cls.__mro__)
        if base.__module__.startswith("genesys_stream")
        for name, value in vars(base).items()
        if not name.startswith("_") or name in WORDS or name in WORDS.values() or name == "__init__"
    }


def signature_of(value):
    """A signature without the colour: what a coroutine function returns is what is awaited of it."""
    signature = inspect.signature(value)
    parameters = [(p.name, p.kind, p.default, colourless(p.annotation)) for p in signature.parameters.values()]
    return parameters, colourless(signature.return_annotation)


def colourless(annotation):
    return re.sub(r"\b(?:Awaitable|Coroutine)\[(?:Any, Any, )?(\w+)\]", r"\1", str(annotation)).replace("Async", "")


def test_the_same_files():
    """A missing file is visible."""
    assert files_of(_aio) - ONLY == files_of(_sync) - ONLY
    assert files_of(_aio) ^ files_of(_sync) == ONLY


@pytest.mark.parametrize("name", sorted(files_of(_sync) - ONLY - {"__init__.py"}))
def test_the_same_classes(name):
    """Each file of one shell defines what the other's file of that name defines."""

    def classes(package):
        module = importlib.import_module(f"{package.__name__}.{name.removesuffix('.py')}")
        defined = inspect.getmembers(module, lambda one: inspect.isclass(one) and one.__module__ == module.__name__)
        return {cls.removeprefix("Async") for cls, _ in defined if not cls.startswith("_")}

    assert classes(_aio) == classes(_sync)


def test_every_pair_is_at_the_door():
    """Whatever public class is async has a blocking counterpart."""
    lonely = {name for name in genesys_stream.__all__ if name.startswith("Async")} - {name for name, _ in PAIRS}
    assert set() == lonely
    assert len(PAIRS) >= 5


@pytest.mark.parametrize(("theirs", "ours"), PAIRS)
def test_the_same_members(theirs, ours):
    """The same names, but for the usual words of each world."""
    assert set(members_of(getattr(genesys_stream, theirs))) == set(members_of(getattr(genesys_stream, ours)))


@pytest.mark.parametrize(("theirs", "ours"), PAIRS)
def test_the_same_signatures(theirs, ours):
    """The same parameters, defaults and annotations, but for the colour."""
    one, other = (members_of(getattr(genesys_stream, name)) for name in (theirs, ours))
    for name in sorted(one.keys() - {"__aiter__", "__iter__", "__anext__", "__next__"}):
        first, second = one[name], other[name]
        assert isinstance(first, property) == isinstance(second, property), name
        if isinstance(first, property):
            continue
        if inspect.isfunction(first):
            assert signature_of(first) == signature_of(second), name


@pytest.mark.parametrize(("theirs", "ours"), PAIRS)
def test_what_is_awaited(theirs, ours):
    """Nothing of the blocking shell is a coroutine function."""
    for name, value in members_of(getattr(genesys_stream, ours)).items():
        assert not inspect.iscoroutinefunction(value), name
