"""DDL for a cluster of replicas: the same statements, with Keeper behind databases, tables and named collections.

`{cluster}`, `{shard}` and `{replica}` are macros of the server's configuration; Altinity's operator sets them.
"""

import re

ON_CLUSTER = "ON CLUSTER '{cluster}'"
_DATABASE = re.compile(r"CREATE DATABASE IF NOT EXISTS (\w+)")
_ENGINE = re.compile(r"\bENGINE = (\w*MergeTree)")
_WINDOW = re.compile(r"\bnon_(replicated_deduplication_window) = (\d+)")
# as long as the log of beacons; the server's own default is an hour
WINDOW_S = 7 * 86_400


def replicated(statement: str) -> str:
    """The statement as a cluster wants it.

    Databases are of the Replicated engine, so that what is made later on one replica, tables of warm days too, is made
    on all. Windows of deduplication count inserts as they do without replicas, but Keeper has them, for a week.
    """
    statement = _DATABASE.sub(
        rf"CREATE DATABASE IF NOT EXISTS \1 {ON_CLUSTER} "
        r"ENGINE = Replicated('/clickhouse/databases/\1', '{shard}', '{replica}')",
        statement,
    )
    return _WINDOW.sub(rf"\1 = \2, \1_seconds = {WINDOW_S}", _ENGINE.sub(r"ENGINE = Replicated\1", statement))
