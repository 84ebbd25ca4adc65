"""How Sphinx reads these pages; `nox -s docs` builds them."""

from __future__ import annotations

import inspect
from importlib import metadata
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import genesys_stream

project = "genesys-stream"
author = "The genesys-stream developers"
project_copyright = author
release = version = metadata.version(project)

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"{project} {release}"

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

# Types live in the signature only, short names, one parameter to a line where they are many.
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autoclass_content = "class"
python_use_unqualified_type_names = True
maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False

# Pages of other projects are not fetched, so that the build needs no network:
# their names are printed, not linked. A dead reference to a name of ours is still an error.
nitpick_ignore_regex = [
    (r"py:.*", r"(anyio|asyncio|attrs?|cattrs|click|collections|contextlib|datetime|enum|http|httpx\d?|json)(\..*)?"),
    (r"py:.*", r"(logging|os|pathlib|re|ssl|trio|types|typing|typing_extensions|uuid)(\..*)?"),
    (r"py:.*", r"(TypeVar|ParamSpec|optional)"),
    (r"py:.*", r"(genesys_stream\._.+\.)?_?[A-Z][A-Z0-9]?(_co|_contra)?"),  # type variables
]


def find_at_the_door(app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.Element) -> Any:
    """Resolve `genesys_stream._room.Name`, which annotations mention, to the public `genesys_stream.Name`."""
    name = str(node.get("reftarget", "")).rpartition(".")[2]
    if node.get("refdomain") != "py" or name not in genesys_stream.__all__:
        return None
    kind = "class" if inspect.isclass(getattr(genesys_stream, name)) else "obj"
    public = f"genesys_stream.{name}"
    return env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, kind, public, node, contnode)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("missing-reference", find_at_the_door)
