"""DDL for a replicated cluster: the same statements, with databases and tables in Keeper.

`{cluster}`, `{shard}` and `{replica}` are macros of the server's configuration; Altinity's operator sets them.
"""

import re

ON_CLUSTER = "ON CLUSTER '{cluster}'"
_DATABASE = re.compile(r"CREATE DATABASE IF NOT EXISTS (\w+)")
_ENGINE = re.compile(r"\bENGINE = (\w*MergeTree)")
_WINDOW = re.compile(r"\bnon_(replicated_deduplication_window) = (\d+)")
# the retention of the beacon topic; the server's default is one hour
WINDOW_S = 7 * 86_400


def replicated(statement: str) -> str:
    """Return the statement for a replicated cluster.

    Databases have the Replicated engine, so that later DDL on one replica, such as tables of warm days, runs on all.
    Deduplication windows keep their number of inserts, but live in Keeper for a week.
    """
    statement = _DATABASE.sub(
        rf"CREATE DATABASE IF NOT EXISTS \1 {ON_CLUSTER} "
        r"ENGINE = Replicated('/clickhouse/databases/\1', '{shard}', '{replica}')",
        statement,
    )
    return _WINDOW.sub(rf"\1 = \2, \1_seconds = {WINDOW_S}", _ENGINE.sub(r"ENGINE = Replicated\1", statement))
