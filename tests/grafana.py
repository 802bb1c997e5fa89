"""The SQL that Grafana's ClickHouse data source sends for a panel: variables and macros replaced."""

import re
from datetime import UTC, datetime

INTERVAL_S = 3_600


def _quoted(values: list[str]) -> str:
    return ",".join("'" + value.replace("'", "''") + "'" for value in values)


def sent(sql: str, picked: dict[str, list[str]], start: datetime, end: datetime) -> str:
    """Return the statement with variables and macros replaced as the data source's documentation says."""
    for name, values in picked.items():
        sql = sql.replace(f"${{{name}:sqlstring}}", _quoted(values))
    first, last = (int(one.astimezone(UTC).timestamp()) for one in (start, end))
    days = [one.astimezone(UTC).date().isoformat() for one in (start, end)]
    sql = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 >= toDateTime({first}) AND \1 <= toDateTime({last})", sql)
    sql = re.sub(r"\$__dateFilter\((\w+)\)", rf"\1 >= toDate('{days[0]}') AND \1 <= toDate('{days[1]}')", sql)
    sql = re.sub(r"\$__timeInterval\((\w+)\)", rf"toStartOfInterval(toDateTime(\1), INTERVAL {INTERVAL_S} second)", sql)
    assert "$" not in sql, f"unknown variable or macro: {sql}"
    return sql
