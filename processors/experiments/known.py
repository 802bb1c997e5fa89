"""Everything that `lp.experiments` says: the newest record of each kind, by page."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, TypeVar

from processors.experiments.decisions import carried_out
from schemas.autopilot import AutopilotCommand, AutopilotState
from schemas.errors import DecodeError
from schemas.experiments import ExperimentCommand, ExperimentState, PastWeights
from schemas.generation import Model, decode_model

Order = TypeVar("Order", ExperimentCommand, AutopilotCommand)
Taken = ExperimentCommand | ExperimentState | PastWeights | AutopilotCommand | AutopilotState
# the beginning of each record's key, with its field of `Known` and its model
KINDS: dict[str, tuple[str, type[Model]]] = {
    "": ("states", ExperimentState),
    "command:": ("commands", ExperimentCommand),
    "weights:": ("weights", PastWeights),
    "autopilot-command:": ("pilot_commands", AutopilotCommand),
    "autopilot:": ("pilots", AutopilotState),
}


@dataclass(slots=True)
class Known:
    """The newest records by page, and all commands since the last that was carried out.

    Commands are in the order of the log. An empty record removes the records of its key.
    """

    commands: dict[str, list[ExperimentCommand]] = field(default_factory=dict)
    states: dict[str, ExperimentState] = field(default_factory=dict)
    weights: dict[str, PastWeights] = field(default_factory=dict)
    pilot_commands: dict[str, list[AutopilotCommand]] = field(default_factory=dict)
    pilots: dict[str, AutopilotState] = field(default_factory=dict)

    @property
    def orders(self) -> list[ExperimentCommand | AutopilotCommand]:
        """All commands that may not be carried out yet."""
        return [*chain(*self.commands.values()), *chain(*self.pilot_commands.values())]

    @property
    def highest_epoch(self) -> int:
        """The highest epoch of any state, 0 without states."""
        return max((state.epoch for states in (self.states, self.pilots) for state in states.values()), default=0)

    def has(self, lp_id: str) -> bool:
        """Return whether there is a record of the page. There is none after `lpstream erase`."""
        return any(lp_id in getattr(self, name) for name, _ in KINDS.values())

    def take(self, key: bytes | None, value: bytes | None) -> Taken | None:
        """Use a record, in the order of the log. Return it, or None if it removes something or is old.

        Raise DecodeError if it is no record of experiments, or stands under another key than its own.
        """
        kind, colon, lp_id = (key or b"").decode(errors="replace").rpartition(":")
        if kind + colon not in KINDS:
            if value:
                raise DecodeError("", f"no record has a key that begins with {kind}:")
            return None
        name, model = KINDS[kind + colon]
        records: dict[str, Any] = getattr(self, name)
        if not value:
            records.pop(lp_id, None)
            return None
        record: Any = decode_model(model, value)
        if record.key != key:
            raise DecodeError("lp_id", f"the record's key is not {record.key.decode()}")
        before = records.get(record.lp_id)
        if isinstance(before, ExperimentState | AutopilotState) and before.order >= record.order:
            return None
        if isinstance(record, ExperimentCommand | AutopilotCommand):
            records.setdefault(record.lp_id, []).append(record)
        else:
            records[record.lp_id] = record
        self._forget_done(record.lp_id)
        taken: Taken = record
        return taken

    def _forget_done(self, lp_id: str) -> None:
        """Drop the page's commands before the last that was carried out."""
        state, pilot = self.states.get(lp_id), self.pilots.get(lp_id)
        done_id = pilot.command_id if pilot is not None else None
        _cut(self.commands.get(lp_id), lambda command: carried_out(command, state))
        _cut(self.pilot_commands.get(lp_id), lambda command: command.command_id == done_id)


def _cut(orders: list[Order] | None, done: Callable[[Order], bool]) -> None:
    if orders:
        del orders[: max((at for at, order in enumerate(orders) if done(order)), default=0)]
