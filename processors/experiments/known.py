"""Everything that `lp.experiments` says: the newest command, state and past weights of each page."""

from dataclasses import dataclass, field
from typing import TypeVar

from schemas.errors import DecodeError
from schemas.experiments import ExperimentCommand, ExperimentState, PastWeights
from schemas.generation import decode_model

Record = TypeVar("Record", ExperimentCommand, ExperimentState, PastWeights)
COMMAND, WEIGHTS = "command:", "weights:"


@dataclass(slots=True)
class Known:
    """The newest records by page. An empty record removes what it has the key of."""

    commands: dict[str, ExperimentCommand] = field(default_factory=dict)
    states: dict[str, ExperimentState] = field(default_factory=dict)
    weights: dict[str, PastWeights] = field(default_factory=dict)

    @property
    def highest_epoch(self) -> int:
        """The highest epoch of any state, 0 without states."""
        return max((state.epoch for state in self.states.values()), default=0)

    def take(self, key: bytes | None, value: bytes | None) -> ExperimentCommand | ExperimentState | PastWeights | None:
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
        state = decode_model(ExperimentState, value)
        before = self.states.get(state.lp_id)
        if before is not None and before.order >= state.order:
            return None
        return self._placed(self.states, state, key)

    def _placed(self, records: dict[str, Record], record: Record, key: bytes | None) -> Record:
        if record.key != key:
            raise DecodeError("lp_id", f"the record's key is not {record.key.decode()}")
        records[record.lp_id] = record
        return record

    def _remove(self, name: str) -> None:
        if name.startswith(COMMAND):
            self.commands.pop(name.removeprefix(COMMAND), None)
        elif name.startswith(WEIGHTS):
            self.weights.pop(name.removeprefix(WEIGHTS), None)
        else:
            self.states.pop(name, None)
