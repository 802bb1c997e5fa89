"""The figure that tells how costly rested memory is on this machine."""

import pytest

from streams.proof.bench import machine


def test_the_machine_has_one_row_of_two_positive_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PAGES", 50)
    said: list[str] = []
    (found,) = machine.machine(rounds=1, say=said.append)
    assert found["id"] == "machine" and found["value"] > 0 and found["reference_value"] > 0
    assert said == ["50 pages of memory, after 50 ms of sleep and without"]
