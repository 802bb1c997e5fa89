"""`lpstream bench --only scale_out`: how workers, pages, partitions and events change a drain."""

import os
from statistics import median

from streams.proof.bench.drain import summary
from streams.proof.bench.frame import Row, Say, quiet, row
from streams.proof.bench.lab import Lab, Run, lab
from streams.proof.bench.load import Load

RECORDS = 60_000
SIZE = 100
PAGES = (10, 100, 1_000, 10_000)  # the reference has one page
USUAL, MORE = 3, (12, 48)
LONGER = 4  # times the events


def scale_out(*, rounds: int, records: int = RECORDS, say: Say = quiet) -> list[Row]:
    """Return a row `scale_out` in events/s for each comparison."""
    load = Load(SIZE, records)
    with lab(say) as place:
        one, two = _workers(place, load, rounds)
        one_page, *several = (_runs(place, Load(SIZE, records, lps=pages), USUAL, rounds) for pages in (1, *PAGES))
        more = [_runs(place, load, partitions, rounds) for partitions in MORE]
        longer = _runs(place, Load(SIZE, LONGER * records), USUAL, rounds)
    return [
        _row("2 workers against 1", two, one),
        *(_row(f"{pages:,} pages against 1", runs, one_page) for pages, runs in zip(PAGES, several, strict=True)),
        *(_row(f"{count} partitions against {USUAL}", runs, one) for count, runs in zip(MORE, more, strict=True)),
        _row(f"{LONGER} times the events", longer, one),
    ]


def _workers(place: Lab, load: Load, rounds: int) -> tuple[list[Run], list[Run]]:
    """Return the runs of one worker and of two workers, taken in turn on the same log."""
    filled = place.new_log(load, partitions=USUAL)
    one: list[Run] = []
    two: list[Run] = []
    for _ in range(rounds):
        one.append(place.run_workers(filled, 1))
        two.append(place.run_workers(filled, 2))
    return one, two


def _runs(place: Lab, load: Load, partitions: int, rounds: int) -> list[Run]:
    filled = place.new_log(load, partitions=partitions)
    return [place.run_workers(filled) for _ in range(rounds)]


def _row(name: str, runs: list[Run], others: list[Run]) -> Row:
    value, reference = (median(run.rate for run in each) for each in (runs, others))
    detail = {
        "cell_rows_per_event": [round(run.rows / run.events, 3) for run in (runs[0], others[0])],
        "first": summary(runs),
        "second": summary(others),
        "cores": os.cpu_count(),
        "note": "the broker, ClickHouse and the workers share these cores",
    }
    return row("scale_out", name, value, "events/s", reference, detail)
