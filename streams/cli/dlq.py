"""`lpstream dlq`: list, show and replay dead letters; skip batches that cannot be read."""

import asyncio
import dataclasses
import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.progress import Progress
from rich.table import Table

from infra.kafka.skips import SUFFIX
from schemas.errors import LpstreamError, Refused
from streams.local.addresses import data_option
from streams.local.console import DEFAULT_DATA, AsJson, Data, err, out, printable, say, settings_for
from streams.operate.dead_letters import PAGE_OF, DeadLetters, Letter, OnError, Outcome
from streams.runtime.settings import Settings

app = typer.Typer(add_completion=False, help="Dead letters: records that could not be decoded.", no_args_is_help=True)
Topic = Annotated[str, typer.Argument(help="Topic, such as heatmap.events (or its .dlq).")]
SHOWN_BYTES = 300


@app.command("ls")
def list_(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """List the number of waiting letters by topic, with the most common causes."""
    settings = settings_for(data)

    async def collect() -> list[dict[str, Any]]:
        return [dataclasses.asdict(await DeadLetters(settings, topic).summary()) for topic in PAGE_OF]

    rows = asyncio.run(collect())
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
        return
    table = Table("topic", "waiting", "skipped", "first", "last", "causes")
    for row in rows:
        causes = "\n".join(f"{count:,} × {printable(cause)}" for cause, count in row["causes"])
        counts = f"{row['letters']:,}", f"{row['skipped']:,}"
        table.add_row(row["topic"], *counts, _time(row["first_ms"]), _time(row["last_ms"]), causes)
    out.print(table)


@app.command()
def show(
    topic: Topic,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of letters.")] = 10,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Show waiting letters: their origin, error and bytes."""
    letters = asyncio.run(_first(DeadLetters(settings_for(data), topic), limit))
    if as_json:
        typer.echo(json.dumps([_plain(letter) for letter in letters], ensure_ascii=False))
        return
    for letter in letters:
        out.print(f"[{letter.partition}]@{letter.offset} {_time(letter.timestamp_ms)} from {letter.origin}")
        out.print(f"  {printable(letter.error)}", style="red")
        content = _shown(letter.value) if letter.skip_to is None else "nothing to replay"
        out.print(f"  {content}", highlight=False)
    say(f"{len(letters)} shown")


@app.command()
def replay(
    topic: Topic,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of letters.")] = 1_000,
    on_error: Annotated[
        OnError, typer.Option(help="If a letter still cannot be decoded: stop there, or requeue it and continue.")
    ] = "stop",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Send each waiting letter to its topic again, once, except records of pages that were erased since."""
    counts, stopped = asyncio.run(_replay(settings_for(data), topic, limit, on_error))
    if as_json:
        typer.echo(json.dumps({**counts, "stopped": stopped is not None}))
    else:
        say(f"{counts['replayed']:,} replayed, {counts['requeued']:,} requeued, {counts['erased']:,} of erased pages")
    if stopped is not None:
        letter, wrong = stopped
        raise LpstreamError(
            f"stopped at {topic}[{letter.partition}]@{letter.offset}, which still cannot be decoded: "
            f"{printable(wrong)}; see it with `lpstream dlq show {topic}{data_option(data)}`, "
            "or continue past it with --on-error requeue"
        )


@app.command()
def skip(
    topic: Annotated[str, typer.Argument(help="Stopped topic, such as heatmap.events.")],
    partition: Annotated[int, typer.Argument(min=0, help="Stopped partition, from the worker's log.")],
    offset: Annotated[int, typer.Argument(min=0, help="Offset that cannot be read, from the worker's log.")],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Skip a batch that cannot be read: its records are lost, and a dead letter records that."""
    if topic.endswith(SUFFIX):
        raise Refused(f"{topic} holds dead letters; give the stopped topic, {topic.removesuffix(SUFFIX)}")
    skipped = asyncio.run(DeadLetters(settings_for(data), topic).skip(partition, offset))
    if as_json:
        typer.echo(json.dumps({"first": skipped.first, "next": skipped.next}))
    else:
        say(f"offsets {skipped.first} to {skipped.next - 1} are skipped; a running worker continues within seconds")


async def _replay(
    settings: Settings, topic: str, limit: int, on_error: OnError
) -> tuple[dict[Outcome, int], tuple[Letter, str] | None]:
    letters = DeadLetters(settings, topic)
    counts: dict[Outcome, int] = {"replayed": 0, "requeued": 0, "erased": 0}
    with Progress(console=err) as progress:
        task = progress.add_task("letters", total=min(limit, await letters.count()))
        async for letter, outcome, wrong in letters.replay(limit, on_error):
            if outcome == "stopped":
                return counts, (letter, wrong)
            counts[outcome] += 1
            progress.advance(task)
    return counts, None


async def _first(letters: DeadLetters, limit: int) -> list[Letter]:
    first: list[Letter] = []
    async for letter in letters.read():
        first.append(letter)
        if len(first) == limit:
            break
    return first


def _plain(letter: Letter) -> dict[str, Any]:
    names = ("partition", "offset", "timestamp_ms", "error", "origin", "skip_to")
    fields = {name: getattr(letter, name) for name in names}
    return {**fields, "key": _text(letter.key), "value": _text(letter.value)}


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", errors="backslashreplace")


def _shown(value: bytes) -> str:
    more = f" … {len(value):,} bytes" if len(value) > SHOWN_BYTES else ""
    return printable(_text(value[:SHOWN_BYTES]) or "") + more


def _time(at_ms: int | None) -> str:
    return "" if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
