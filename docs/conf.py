"""How Sphinx reads these pages; `nox -s docs` builds them."""

from __future__ import annotations

import inspect
import re
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

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
copybutton_prompt_text = "$ "  # which is shown before commands, and not copied

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

# Types live in the signature only, short names, one parameter to a line where they are many.
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autoclass_content = "both"  # the arguments of the clients are described once, in their base
python_use_unqualified_type_names = True
default_role = "code"
maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False

# Pages of other projects are not fetched, so that the build needs no network:
# their names are printed, not linked. A dead reference to a name of ours is still an error.
nitpick_ignore_regex = [
    (r"py:.*", r"(anyio|asyncio|attrs?|cattrs|click|collections|contextlib|datetime|enum|http|httpx\d?|json)(\..*)?"),
    (r"py:.*", r"(logging|os|pathlib|re|ssl|trio|types|typing|typing_extensions|uuid)(\..*)?"),
    (r"py:.*", r"(TypeVar|ParamSpec|optional)"),
    (r"py:.*", r"genesys_stream\.testing\._script\.ScriptedT"),  # the values of a script, which its text names
    (r"py:.*", r"(Caption|Finder|Piece|Scripted)"),  # aliases, which the text around them explains
    (
        r"py:.*",
        r"(genesys_stream\.(_.+|fcm|webpush)\.)?_?([A-Z][A-Z0-9]?|[A-Z]\w+T)(_co|_contra)?",
    ),  # type variables
]


# Clients, streams and fakes make these; users do not.
MADE_FOR_YOU = {
    *("Completions", "AsyncCompletions", "CompletionStream", "AsyncCompletionStream"),
    *("PushClient", "AsyncPushClient", "FakeServer"),
    *("MessageClient", "AsyncMessageClient", "BotReplyClient", "AsyncBotReplyClient"),
}


def tidy_signatures(
    app: Sphinx, what: str, name: str, obj: object, options: object, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Leave out the arguments of what users do not construct, and what defaults look like in memory."""
    if what == "class" and name.rpartition(".")[2] in MADE_FOR_YOU:
        return "", None
    tidy = re.sub(r"<(?:built-in )?function (\w+)( at 0x[0-9a-f]+)?>", r"\1", signature or "").replace("NOTHING", "...")
    return tidy or None, returns


def hide_arguments(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """And what their docstrings say of them."""
    if what == "class" and name.rpartition(".")[2] in MADE_FOR_YOU and "Args:" in lines:
        start = lines.index("Args:")
        end = next((i for i in range(start + 1, len(lines)) if lines[i] and not lines[i].startswith(" ")), len(lines))
        del lines[start:end]


def find_public_name(app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.Element) -> Any:
    """Resolve `genesys_stream._module.Name`, which annotations mention, to the public `genesys_stream.Name`."""
    name = str(node.get("reftarget", "")).rpartition(".")[2]
    if node.get("refdomain") != "py" or name not in genesys_stream.__all__:
        return None
    kind = "class" if inspect.isclass(getattr(genesys_stream, name)) else "obj"
    public = f"genesys_stream.{name}"
    return env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, kind, public, node, contnode)


def leave_builtins_plain(app: Sphinx, doctree: nodes.document) -> None:
    """Take the link from the type `object`, which would lead to a chunk's field of that name."""
    for reference in list(doctree.findall(pending_xref)):
        if reference.get("refdomain") == "py" and reference.get("reftarget") == "object":
            reference.replace_self(nodes.Text("object"))


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("doctree-read", leave_builtins_plain)
    app.connect("missing-reference", find_public_name)
    app.connect("autodoc-process-signature", tidy_signatures)
    app.connect("autodoc-process-docstring", hide_arguments, priority=400)  # before napoleon reads them
