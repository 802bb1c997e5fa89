"""`lpstream sql`: read-only SQL on the views and tables, free or from the analysts' kit."""

import asyncio
import json
from datetime import date, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.table import Table

from infra.clickhouse.client import ClickHouse
from infra.clickhouse.kit import KitQuery, kit, kit_query
from schemas.errors import LpstreamError
from streams.local.console import DEFAULT_DATA, AsJson, Data, analyst, out, settings_for

KIT_DAYS = 30


def sql(
    query: Annotated[str, typer.Argument(help='For example: "SELECT * FROM lp_daily".')] = "",
    name: Annotated[str, typer.Option("--kit", help="Run a query of the analysts' kit; `list` shows all.")] = "",
    param: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE for a {NAME:Type} of the query; may be given several times.")
    ] = None,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Run one SQL query as the read-only analyst and print its rows."""
    if bool(query) == bool(name):
        raise LpstreamError("give either a query or --kit NAME; `--kit list` shows the names")
    values = dict(_pair(text) for text in param or [])
    try:
        "".join((query, *values.values())).encode()
    except UnicodeEncodeError as error:
        raise LpstreamError("the query or a --param has bytes that are not UTF-8") from error
    if name == "list":
        rows: list[dict[str, Any]] = [{"name": each.name, "answers": f"{each.title}. {each.about}"} for each in kit()]
    elif name:
        entry = kit_query(name)
        today = datetime.now(ZoneInfo(settings_for(data).timezone)).date()
        rows = asyncio.run(_rows(entry.sql, _filled(entry, values, today), *analyst(data)))
    else:
        rows = asyncio.run(_rows(query, values, *analyst(data)))
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, default=str))
        return
    table = Table(*(rows[0] if rows else ["no rows"]))
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    out.print(table)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise LpstreamError(f"--param {text}: give NAME=VALUE")
    return name, value


def _filled(query: KitQuery, values: dict[str, str], today: date) -> dict[str, str]:
    if unknown := values.keys() - query.parameters.keys():
        known = ", ".join(sorted(query.parameters)) or "none"
        raise LpstreamError(f"--param {min(unknown)}: --kit {query.name} has no such parameter, only: {known}")
    filled = _defaults(query, today) | values
    if missing := query.parameters.keys() - filled.keys():
        name = min(missing)
        raise LpstreamError(f"--kit {query.name}: give --param {name}=… ({query.parameters[name]})")
    return filled


def _defaults(query: KitQuery, today: date) -> dict[str, str]:
    """Return default parameters: 30 days with today, a change in their middle, all pages if possible."""
    days_ago = {"from": KIT_DAYS - 1, "change": KIT_DAYS // 2, "to": -1}
    defaults = {name: (today - timedelta(days=days)).isoformat() for name, days in days_ago.items()}
    if "{lp_id:String} = ''" in query.sql:
        defaults["lp_id"] = ""
    return {name: value for name, value in defaults.items() if name in query.parameters}


async def _rows(
    query: str, values: dict[str, str], url: str, user: str, password: str, ca_file: str | None
) -> list[dict[str, Any]]:
    clickhouse = ClickHouse.open(url, user, password, ca_file=ca_file)
    try:
        return await clickhouse.rows(query, values)
    finally:
        await clickhouse.close()
