"""The pages name files that exist, and the numbered contract stands in the code."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# secrets are made by infra/compose/prepare
PATH = re.compile(r"`((?!infra/compose/secrets/)(?:schemas|processors|infra|streams|tests|docs)/[\w./-]+)`")
LINK = re.compile(r"\]\(((?!https?:|#)[^)#]+)")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_files_that_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    missing = [path for path in PATH.findall(text) if not (ROOT / path).exists()]
    missing += [link for link in LINK.findall(text) if not (page.parent / link).exists()]
    assert missing == []


def test_each_sentence_of_the_delivery_contract_is_marked_in_the_code() -> None:
    section = ARCHITECTURE.split("## The delivery contract")[1].split("\n## ")[0]
    sentences = {int(number) for number in re.findall(r"^(\d+)\. ", section, re.MULTILINE)}
    code = "".join(
        path.read_text("utf-8") for room in ("streams", "infra", "processors") for path in (ROOT / room).rglob("*.py")
    )
    assert {int(number) for number in re.findall(r"# Contract (\d+)", code)} == sentences


def test_the_names_in_the_walks_exist() -> None:
    rows = re.findall(r"`([\w/]+\.py)`[:,] `(\w+)(?:\.(?!py`)(\w+))?`", ARCHITECTURE)
    assert len(rows) > 10
    modules = [path for room in ("infra", "processors", "schemas", "streams") for path in (ROOT / room).rglob("*.py")]
    for file, name, attribute in rows:
        paths = [path for path in modules if str(path).endswith(file)]
        assert paths, file
        source = "".join(path.read_text("utf-8") for path in paths)
        for wanted in filter(None, (name, attribute)):
            assert re.search(rf"(?:def|class) {wanted}\b", source), f"{file}: {wanted}"
