"""Findings, orders and states of autopilot for tests, each step made by the code of the optimizer."""

from typing import Any
from uuid import uuid4

from processors.experiments.autopilot import Facts, Next, next_step, step_after
from processors.findings.looks import Where
from processors.findings.report import Finding, Suggestion
from schemas.autopilot import AutopilotCommand, AutopilotState
from schemas.experiments import ExperimentState
from schemas.generation import Result

NOW = 1_795_451_374_000


def finding(kind: Any = "section_left", section: str | None = "solution", change: Any = "copy") -> Finding:
    where = Where(section, 0, 800)
    sections = [section] if section else []
    suggestion = Suggestion(change, sections, "Write it anew.", "Visitors leave. Write it anew.")
    return Finding(
        kind, "mobile", where, None, f"Visitors leave at {section}.", suggestion, 90, 0.2, 0.2, 0.1, 0.3, "share", {}
    )


def order(command: Any, *, approval: bool = False, tenant_id: str = "demo") -> AutopilotCommand:
    return AutopilotCommand(
        command=command, command_id=uuid4(), tenant_id=tenant_id, lp_id="demo-a", approval=approval, requested_ms=NOW
    )


def on(*, approval: bool = False) -> AutopilotState:
    step = step_after(order("on", approval=approval), None, Facts(), epoch=1, now_ms=NOW)
    assert step is not None and step.request is None and step.starts is None
    return step.state


def go(state: AutopilotState, seen: Facts, after_ms: int = 0, epoch: int = 1) -> Next:
    step = next_step(state, seen, epoch=epoch, now_ms=NOW + after_ms)
    assert step is not None, "there is a step"
    assert step.state.order > state.order
    return step


def asked(*, approval: bool = False) -> AutopilotState:
    return go(on(approval=approval), Facts(findings=[finding()])).state


def result(state: AutopilotState, status: Any = "completed", **change: Any) -> Result:
    request_id = state.variant_request_id
    assert request_id is not None
    page = {"lp_id": "demo-v", "preview_url": "http://edge/preview"} if status in ("completed", "degraded") else {}
    return Result.model_validate({"request_id": request_id, "tenant_id": "demo", "status": status, **page, **change})


def ready(*, approval: bool = False) -> AutopilotState:
    state = asked(approval=approval)
    return go(state, Facts(result=result(state))).state


def under_test() -> AutopilotState:
    return go(ready(), Facts()).state


def experiment(state: AutopilotState | None = None, status: Any = "running", **change: Any) -> ExperimentState:
    own = state.experiment_id if state is not None else uuid4()
    values = {
        "experiment_id": own, "tenant_id": "demo", "lp_id": "demo-a", "arms": ["demo-a", "demo-v"], "requested_ms": 1,
        "epoch": 1, "number": 0, "status": status, "weights": [0.5, 0.5], "started_ms": NOW, "counted_from_ms": NOW,
        "decided_ms": NOW, "reason": "because",
    }  # fmt: skip
    return ExperimentState.model_validate(values | change)
