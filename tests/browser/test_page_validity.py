"""Every page is valid HTML by the Nu Html Checker, which runs offline.

The short run checks every fifth page. The checker is the npm package vnu-jar, fetched once into .lpstream/vnu.
Without npm or Java the test is skipped.
"""

import hashlib
import re
import shutil
import subprocess
from itertools import product
from pathlib import Path

import pytest
from harness import FULL
from page_requests import BUSINESS, INDUSTRIES, PURPOSES, full, html_of, least
from patience import PATIENCE_S

VERSION = "26.9.27"
DIGEST = "22f15dd39a33bed929d2a5c0cddf5946849a647eca9272bf4d5d00bc7e7a4d47"
FOLDER = Path(__file__).parents[2] / ".lpstream" / "vnu"
JAR = FOLDER / "node_modules" / "vnu-jar" / "build" / "dist" / "vnu.jar"
UNKNOWN = re.compile("CSS: “[a-z-]*timeline[a-z-]*”: Property “[a-z-]*timeline[a-z-]*” doesn't exist")
EVIL = "<b>\"&'</title></script><!--\u202e\x00{{ 7*7 }}"


@pytest.fixture(scope="module")
def checker() -> Path:
    if shutil.which("java") is None or shutil.which("npm") is None:
        pytest.skip("the Nu Html Checker needs java and npm on the path")
    if not JAR.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(FOLDER)]
        done = subprocess.run(
            [*install, f"vnu-jar@{VERSION}"], capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        if done.returncode:
            pytest.skip(f"npm could not fetch vnu-jar: {done.stderr[-200:]}")
    assert hashlib.sha256(JAR.read_bytes()).hexdigest() == DIGEST, "this vnu.jar is not the reviewed version"
    return JAR


def complaints(checker: Path, *pages: Path) -> list[str]:
    """Return the checker's lines, without those about Scroll-driven Animations, which it does not know."""
    done = subprocess.run(
        ["java", "-jar", str(checker), "--format", "gnu", *map(str, pages)],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    return [line for line in done.stderr.splitlines() if not UNKNOWN.search(line)]


def test_every_page_is_valid(checker: Path, tmp_path: Path) -> None:
    hostile = {"name": EVIL[:100], "address": EVIL, "url": 'https://example.com/"<>', "form_url": "https://e.test/?a&b"}
    kinds = [(*one, make) for one in product(INDUSTRIES.values(), PURPOSES) for make in (least, full)]
    requests = [
        *(make(industry, purpose=purpose) for industry, purpose, make in kinds[:: 1 if FULL else 5]),
        full(keywords=[EVIL], business={**BUSINESS, **hostile}, facts={"hours": EVIL, "licences": [EVIL]}),
    ]  # fmt: skip
    pages = [tmp_path / f"{at}.html" for at in range(len(requests))]
    for page, request in zip(pages, requests, strict=True):
        page.write_text(html_of(request), encoding="utf-8")
    wrong = tmp_path / "wrong.html"  # shows that the checker works
    wrong.write_text(html_of(full()).replace("<h1", "<h7").replace("</h1>", "</h7>"), encoding="utf-8")
    found = complaints(checker, *pages, wrong)
    assert [line for line in found if wrong.name not in line] == []
    assert any("h7" in line for line in found)
