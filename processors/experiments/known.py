"""Everything that `lp.experiments` says: the newest record of each kind, by page."""

from dataclasses import dataclass, field
from typing import Any, TypeVar

from schemas.autopilot import AutopilotCommand, AutopilotState
from schemas.errors import DecodeError
from schemas.experiments import ExperimentCommand, ExperimentState, PastWeights
from schemas.generation import decode_model

Taken = ExperimentCommand | ExperimentState | PastWeights | AutopilotCommand | AutopilotState
Record = TypeVar("Record", ExperimentCommand, ExperimentState, PastWeights, AutopilotCommand, AutopilotState)
State = TypeVar("State", ExperimentState, AutopilotState)
COMMAND, WEIGHTS, PILOT_COMMAND, PILOT = KINDS = "command:", "weights:", "autopilot-command:", "autopilot:"


@dataclass(slots=True)
class Known:
    """The newest records by page. An empty record removes the record of its key."""

    commands: dict[str, ExperimentCommand] = field(default_factory=dict)
    states: dict[str, ExperimentState] = field(default_factory=dict)
    weights: dict[str, PastWeights] = field(default_factory=dict)
    pilot_commands: dict[str, AutopilotCommand] = field(default_factory=dict)
    pilots: dict[str, AutopilotState] = field(default_factory=dict)

    @property
    def highest_epoch(self) -> int:
        """The highest epoch of any state, 0 without states."""
        return max((state.epoch for states in (self.states, self.pilots) for state in states.values()), default=0)

    def take(self, key: bytes | None, value: bytes | None) -> Taken | None:
        """Use a record, in the order of the log. Return it, or None if it removes something or is old.

        Raise DecodeError if it is no record of experiments, or stands under another key than its own.
        """
        name = (key or b"").decode(errors="replace")
        if not value:
            self._remove(name)
            return None
        if name.startswith(COMMAND):
            return self._placed(self.commands, decode_model(ExperimentCommand, value), key)
        if name.startswith(WEIGHTS):
            return self._placed(self.weights, decode_model(PastWeights, value), key)
        if name.startswith(PILOT_COMMAND):
            return self._placed(self.pilot_commands, decode_model(AutopilotCommand, value), key)
        if name.startswith(PILOT):
            return self._newer(self.pilots, decode_model(AutopilotState, value), key)
        return self._newer(self.states, decode_model(ExperimentState, value), key)

    def _newer(self, records: dict[str, State], state: State, key: bytes | None) -> State | None:
        before = records.get(state.lp_id)
        if before is not None and before.order >= state.order:
            return None
        return self._placed(records, state, key)

    def _placed(self, records: dict[str, Record], record: Record, key: bytes | None) -> Record:
        if record.key != key:
            raise DecodeError("lp_id", f"the record's key is not {record.key.decode()}")
        records[record.lp_id] = record
        return record

    def _remove(self, name: str) -> None:
        kind, _, lp_id = name.rpartition(":")
        records: list[dict[str, Any]] = [self.states, self.commands, self.weights, self.pilot_commands, self.pilots]
        by_kind = dict(zip(("", *KINDS), records, strict=True))
        by_kind.get(f"{kind}:" if kind else "", {}).pop(lp_id, None)
