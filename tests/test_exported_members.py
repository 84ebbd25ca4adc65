"""The front door: what it names, it has; and nobody pays for what he does not ask for."""

import ast
import inspect
import subprocess
import sys

import pytest

import genesys_stream


def test_every_name_is_there():
    """Each public name can be had, is listed, and is what the type checkers think it is."""
    tree = ast.parse(inspect.getsource(genesys_stream))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    told = {node.module: {alias.name for alias in node.names} for node in block.body}
    homes = {home: set(names) for home, names in genesys_stream._HOMES.items()}

    assert homes == told
    assert {*genesys_stream.__all__} == {"__version__"}.union(*homes.values())
    assert {*genesys_stream.__all__} <= {*dir(genesys_stream)}
    for name in genesys_stream.__all__:
        assert getattr(genesys_stream, name) is not None


def test_no_other_name_is_there():
    """A name that does not exist is an AttributeError that names it, as for any module."""
    with pytest.raises(AttributeError, match="'genesys_stream' has no attribute 'Klient'"):
        _ = genesys_stream.Klient


def test_a_program_pays_for_what_it_asks_for():
    """The import alone loads nothing else, and a name that is asked for loads no more than it needs."""
    code = (
        "import sys, genesys_stream\n"
        "assert not {name for name in sys.modules if name.split('.')[0] in ('httpx', 'attrs', 'cattrs', 'anyio')}\n"
        "from genesys_stream import Client\n"
        "assert 'httpx' in sys.modules\n"
        "assert not {name for name in sys.modules if name.startswith('genesys_stream._aio') or '.coalesce._' in name}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
