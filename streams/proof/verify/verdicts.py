"""The verdicts: the plan's checks compared with the measured values.

Each check becomes a row of `report.json` (`docs/contracts.md`).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from streams.proof.verify.scenarios import SCENARIOS, Check, Scenario

Row = dict[str, Any]
TOLERANCE = 1e-9
WHOLE = 0.99  # tolerance: drivers read the clock only a few times a second


def row(scenario: Scenario, check: Check, value: float | None, scale: float, seconds: float) -> Row:
    """Return the row of one check, measured for `seconds`. A `sized` limit is multiplied by the scale.

    The verdict is `not_run` if there is no value, or if a `whole` check was measured for too short a time.
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
    """Return the rows of all checks; a scenario that was not run has `not_run` rows."""
    verdicts = []
    for name, scenario in SCENARIOS.items():
        run = runs.get(name)
        measures = run["measures"] if run else {}
        scale, seconds = (run["scale"], run["seconds"]) if run else (1.0, 0.0)
        verdicts += [row(scenario, check, measures.get(check.measure), scale, seconds) for check in scenario.checks]
    return verdicts


def failed(verdicts: Iterable[Row]) -> list[Row]:
    """Return the rows whose verdict is `fail`."""
    return [verdict for verdict in verdicts if verdict["verdict"] == "fail"]
