"""`lpstream dlq`: dead letters, looked at and sent again; batches that cannot be read, passed."""

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
from streams.local.console import DEFAULT_DATA, AsJson, Data, err, out, say, settings_for
from streams.operate.dead_letters import CHECKS, DeadLetters, Letter, OnError
from streams.runtime.settings import Settings

app = typer.Typer(add_completion=False, help="Dead letters: records that could not be decoded.", no_args_is_help=True)
Topic = Annotated[str, typer.Argument(help="Topic, such as heatmap.events (or its .dlq).")]
SHOWN_BYTES = 300


@app.command("ls")
def list_(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """List what waits, by topic, with the commonest causes."""
    settings = settings_for(data)

    async def collect() -> list[dict[str, Any]]:
        return [dataclasses.asdict(await DeadLetters(settings, topic).summary()) for topic in CHECKS]

    rows = asyncio.run(collect())
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
        return
    table = Table("topic", "waiting", "skipped", "first", "last", "causes")
    for row in rows:
        causes = "\n".join(f"{count:,} × {_safe(cause)}" for cause, count in row["causes"])
        counts = f"{row['letters']:,}", f"{row['skipped']:,}"
        table.add_row(row["topic"], *counts, _time(row["first_ms"]), _time(row["last_ms"]), causes)
    out.print(table)


@app.command()
def show(
    topic: Topic,
    limit: Annotated[int, typer.Option(min=1, help="How many letters.")] = 10,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Show waiting letters: where each came from, what is wrong, its bytes."""
    letters = asyncio.run(_first(DeadLetters(settings_for(data), topic), limit))
    if as_json:
        typer.echo(json.dumps([_plain(letter) for letter in letters], ensure_ascii=False))
        return
    for letter in letters:
        out.print(
            f"[{letter.partition}]@{letter.offset} {_time(letter.timestamp_ms)} from {letter.origin}", markup=False
        )
        out.print(f"  {_safe(letter.error)}", markup=False, style="red")
        holds = _shown(letter.value) if letter.skip_to is None else "nothing to replay"
        out.print(f"  {holds}", markup=False, highlight=False)
    say(f"{len(letters)} shown")


@app.command()
def replay(
    topic: Topic,
    limit: Annotated[int, typer.Option(min=1, help="Replay at most so many.")] = 1_000,
    on_error: Annotated[
        OnError, typer.Option(help="A letter that still cannot be decoded: stop there, or requeue it and go on.")
    ] = "stop",
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Send waiting letters to their topic again, each once."""
    replayed, requeued, stopped = asyncio.run(_replay(settings_for(data), topic, limit, on_error))
    if as_json:
        typer.echo(json.dumps({"replayed": replayed, "requeued": requeued, "stopped": stopped is not None}))
    else:
        say(f"{replayed:,} replayed, {requeued:,} requeued")
    if stopped is not None:
        letter, wrong = stopped
        raise LpstreamError(
            f"stopped at {topic}[{letter.partition}]@{letter.offset}, which still cannot be decoded: {_safe(wrong)}; "
            "look at it with `lpstream dlq show`, or go on with --on-error requeue"
        )


@app.command()
def skip(
    topic: Annotated[str, typer.Argument(help="Topic that is stopped, such as heatmap.events.")],
    partition: Annotated[int, typer.Argument(min=0, help="Its partition, as the log names it.")],
    offset: Annotated[int, typer.Argument(min=0, help="The offset that cannot be read, as the log names it.")],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Pass a batch that cannot be read: what is in it is lost, and a dead letter says so."""
    if topic.endswith(SUFFIX):
        raise Refused(f"{topic} holds dead letters; name the topic that is stopped, {topic.removesuffix(SUFFIX)}")
    passed = asyncio.run(DeadLetters(settings_for(data), topic).skip(partition, offset))
    if as_json:
        typer.echo(json.dumps({"first": passed.first, "next": passed.next}))
    else:
        say(f"offsets {passed.first} to {passed.next - 1} are passed; a running worker goes on within seconds")


async def _replay(
    settings: Settings, topic: str, limit: int, on_error: OnError
) -> tuple[int, int, tuple[Letter, str] | None]:
    letters = DeadLetters(settings, topic)
    replayed = requeued = 0
    with Progress(console=err) as progress:
        task = progress.add_task("letters", total=min(limit, await letters.count()))
        async for letter, wrong in letters.replay(limit, on_error):
            if wrong is not None and on_error == "stop":
                return replayed, requeued, (letter, wrong)
            replayed += wrong is None
            requeued += wrong is not None
            progress.advance(task)
    return replayed, requeued, None


async def _first(letters: DeadLetters, limit: int) -> list[Letter]:
    found: list[Letter] = []
    async for letter in letters.read():
        found.append(letter)
        if len(found) == limit:
            break
    return found


def _plain(letter: Letter) -> dict[str, Any]:
    names = ("partition", "offset", "timestamp_ms", "error", "origin", "skip_to")
    kept = {name: getattr(letter, name) for name in names}
    return {**kept, "key": _text(letter.key), "value": _text(letter.value)}


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", errors="backslashreplace")


def _shown(value: bytes) -> str:
    more = f" … {len(value):,} bytes" if len(value) > SHOWN_BYTES else ""
    return _safe(_text(value[:SHOWN_BYTES]) or "") + more


def _safe(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)


def _time(at_ms: int | None) -> str:
    return "" if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
