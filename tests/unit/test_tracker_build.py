"""The served snippet: it equals the build of its source, and it is small."""

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from patience import PATIENCE_S

from streams.edge.site.snippet import Snippet

TRACKER = Path(__file__).parents[2] / "streams" / "edge" / "tracker"
STATIC = TRACKER.parent / "static"
MOST_BYTES = 4 * 1024


def test_the_snippet_is_at_most_4_kb_gzipped() -> None:
    assert len(gzip.compress((STATIC / "t.js").read_bytes(), 9)) <= MOST_BYTES


def test_the_snippet_equals_the_build_of_its_source(tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed, so the snippet cannot be built")
    for name in ("t.js", "build.mjs", "package.json", "package-lock.json"):
        shutil.copy(TRACKER / name, tmp_path / name)
    installed = subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    if installed.returncode != 0:
        pytest.skip(f"npm cannot install the pinned terser: {installed.stderr.strip()[-200:]}")
    built = tmp_path / "built"
    built.mkdir()
    subprocess.run(["node", "build.mjs", str(built)], cwd=tmp_path, check=True, timeout=PATIENCE_S)
    for name in ("t.js", "t.js.map"):
        assert (built / name).read_bytes() == (STATIC / name).read_bytes(), (
            "run `npm run build` in streams/edge/tracker"
        )


def test_the_lock_file_has_hashes_and_no_addresses() -> None:
    packages = json.loads((TRACKER / "package-lock.json").read_text("utf-8"))["packages"]
    others = {name: one for name, one in packages.items() if name}
    assert others and all("integrity" in one and "resolved" not in one for one in others.values())


def test_the_source_map_contains_the_source() -> None:
    source_map = json.loads((STATIC / "t.js.map").read_text("utf-8"))
    assert source_map["sourcesContent"] == [(TRACKER / "t.js").read_text("utf-8")]


def test_the_tag_has_the_hash_that_browsers_check() -> None:
    snippet = Snippet.load()
    tag = snippet.tag("https://edge.example", "lp_8f3a")
    assert f'src="https://edge.example/t.{snippet.digest}.js"' in tag
    assert f'integrity="{snippet.integrity}" crossorigin="anonymous"' in tag
