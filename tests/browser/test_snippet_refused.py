"""The snippet with a real edge that does not list its origin: it gives up with every transport."""

from collections.abc import Iterator

import pytest
from conftest import Site, Visit
from nginx_and_edge import bare_edge

pytestmark = pytest.mark.asyncio(loop_scope="module")
STORED = "Object.keys(localStorage).filter((key) => key.includes('heatmap.events')).length"


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with bare_edge(tmp_path_factory.mktemp("edge"), {"LPSTREAM_ALLOWED_ORIGINS": "[]"}) as (public, _):
        yield public


@pytest.mark.parametrize("transport", ["beacon", "kafka-rest"])
async def test_the_snippet_gives_up_on_an_unlisted_origin(site: Site, visit: Visit, edge: str, transport: str) -> None:
    options = f"data-endpoint={edge} data-transport={transport}"
    page = await visit(host="shop.test", options=options)
    statuses: list[int] = []
    page.on("response", lambda answer: statuses.append(answer.status) if "heatmap.events" in answer.url else None)
    await page.evaluate("lpstream.flush()")
    await page.wait_for_function(f"{STORED} === 0")
    assert 403 in statuses and not site.posts
