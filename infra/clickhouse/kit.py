"""The analysts' worked queries: files of `queries/`, each with a title, a sentence, and named parameters."""

import re
from dataclasses import dataclass
from importlib.resources import files

from schemas.errors import LpstreamError

_PARAMETER = re.compile(r"\{(\w+):(\w+)\}")


@dataclass(frozen=True, slots=True)
class KitQuery:
    """One query. `parameters` are names and ClickHouse types, in the order in which they come."""

    name: str
    title: str
    about: str
    sql: str
    parameters: dict[str, str]


def kit() -> list[KitQuery]:
    """All of them, by name."""
    found = [one for one in files("infra.clickhouse").joinpath("queries").iterdir() if one.name.endswith(".sql")]
    return sorted((_read(one.name, one.read_text("utf-8")) for one in found), key=lambda one: one.name)


def kit_query(name: str) -> KitQuery:
    """One by its name; LpstreamError lists the names there are."""
    known = {one.name: one for one in kit()}
    if name not in known:
        raise LpstreamError(f"--kit {name}: there is none; there are {', '.join(known)}")
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
