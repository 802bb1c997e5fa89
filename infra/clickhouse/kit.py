"""The analysts' example queries: files in `queries/` with a title, a description and parameters."""

import re
from dataclasses import dataclass
from importlib.resources import files

from schemas.errors import LpstreamError

_PARAMETER = re.compile(r"\{(\w+):(\w+)\}")


@dataclass(frozen=True, slots=True)
class KitQuery:
    """A query. `parameters` maps names to ClickHouse types, in order of appearance."""

    name: str
    title: str
    about: str
    sql: str
    parameters: dict[str, str]


def kit() -> list[KitQuery]:
    """Return all queries, sorted by name."""
    folder = files("infra.clickhouse").joinpath("queries")
    queries = (_read(file.name, file.read_text("utf-8")) for file in folder.iterdir() if file.name.endswith(".sql"))
    return sorted(queries, key=lambda query: query.name)


def kit_query(name: str) -> KitQuery:
    """Return the query with that name. Raise LpstreamError with the known names if it is missing."""
    known = {query.name: query for query in kit()}
    if name not in known:
        raise LpstreamError(f"--kit {name}: no such query; choose one of {', '.join(known)}")
    return known[name]


def _read(file: str, text: str) -> KitQuery:
    lines = text.splitlines()
    comments = [line.removeprefix("--").strip() for line in lines if line.startswith("--")]
    sql = "\n".join(line for line in lines if not line.startswith("--"))
    return KitQuery(
        name=file.removesuffix(".sql"),
        title=comments[0],
        about=" ".join(comments[1:]),
        sql=sql.strip(),
        parameters=dict(_PARAMETER.findall(sql)),
    )
