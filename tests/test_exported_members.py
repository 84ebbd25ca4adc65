"""The public names: each can be imported, and is imported only when it is used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import genesys_stream


def test_every_name_is_there():
    """Each public name that the stub lists can be had, and is listed by the module."""
    tree = ast.parse(Path(f"{genesys_stream.__file__}i").read_text(encoding="utf-8"))
    told = {alias.asname for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}

    assert {*genesys_stream.__all__} == told
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
        "assert not {name for name in sys.modules if name.startswith('genesys_stream._aio') or '.coalescers._' in name}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
