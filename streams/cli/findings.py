"""`lpstream findings`: the places of a page where visitors meet a difficulty."""

import asyncio
import json
from typing import Annotated, Any

import aiohttp
import typer
from rich.table import Table

from processors.pictures.words import Language
from schemas.errors import LpstreamError
from schemas.heatmap import Device
from streams.local.console import DEFAULT_DATA, AsJson, Data, PageId, out, private_api

ANSWER_S = 60


def findings(
    lp_id: PageId,
    device: Annotated[Device | None, typer.Option(help="Kind of device; default: all.")] = None,
    start: Annotated[
        str,
        typer.Option("--from", help="ISO 8601; default: seven days before --to."),
    ] = "",
    end: Annotated[str, typer.Option("--to", help="ISO 8601; default: now.")] = "",
    language: Annotated[Language, typer.Option("--lang", help="Language of the sentences.")] = "en",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Print where visitors of a page meet a difficulty, the heaviest first."""
    given = {"device": device or "", "from": start, "to": end, "lang": language}
    report = asyncio.run(_get(*private_api(data), lp_id, {name: value for name, value in given.items() if value}))
    if as_json:
        typer.echo(json.dumps(report, ensure_ascii=False))
        return
    if report["findings"]:
        table = Table("finding", "suggestion", "visits", "device")
        for each in report["findings"]:
            table.add_row(each["text"], each["suggestion"]["text"], f"{each['visitors']:,}", each["device"])
        out.print(table)
    out.print(report["text"], highlight=False)


async def _get(api: str, token: str, lp_id: str, query: dict[str, str]) -> dict[str, Any]:
    url = f"{api}/lp/{lp_id}/findings"
    headers = {"Authorization": f"Bearer {token}"}
    timeout = aiohttp.ClientTimeout(total=ANSWER_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, params=query, headers=headers) as answer,
        ):
            body: dict[str, Any] = await answer.json(content_type=None)
            if answer.status != 200:
                raise LpstreamError(f"findings of {lp_id}: {body.get('message', answer.status)}")
            return body
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise LpstreamError(f"{url}: {type(error).__name__}: {error}") from error
