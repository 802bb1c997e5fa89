"""`lpstream bench --only fold`: decode and fold on one core, compared with ClickHouse on one core.

The two sides read the same bytes in turn, each measurement in a new process. Their sums must be equal.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any

from schemas.errors import LpstreamError
from streams.local.installation import MALLOC
from streams.proof.bench.frame import Row, Say, quiet, row
from streams.proof.bench.tables import SUMS
from streams.proof.load import beacons
from streams.runtime.gc_tuning import tune_collector

SIZES = {1: 100_000, 10: 40_000, 100: 8_000}
SLICE = 2_000


def fold(*, rounds: int, say: Say = quiet) -> list[Row]:
    """Return a row `fold` for each size of beacon."""
    with tempfile.TemporaryDirectory() as folder:
        return [_compare(Path(folder) / f"{size}.jsonl", size, count, rounds, say) for size, count in SIZES.items()]


def _compare(file: Path, size: int, count: int, rounds: int, say: Say) -> Row:
    file.write_bytes(b"\n".join(body for _, body in beacons(size, count, now_ms=int(time.time() * 1000))) + b"\n")
    ours: list[float] = []
    theirs: list[float] = []
    version = ""
    for number in range(rounds):
        say(f"beacons of {size}, round {number + 1} of {rounds}")
        fold_run, clickhouse_run = _run("ours", file), _run("clickhouse", file)
        if fold_run["sums"] != clickhouse_run["sums"]:
            sums = f"{fold_run['sums']} and {clickhouse_run['sums']}"
            raise LpstreamError(f"fold: beacons of {size}: the sums of fold and ClickHouse differ: {sums}")
        ours.append(size * count / fold_run["seconds"])
        theirs.append(size * count / clickhouse_run["seconds"])
        version = clickhouse_run["version"]
    value, reference = median(ours), median(theirs)
    detail = {
        "events_per_beacon": size,
        "beacons": count,
        "bytes": file.stat().st_size,
        "rounds": len(ours),
        "min": round(min(ours)),
        "max": round(max(ours)),
        "records_per_second": round(value / size),
    }
    name = f"ClickHouse {version} (chDB), parse + group, one thread, beacons of {size}"
    return row("fold", name, value, "events/s", reference, detail)


def _run(side: str, file: Path) -> dict[str, Any]:
    """Run one measurement in a new process."""
    command = [sys.executable, "-m", "streams.proof.bench.fold", side, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
    if done.returncode != 0:
        raise LpstreamError(f"fold: {side} failed: {done.stderr[-500:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _environment() -> dict[str, str]:
    return {**os.environ, **MALLOC, "OMP_NUM_THREADS": "1"}


def _ours(file: Path) -> dict[str, Any]:
    tune_collector()
    values = file.read_bytes().splitlines()
    _folded(values)  # warm up, as the other side does, so that lazy loading is not timed
    started = time.perf_counter()
    tables = _folded(values)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "sums": {name: _sums(table, name) for name, table in tables.items()}}


def _folded(values: list[bytes]) -> dict[str, Any]:
    import numpy as np

    from processors.heatmap.decode import Fold, decode

    now, fold = int(time.time() * 1000), Fold()
    for at in range(0, len(values), SLICE):
        part = values[at : at + SLICE]
        fold.add(decode(part, np.full(len(part), now)).columns)
    return fold.tables()


def _sums(table: Any, name: str) -> list[int]:
    return [int(sum(table[column].to_numpy())) for column in SUMS[name]]


def _clickhouse(file: Path) -> dict[str, Any]:
    import chdb
    from chdb import session

    from infra.clickhouse.migrate import statements

    text = files("streams.proof.bench").joinpath("fold_reference.sql").read_text("utf-8").replace("{file}", str(file))
    server = session.Session()
    server.query("SET max_threads = 1")
    seconds = 0.0
    for database in ("warm", "bench"):
        server.query(f"CREATE DATABASE {database}")
        server.query(f"USE {database}")
        started = time.perf_counter()
        for statement in statements(text):
            server.query(statement)
        seconds = time.perf_counter() - started
    sums = {}
    for name, columns in SUMS.items():
        selected = ", ".join(f"sum({column})" for column in columns)
        answer = server.query(f"SELECT {selected} FROM {name}", "JSONCompactColumns")
        row = [int(column[0]) for column in json.loads(answer.bytes())]
        if any(row):
            sums[name] = row
    return {"seconds": seconds, "sums": sums, "version": chdb.engine_version}


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"ours": _ours, "clickhouse": _clickhouse}[sys.argv[1]](Path(sys.argv[2]))))
