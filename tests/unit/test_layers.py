"""Imports go one way through the house."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("schemas", "processors", "infra", "streams")
MAY_IMPORT = {
    "schemas": {"schemas"},
    "processors": {"schemas", "processors"},
    "infra": {"schemas", "infra"},
    "streams": set(ROOMS),
}


def rooms_imported(source: str) -> set[str]:
    """The rooms that a module's imports name, wherever in the module they stand."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found & set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_room_imports_only_what_is_below_it(room: str) -> None:
    modules = list((ROOT / room).rglob("*.py"))
    assert modules, f"no modules found in {room}"
    wrong = {
        str(module.relative_to(ROOT)): beyond
        for module in modules
        if (beyond := rooms_imported(module.read_text(encoding="utf-8")) - MAY_IMPORT[room])
    }
    assert wrong == {}


def test_a_wrong_way_import_is_seen() -> None:
    hidden_in_a_function = "def f():\n    from streams.app import build_app\n"
    assert rooms_imported(hidden_in_a_function) - MAY_IMPORT["processors"] == {"streams"}


def test_no_drawer_for_leftovers() -> None:
    names = {path.name for room in ROOMS for path in (ROOT / room).rglob("*.py")}
    assert names.isdisjoint({"utils.py", "helpers.py", "common.py", "misc.py"})
