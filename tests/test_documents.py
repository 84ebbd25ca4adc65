"""What the pages say is so: their lists repeat the code, their commands exist, their examples run."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path
from typing import Any

import attrs
import pytest
from conftest import EXAMPLES, setup, teardown

import genesys_stream
from genesys_stream import _errors, testing
from genesys_stream._core.http import regions, settings
from genesys_stream.cli._app import app

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])
PAGES = [page for page in PAGES if "_build" not in page.parts]
EXECUTED = [page for page in PAGES if page == ROOT / "README.md" or "docs" in page.relative_to(ROOT).parts]

TRY_IT = """\
python3 -m venv .venv && .venv/bin/pip install '.[cli]' && \
.venv/bin/genesys-stream relay --sandbox "Explain how Go handles HTTP streaming."
"""
TEST_IT = "python3 -m venv .venv && .venv/bin/pip install nox && .venv/bin/nox -s tests\n"


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def rows(text: str, *header: str) -> list[list[str]]:
    """The cells of every table with this header, without their backticks where they are one name."""
    found: list[list[str]] = []
    for table in re.findall(rf"^\| {re.escape(' | '.join(header))} \|\n\| -.*\n((?:\|.*\n)+)", text, re.MULTILINE):
        found += [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()]
    assert found, f"no table with the columns {header}"
    return found


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


class TestExamples:
    @pytest.mark.parametrize("page", EXECUTED, ids=name_of)
    def test_the_python_on_a_page_runs(self, page, monkeypatch):
        """From top to bottom, in one namespace, against a served fake."""
        monkeypatch.chdir(ROOT)
        document = EXAMPLES.parse(page)
        if not list(document):
            return
        setup(document.namespace)
        try:
            for example in document:
                example.evaluate()
        finally:
            teardown(document.namespace)

    @pytest.mark.parametrize("page", EXECUTED, ids=name_of)
    def test_what_the_reader_types_needs_nothing_hidden(self, page):
        """The fake that runs behind a page has no name in what the page shows."""
        for block in blocks(page.read_text(encoding="utf-8"), "python"):
            assert "sandbox" not in block


class TestCommands:
    def test_the_readme_begins_with_two_commands(self):
        """To try it, and to test it; the CI runs the very same second one."""
        first, second = blocks(read("README.md"), "(?:shell|console|bash|sh)")[:2]

        assert first == TRY_IT
        assert second == TEST_IT
        assert TEST_IT in read(".ci/run")

    @pytest.mark.parametrize("page", PAGES, ids=name_of)
    def test_the_commands_on_a_page_exist(self, page):
        """Each command of ours, with its options; each session of nox; each variable; each file."""
        for block in blocks(page.read_text(encoding="utf-8"), "(?:shell|console)"):
            for line in block.splitlines():
                for command in re.split(r"&&|\|", line.removeprefix("$ ").partition(" #")[0]):
                    check(shlex.split(command))

    def test_every_command_is_listed(self):
        """A new command has a line in the reference."""
        listed = {names(row[0])[0] for row in rows(read("docs/reference/command.md"), "command", "what it does")}

        assert listed == set(app.commands)


def check(words: list[str]) -> None:
    if not words:
        return
    program = words[0].removeprefix(".venv/bin/")
    if program == "genesys-stream":
        check_our_command(words[1:])
    elif program == "nox":
        sessions = re.findall(r"^@nox\.session.*\ndef (\w+)", read("noxfile.py"), re.MULTILINE)
        assert words[words.index("-s") + 1] in sessions
    elif program == "export":
        variables = {name for variables in settings._VARIABLES.values() for name in variables}
        assert words[1].partition("=")[0] in variables | {"GOOGLE_APPLICATION_CREDENTIALS", "MOBILE_DEVICE_TOKEN"}
    elif program == "python3" and words[1] != "-m":
        assert (ROOT / words[1]).is_file()
    else:
        assert program in {"pip", "python3", "git"}, f"what is {program}?"


def check_our_command(words: list[str]) -> None:
    command = app.commands[words[0]]
    options = {option: parameter for parameter in command.params for option in parameter.opts}
    for word in words[1:]:
        assert not word.startswith("-") or word in options, f"genesys-stream {words[0]} has no {word}"


class TestReference:
    def test_every_public_name_is_documented(self):
        """In docs/reference, by its public name."""
        documented = documented_names("genesys_stream")

        assert set(genesys_stream.__all__) - documented == set()

    def test_every_public_name_is_in_the_typed_program(self):
        """In tests/typing/api.py; of the exceptions, those that have fields of their own."""
        program = read("tests/typing/api.py")
        plain = {name for name in genesys_stream.__all__ if is_plain_exception(getattr(genesys_stream, name))}

        assert {name for name in genesys_stream.__all__ if not re.search(rf"\b{name}\b", program)} <= plain

    def test_every_name_of_the_fake_is_documented(self):
        """In docs/reference/testing.md."""
        assert set(testing.__all__) - documented_names("genesys_stream.testing") == set()

    def test_regions(self):
        """All of them, and where they are."""
        table = rows(read("docs/reference/client.md"), "region", "domain")

        assert {names(region)[0]: names(domain)[0] for region, domain in table} == regions.DOMAINS

    def test_environment_variables(self):
        """Each argument's, in the order in which they are looked at."""
        table = rows(read("docs/reference/client.md"), "argument", "variables, in this order")

        assert {names(argument)[0]: tuple(names(variables)) for argument, variables in table} == settings._VARIABLES

    def test_timeouts(self):
        """Every timeout, and its default."""
        table = rows(read("docs/reference/client.md"), "timeout", "default", "limits the time")

        assert {names(timeout)[0]: seconds(default) for timeout, default, _ in table} == attrs.asdict(
            genesys_stream.Timeouts()
        )

    def test_retries(self):
        """Every setting that is a number, and its default."""
        table = rows(read("docs/reference/client.md"), "setting", "default")

        assert {names(setting)[0]: seconds(default) for setting, default in table} == {
            name: value for name, value in attrs.asdict(genesys_stream.Retry()).items() if name != "jitter"
        }


def documented_names(module: str) -> set[str]:
    """The names of a module that the reference documents; what `currentmodule` says holds to the end of its page."""
    found: set[str] = set()
    for page in (ROOT / "docs" / "reference").glob("*.md"):
        current = ""
        for directive, name in re.findall(
            r"^\.\. ([\w:]+):: ([\w.]+)$", page.read_text(encoding="utf-8"), re.MULTILINE
        ):
            if directive == "currentmodule":
                current = name + "."
            else:
                found.add(name if name.startswith("genesys_stream.") else current + name)
    return {name.removeprefix(module + ".") for name in found if name.startswith(module + ".")}


def is_plain_exception(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, Exception) and "Attributes:" not in (value.__doc__ or "")


def seconds(cell: str) -> float | None:
    return None if cell == "never" else float(cell.removesuffix(" s"))


class TestErrors:
    PAGE = "docs/errors.md"

    def test_the_tree_is_that_of_the_code(self):
        """Word for word, and the classes inherit as it is drawn."""
        (tree,) = blocks(read(self.PAGE), "text")

        assert tree in _errors.__doc__
        parents: list[type] = []
        for line in tree.splitlines():
            depth, name = re.match(r"^([│├└─ ]*)(\w+)", line).groups()
            cls = getattr(genesys_stream, name)
            del parents[len(depth) // 4 :]
            assert not parents or parents[-1] in cls.__bases__
            parents.append(cls)

    def test_every_error_has_its_row(self):
        """But for the abstract ones, which are explained above the tables."""
        listed = {names(row[0])[0] for row in self.rows()}
        classes = {
            name for name, cls in vars(_errors).items() if inspect.isclass(cls) and name in genesys_stream.__all__
        }
        branches = {"UsageError", "ServiceError", "NetworkError", "StatusError", "ProtocolError", "TimeoutExpired"}

        assert listed == classes - branches - {"GenesysStreamError"}
        assert all(f"`{name}`" in read(self.PAGE) for name in branches)

    def test_a_row_says_what_its_class_says(self):
        """Whether it is retryable, and which fields it has of its own."""
        for name, retryable, fields, *_ in self.rows():
            cls = getattr(genesys_stream, names(name)[0])
            assert {"yes": True, "no": False}[retryable] == is_retryable(cls), cls
            assert names(fields) == attributes(cls), cls

    def test_fields_of_the_shared_classes(self):
        """Those of the root, of StatusError and of TimeoutExpired."""
        page = read(self.PAGE)
        root = [names(row[0])[0] for row in rows(page, "field", "what")]
        status = re.search(r"^Every `StatusError` has the fields (.*)\.$", page, re.MULTILINE)[1]

        assert root == attributes(genesys_stream.GenesysStreamError)
        assert names(status) == attributes(genesys_stream.StatusError)
        assert attributes(genesys_stream.TimeoutExpired) == ["seconds"]

    def rows(self) -> list[list[str]]:
        return rows(read(self.PAGE), "error", "retryable", "fields of its own", "when", "what to do")


STATUSES: dict[str, int] = {
    "BadRequest": 400,
    "AuthenticationError": 401,
    "PermissionDenied": 403,
    "NotFound": 404,
    "RequestTimeout": 408,
    "Conflict": 409,
    "PayloadTooLarge": 413,
    "UnsupportedMediaType": 415,
    "InvalidToken": 410,
    "RateLimited": 429,
    "ServerError": 500,
    "BadGateway": 502,
    "ServiceUnavailable": 503,
    "GatewayTimeout": 504,
}


def is_retryable(cls: Any) -> bool:
    if issubclass(cls, genesys_stream.StatusError):
        return bool(cls("no", status=STATUSES[cls.__name__]).retryable)
    return bool(cls.retryable)


def attributes(cls: type) -> list[str]:
    """The fields that the class's own docstring names."""
    return re.findall(r"^    (\w+): ", inspect.getdoc(cls).partition("Attributes:")[2], re.MULTILINE)


class TestLinks:
    @pytest.mark.parametrize("page", PAGES, ids=name_of)
    def test_links_between_pages_lead_somewhere(self, page):
        """Also where Sphinx does not look: in the README, and out of docs/."""
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), target

    @pytest.mark.parametrize("page", PAGES, ids=name_of)
    def test_files_of_ours_that_are_named_exist(self, page):
        """Tests, benchmarks and examples."""
        for named in re.findall(r"\b(?:tests|benchmarks|examples|src)/[\w/]+\.py\b", page.read_text(encoding="utf-8")):
            assert (ROOT / named).is_file(), named

    @pytest.mark.parametrize("page", PAGES, ids=name_of)
    def test_pages_name_no_private_module(self, page):
        """What a page tells users to import is public; the design page is about the private ones."""
        if page.name in {"design.md", "CONTRIBUTING.md"}:
            return
        for block in blocks(page.read_text(encoding="utf-8"), "python"):
            assert "genesys_stream._" not in block


class TestPlan:
    def test_every_file_of_the_core_is_in_the_plan(self):
        """The design page names each file of the core, in its folder, and no other."""
        core = ROOT / "src" / "genesys_stream" / "_core"
        plan = read("docs/design.md").partition("\n_core/")[2].partition("\n_values/")[0]

        files = {path.relative_to(core).as_posix() for path in core.rglob("*.py")}

        assert {path for path in files if not path.endswith("__init__.py")} == planned(plan)

    def test_every_module_is_in_the_plan(self):
        """So does it with the modules and packages beside the core."""
        package = ROOT / "src" / "genesys_stream"
        plan = read("docs/design.md").partition("## The packages")[2]

        named = {path.name for path in package.glob("*.py")} - {"__main__.py", "_version.py"}
        named |= {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}

        assert named == set(re.findall(r"^(\w+\.py|\w+/)  ", plan, re.MULTILINE)) | {"_aio/"}


def planned(plan: str) -> set[str]:
    """The paths that an indented list of folders and files spells out."""
    found: set[str] = set()
    folders: list[str] = []
    for indent, name in re.findall(r"^( *)(\w+(?:\.py|/)) ", plan, re.MULTILINE):
        del folders[len(indent) // 2 - 1 :]
        if name.endswith("/"):
            folders.append(name)
        else:
            found.add("".join([*folders, name]))
    return found


class TestPayloads:
    def test_every_key_is_explained(self):
        """The table of the receiver's page has the reserved keys, all of them."""
        from genesys_stream._core.relaying.payload import RESERVED

        table = rows(read("docs/payloads.md"), "key", "in", "meaning")

        assert {names(row[0])[0] for row in table} == RESERVED

    def test_the_limit(self):
        """The page names the default."""
        from genesys_stream._core.relaying.payload import MAX_PAYLOAD_BYTES

        assert f"{MAX_PAYLOAD_BYTES} unless set" in read("docs/payloads.md")
