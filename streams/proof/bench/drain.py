"""`lpstream bench --only drain_100`: the drain of a full log into ClickHouse.

Our worker and its peers take turns. Each reads the same log from its first record into empty tables of the same
database. The sums of the five tables that the peers fill must equal those of the produced events in every run.
"""

import os
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from schemas.errors import LpstreamError
from streams.proof.bench.frame import Row, Say, quiet, row
from streams.proof.bench.lab import CACHE, Lab, Run, lab
from streams.proof.bench.load import Filled, Load
from streams.proof.bench.peers import Peer
from streams.proof.bench.peers.bare import Bare
from streams.proof.bench.peers.kafka_streams import KafkaStreams
from streams.proof.bench.peers.quix import Quix

RECORDS = {1: 600_000, 10: 250_000, 100: 80_000}


@dataclass(slots=True)
class Contender:
    """A peer, its command and its runs. If it cannot run here, `command` is None and `obstacle` says why."""

    peer: Peer
    command: list[str] | None = None
    obstacle: str = ""
    runs: list[Run] = field(default_factory=list)


def all_peers() -> list[Peer]:
    """Return the peers, the most similar to our worker first."""
    return [Bare(), Quix(), KafkaStreams()]


def drain(
    size: int, *, rounds: int, load: Load | None = None, peers: list[Peer] | None = None, say: Say = quiet
) -> list[Row]:
    """Return a row `drain_<size>` for each peer: events/s, or records/s for beacons of one event."""
    load = load or Load(size, RECORDS[size])
    contenders = [_prepared(peer, say) for peer in (all_peers() if peers is None else peers)]
    ours: list[Run] = []
    with lab(say) as place:
        filled = place.new_log(load)
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            ours.append(_same_sums(ours, place.run_workers(filled)))
            for contender in contenders:
                _run(place, filled, contender, ours)
        versions = place.stack.versions()
    return [_row(filled, ours, contender, versions) for contender in contenders]


def _prepared(peer: Peer, say: Say) -> Contender:
    say(f"preparing {peer.name}")
    try:
        return Contender(peer, peer.prepare(CACHE))
    except LpstreamError as error:
        return Contender(peer, obstacle=str(error))


def _run(place: Lab, filled: Filled, contender: Contender, ours: list[Run]) -> None:
    """Run a peer once. A peer that fails is not run again, and its row says why."""
    if contender.command is None:
        return
    try:
        contender.runs.append(_same_sums(ours, place.run_peer(filled, contender.peer.name, contender.command)))
    except LpstreamError as error:
        contender.command, contender.obstacle = None, str(error)


def _same_sums(known: list[Run], run: Run) -> Run:
    for other in known[:1]:
        if other.sums != run.sums:
            raise LpstreamError(f"drain: the sums of two runs differ: {run.sums} and {other.sums}")
    return run


def _row(filled: Filled, ours: list[Run], contender: Contender, versions: dict[str, str]) -> Row:
    load = filled.load
    per = load.size if load.size == 1 else 1
    value = median(run.rate for run in ours) / per
    detail: dict[str, Any] = {
        "events_per_beacon": load.size,
        "records": load.records,
        "pages": load.lps,
        "bytes": filled.bytes,
        "rounds": len(ours),
        "cell_rows_per_event": round(median(run.rows / load.events for run in ours), 3),
        "records_per_second": round(value * per / load.size),
        "ours": summary(ours),
        "versions": {**versions, "peer": contender.peer.version()},
        "cores": os.cpu_count(),
    }
    reference: float | None = None
    if contender.obstacle:
        detail["not_run"] = contender.obstacle
    else:
        reference = median(run.rate for run in contender.runs) / per
        detail["peer"] = summary(contender.runs)
    name = contender.peer.name + (" (not run)" if contender.obstacle else "")
    unit = "records/s" if load.size == 1 else "events/s"
    return row(f"drain_{load.size}", name, value, unit, reference, detail)


def summary(runs: list[Run]) -> Row:
    """Return seconds of each run, median CPU seconds (of the peer and of ClickHouse) and peak memory."""
    return {
        "seconds": [round(run.seconds, 2) for run in runs],
        "cpu_s": round(median(run.cpu_s for run in runs), 2),
        "clickhouse_cpu_s": round(median(run.clickhouse_cpu_s for run in runs), 2),
        "rss_mb": round(max(run.rss_mb for run in runs)),
    }
