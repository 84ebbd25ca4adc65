"""Everything that this project promises, one session per promise.

`nox -l` lists them, `nox -s tests-3.12` runs one, and what follows `--` reaches the tool behind it:
`nox -s tests-3.12 -- -k coalesce`.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import nox
from nox.command import CommandFailed
from packaging.requirements import Requirement

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.error_on_external_run = True
# A Python that is not on this machine is skipped, and nox says so; `--error-on-missing-interpreters` insists.
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "layers", "typing", "tests", "core_coverage", "minimums", "docs", "build"]

PYPROJECT = nox.project.load_toml("pyproject.toml")
SUPPORTED = nox.project.python_versions(PYPROJECT)
WORKERS = ("--numprocesses", "2")


@nox.session
def lint(session: nox.Session) -> None:
    """The code follows the rules of ruff that we accepted, and its format."""
    session.install(*group("lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")


@nox.session
def layers(session: nox.Session) -> None:
    """Imports only go down, and the core stays free of I/O, clocks, locks and threads."""
    session.install(*group("lint"))
    session.run("lint-imports", "--no-cache", *session.posargs, env={"PYTHONPATH": "src"})


@nox.session
def typing(session: nox.Session) -> None:
    """Two type checkers agree, on the library and on the programs that its users write."""
    session.install("-e", ".[cli]", *group("typing"))
    session.run("mypy", *session.posargs)
    session.run("pyright", "--pythonpath", python_of(session.virtualenv.location), *session.posargs)


@nox.session(python=SUPPORTED)
def tests(session: nox.Session) -> None:
    """The tests pass on every Python that we support, against the package as it would be installed."""
    session.install(".[cli]", *group("tests"), *group("peers"), *group("services"))
    # Without coverage, whose own lock does not survive the Ctrl-C that some tests press.
    session.run("pytest", *WORKERS, *session.posargs)


@nox.session
def core_coverage(session: nox.Session) -> None:
    """The core is covered by its own tests, every line and every branch: coverage by accident is none."""
    session.install(".[cli]", *group("tests"), *group("peers"), *group("services"))
    env = {"COVERAGE_FILE": f".coverage.{session.name}"}
    session.run("pytest", *WORKERS, "tests/core", "--cov", "--cov-report=", *session.posargs, env=env)
    session.run("coverage", "report", "--include=*/genesys_stream/_core/*", "--fail-under=100", env=env)


@nox.session(python=SUPPORTED[0])
def minimums(session: nox.Session) -> None:
    """The tests pass with the oldest Python and the oldest dependencies that we claim to support."""
    constraints = Path(session.create_tmp()) / "minimums.txt"
    constraints.write_text("\n".join(lowest_versions(PYPROJECT["project"])) + "\n", encoding="utf-8")
    session.install("--constraint", str(constraints), ".[cli]", *group("tests"))
    session.run("pytest", *WORKERS, *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation builds without a warning or a dead reference, and its examples run."""
    session.install(".[cli]", *group("tests"), *group("services"), *group("docs"))
    built = Path("docs", "_build")
    shutil.rmtree(built, ignore_errors=True)
    session.run("sphinx-build", "-n", "-W", "--keep-going", "-T", "-q", "docs", str(built / "html"))
    session.run("pytest", "README.md", "docs", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """What we would upload installs into an empty environment, imports, is typed, and knows its version."""
    tmp = Path(session.create_tmp())
    dist, empty = tmp / "dist", tmp / "empty"
    shutil.rmtree(dist, ignore_errors=True)
    session.install("build")
    session.run("python", "-m", "build", "--outdir", str(dist))
    (wheel,) = dist.glob("*.whl")

    session.run("python", "-m", "venv", "--clear", str(empty))
    python = python_of(empty)
    session.run(python, "-m", "pip", "install", "--quiet", str(wheel), external=True)
    # From another folder, and isolated: nothing of this checkout may help.
    with session.chdir(tmp):
        session.run(python, "-I", "-c", CHECK_INSTALLED, external=True)
    session.run(python, "-m", "pip", "install", "--quiet", f"{wheel}[cli]", external=True)
    session.run(str(Path(python).with_name("genesys-stream")), "--version", external=True)


@nox.session
def bench(session: nox.Session) -> None:
    """What the library costs beside its peers and beside the bare minimum, in ratios; see docs/performance.md."""
    session.install(".[cli,aiohttp]", *group("bench"))
    session.run("python", "benchmarks/run.py", *session.posargs)


@nox.session(python=["3.11", "3.12"])
def fuzz(session: nox.Session) -> None:
    """Whatever bytes come in, the documented errors are the only way out; 60 s in all, or as many as you say."""
    try:
        session.install(".", *group("fuzz"))
    except CommandFailed:
        session.skip("atheris does not install here")
    seconds = int(session.posargs[0]) if session.posargs else 60
    for target in ("decoder", "chunks", "accumulator", "scanner", "assembler"):
        session.run("python", "fuzz/fuzz_machines.py", target, f"-max_total_time={max(1, seconds // 5)}")


CHECK_INSTALLED = """
import importlib.metadata, importlib.resources
import genesys_stream
assert importlib.resources.files("genesys_stream").joinpath("py.typed").is_file(), "py.typed is not in the wheel"
print("imported genesys-stream", importlib.metadata.version("genesys-stream"))
"""


def group(name: str) -> tuple[str, ...]:
    """What a dependency group of pyproject.toml asks for; works with any pip."""
    return nox.project.dependency_groups(PYPROJECT, name)


def lowest_versions(project: dict[str, object]) -> Iterator[str]:
    """`httpx>=0.27,<1` becomes `httpx==0.27`, for every dependency of the package and of its [cli]."""
    for line in requirements(project):
        requirement = Requirement(line)
        for specifier in requirement.specifier:
            if specifier.operator == ">=":
                yield f"{requirement.name}=={specifier.version}"


def requirements(project: dict[str, object]) -> Iterable[str]:
    """The requirements that an app with the command installed gets."""
    match project:
        case {"dependencies": [*required], "optional-dependencies": {"cli": [*cli]}}:
            return map(str, [*required, *cli])
    msg = "pyproject.toml: no dependencies, or no extra called cli"
    raise LookupError(msg)


def python_of(environment: str | os.PathLike[str]) -> str:
    """The interpreter of a virtual environment."""
    folder = "Scripts" if sys.platform == "win32" else "bin"
    return str(Path(environment, folder, "python").absolute())
