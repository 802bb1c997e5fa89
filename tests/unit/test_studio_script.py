"""The studio's script under Node.js: its loops end when a later look would change nothing."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from patience import PATIENCE_S

import streams.edge

SCRIPT = Path(streams.edge.__file__).parent / "static" / "studio.js"
MOST_LOOKS = 6
# each look gets the next status, and the last status again; timers run at once
HARNESS = """
const {kind, statuses, text, script, most} = JSON.parse(require("fs").readFileSync(0, "utf8"));
let looks = 0, reloads = 0;
const waiting = [];
const element = () => ({dataset: {progress: "/r", told: ""}, value: 0, checked: true, closest: () => element(),
  src: "http://x/1.png", querySelectorAll: () => [], addEventListener: () => {}});
const found = {progress: "[data-progress]", awaited: "[data-awaited]"}[kind];
const fetch = async () => {
  const status = statuses[Math.min(looks++, statuses.length - 1)];
  if (status === 0) throw new TypeError("the network is away");
  return {status, ok: status >= 200 && status < 300, text: async () => text, json: async () => ({percent: 5})};
};
const window = {}, location = {href: "/studio", reload: () => { reloads += 1; }};
const document = {hidden: false, documentElement: {lang: "ja"},
  querySelector: sign => sign === found ? element() : null,
  querySelectorAll: sign => kind === "live" && sign === "[data-live]" ? [element()] : [],
  getElementById: id => id === "own" || (id === "live" && kind !== "live") ? null : element()};
const Image = class { async decode() { throw new Error("no picture"); } };
const later = work => { waiting.push(work); };
new Function("window", "document", "location", "fetch", "setTimeout", "setInterval", "Image", script)(
  window, document, location, fetch, later, work => { later(work); }, Image);
(async () => {
  for (let turn = 0; turn < most; turn++) {
    await new Promise(done => setImmediate(done));
    for (const work of waiting.splice(0)) await work();
  }
  console.log(JSON.stringify({looks, reloads}));
})();
"""


def run(kind: str, *statuses: int, text: str = "") -> dict[str, int]:
    """Return how often the script looked and reloaded, for these statuses; 0 is no answer."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    given = {"kind": kind, "statuses": statuses, "text": text, "script": SCRIPT.read_text("utf-8"), "most": MOST_LOOKS}
    done = subprocess.run(
        [node, "-e", HARNESS], input=json.dumps(given), capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    found: dict[str, int] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("last", [200, 401, 403, 404])
def test_the_progress_page_loads_anew_when_nothing_more_comes(last: int) -> None:
    assert run("progress", 202, 503, 429, 0, last) == {"looks": 5, "reloads": 1}


@pytest.mark.parametrize("last", [202, 408, 429, 500, 503, 0])
def test_the_progress_page_looks_again_while_there_may_be_more(last: int) -> None:
    found = run("progress", last)
    assert found["reloads"] == 0 and found["looks"] > 3


@pytest.mark.parametrize(("last", "reloads"), [(200, 1), (401, 1), (404, 1), (503, 0), (0, 0)])
def test_a_page_that_awaits_an_order_ends_with_its_page(last: int, reloads: int) -> None:
    assert run("awaited", 503, last)["reloads"] == reloads
    assert run("awaited", last, text="<p data-awaited>")["reloads"] == 0


@pytest.mark.parametrize(("last", "reloads"), [(401, 1), (404, 1), (503, 0), (200, 0), (0, 0)])
def test_a_live_map_ends_with_its_session(last: int, reloads: int) -> None:
    assert run("live", last)["reloads"] == reloads
