"""Imports go one way through the house: between its four floors, and between the rooms of each."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
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
# rooms from the lowest to the highest: a room imports only rooms before it
ORDER = {
    "streams": (
        "runtime",
        "transports",
        "pictures",
        "tiers",
        "heatmap",
        "generation",
        "experiments",
        "edge",
        "operate",
        "workers",
        "local",
        "client",
        "proof",
        "cli",
        "__main__",
    ),
    # `services`, `routes`, `server` and `processes`, beside these rooms, put them together
    "streams.edge": ("http", "beacons", "rest", "site", "studio"),
}
MOST_BESIDE = 3


@cache
def modules() -> dict[str, Path]:
    """Every module by its dotted name; a package goes by its own."""
    found = (path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")))
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in found}


def imported(source: str) -> Iterator[str]:
    """Modules of ours that a module imports, wherever in the module the import stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in ROOMS)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ROOMS:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules() else node.module


@cache
def imports() -> dict[str, set[str]]:
    """Return our modules that each module imports. At import, each worker would parse all files."""
    return {name: set(imported(path.read_text("utf-8"))) for name, path in modules().items()}


def room_of(module: str, floor: str) -> str | None:
    """The room of a floor that the module stands in."""
    inside = module.removeprefix(f"{floor}.")
    room = inside.split(".")[0]
    return room if inside != module and room in ORDER[floor] else None


@pytest.mark.parametrize("room", ROOMS)
def test_a_floor_imports_only_floors_below_it(room: str) -> None:
    inside = [name for name in modules() if name.split(".")[0] == room]
    assert inside, f"no modules found in {room}"
    wrong = {
        name: beyond
        for name in inside
        if (beyond := {one for one in imports()[name] if one.split(".")[0] not in MAY_IMPORT[room]})
    }
    assert wrong == {}


@pytest.mark.parametrize("floor", ORDER)
def test_a_room_imports_only_rooms_below_it(floor: str) -> None:
    order = ORDER[floor]
    wrong = [
        (name, other)
        for name, others in imports().items()
        for other in others
        if (room := room_of(name, floor))
        and (beyond := room_of(other, floor))
        and order.index(beyond) > order.index(room)
    ]
    assert wrong == []


def test_every_room_of_streams_has_its_place_in_the_order() -> None:
    rooms = {name.split(".")[1] for name in modules() if name.startswith("streams.")}
    assert rooms == set(ORDER["streams"])


def test_no_module_imports_itself_by_way_of_others() -> None:
    try:
        TopologicalSorter(imports()).prepare()
    except CycleError as error:
        raise AssertionError(error.args[1]) from error


def test_few_modules_stand_beside_the_rooms() -> None:
    assert len([path for path in (ROOT / "streams").glob("*.py") if path.name != "__init__.py"]) <= MOST_BESIDE


def test_a_wrong_way_import_is_seen() -> None:
    hidden_in_a_function = "def f():\n    from streams.workers.app import build_app\n"
    assert list(imported(hidden_in_a_function)) == ["streams.workers.app"]


def test_no_drawer_for_leftovers() -> None:
    names = {path.name for room in ROOMS for path in (ROOT / room).rglob("*.py")}
    assert names.isdisjoint({"utils.py", "helpers.py", "common.py", "misc.py"})
