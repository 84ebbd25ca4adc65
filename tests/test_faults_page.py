"""Each row of docs/faults.md is proved by tests that exist, and each test of the matrix has a row."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("|") and not line.startswith(("| fault |", "| --- |"))]
MATRIX = "tests/shells/test_faults.py"


def names_in(path):
    """The names of a file's tests, as pytest knows them."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    for node in tree.body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        for one in inside:
            if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)) and one.name.startswith("test_"):
                yield f"{path}::{prefix}{one.name}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_a_row_names_tests_that_exist(row):
    """Four cells, and at least one test."""
    cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip("|"))]
    named = re.findall(r"`(tests/[^`]+)`", cells[-1])

    assert len(cells) == 4
    assert all(cells)
    assert named
    for name in named:
        assert name in set(names_in(name.partition("::")[0]))


def test_every_test_of_the_matrix_has_a_row():
    """A fault that is tested is also told."""
    assert [name for name in names_in(MATRIX) if f"`{name}`" not in PAGE] == []
