"""A docstring's first line is short. ruff checks the rest (D205, D400, D401, D403 in pyproject.toml)."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("schemas", "processors", "infra", "streams", "tests")
LONGEST, LONGEST_NAME = 100, 70


def nodes(path: Path) -> Iterator[ast.AST]:
    yield from ast.walk(ast.parse(path.read_text("utf-8")))


def test_first_lines_have_under_100_characters() -> None:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    long = [
        f"{path.relative_to(ROOT)}: {line}"
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        for node in nodes(path)
        if isinstance(node, kinds) and len(line := (ast.get_docstring(node) or "").partition("\n")[0]) >= LONGEST
    ]
    assert long == []


def test_first_lines_use_nouns_instead_of_what() -> None:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    # `what` in backticks is a parameter
    vague = [
        f"{path.relative_to(ROOT)}: {line}"
        for room in ROOMS[:-1]
        for path in (ROOT / room).rglob("*.py")
        for node in nodes(path)
        if isinstance(node, kinds)
        if re.search(
            r"(?<!`)\bwhat(ever)?\b", line := (ast.get_docstring(node) or "").partition("\n")[0], re.IGNORECASE
        )
    ]
    assert vague == []


def test_names_of_tests_have_at_most_70_characters() -> None:
    long = [
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        if len(node.name) > LONGEST_NAME
    ]
    assert long == []
