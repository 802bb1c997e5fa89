"""The plan's lines held against what was measured: rows of `report.json`, as `contracts.md` has them."""

from collections.abc import Iterable, Mapping
from typing import Any

from streams.proof.verify.scenarios import SCENARIOS, Check, Scenario

Row = dict[str, Any]
TOLERANCE = 1e-9
WHOLE = 0.99  # drivers look at the clock a few times a second


def row(scenario: Scenario, check: Check, value: float | None, scale: float, seconds: float) -> Row:
    """One line, measured for so many s. A limit that is sized is the limit at that scale.

    `not_run` is what was not measured, and what would have needed the scenario's whole time.
    """
    limit = check.limit * scale if check.sized else check.limit
    if value is None or (check.whole and seconds < WHOLE * scenario.seconds):
        verdict = "not_run"
    elif check.comparator == ">=":
        verdict = "pass" if value >= limit - TOLERANCE else "fail"
    else:
        verdict = "pass" if value <= limit + TOLERANCE else "fail"
    return {
        "id": f"{scenario.name}.{check.measure}",
        "scenario": scenario.name,
        "measure": check.measure,
        "unit": check.unit,
        "limit": limit,
        "comparator": check.comparator,
        "value": None if value is None else round(value, 5),
        "scale": scale,
        "verdict": verdict,
    }


def rows(runs: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """All lines of the plan; those of a scenario that was not run are `not_run`."""
    found = []
    for name, scenario in SCENARIOS.items():
        run = runs.get(name)
        measures = run["measures"] if run else {}
        scale, seconds = (run["scale"], run["seconds"]) if run else (1.0, 0.0)
        found += [row(scenario, check, measures.get(check.measure), scale, seconds) for check in scenario.checks]
    return found


def failed(told: Iterable[Row]) -> list[Row]:
    """Lines that did not keep their limit."""
    return [one for one in told if one["verdict"] == "fail"]
