"""`lpstream sql`: read-only SQL against the views and tables."""

import asyncio
import json
from typing import Annotated, Any

import typer
from rich.table import Table

from infra.clickhouse.client import ClickHouse
from streams.cli.console import DEFAULT_DATA, AsJson, Data, analyst, out


def sql(
    query: Annotated[str, typer.Argument(help='For example: "SELECT * FROM lp_daily".')],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Run one SQL query as the read-only analyst and print its rows."""
    rows = asyncio.run(_rows(query, *analyst(data)))
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, default=str))
        return
    table = Table(*(rows[0] if rows else ["no rows"]))
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    out.print(table)


async def _rows(query: str, url: str, user: str, password: str) -> list[dict[str, Any]]:
    clickhouse = ClickHouse.open(url, user, password)
    try:
        return await clickhouse.rows(query)
    finally:
        await clickhouse.close()
