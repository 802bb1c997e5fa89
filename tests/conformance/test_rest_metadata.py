"""REST Proxy v2: the GET requests for metadata."""

import pytest
from conformance.proxy import PARTITIONS, V2, Proxy

pytestmark = pytest.mark.stack


@pytest.mark.covers("M41")
async def test_topics_brokers_and_the_root_are_listed(proxy: Proxy, topic: str) -> None:
    answer = await proxy.ask("GET", "/topics")
    assert answer.status == 200 and topic in answer.body and answer.body == sorted(answer.body)
    assert answer.headers["Content-Type"].startswith("application/")
    found = (await proxy.ask("GET", f"/topics/{topic}")).body
    assert found["name"] == topic and len(found["partitions"]) == PARTITIONS
    assert all(isinstance(key, str) and isinstance(value, str) for key, value in found["configs"].items())
    for number, one in enumerate(found["partitions"]):
        assert one["partition"] == number
        assert one["leader"] in [replica["broker"] for replica in one["replicas"] if replica["leader"]]
        assert all(replica["in_sync"] is True for replica in one["replicas"])
    assert found["partitions"][0]["leader"] in (await proxy.ask("GET", "/brokers")).body["brokers"]
    assert (await proxy.ask("GET", "/")).body == {} or proxy.dialect == "karapace"


@pytest.mark.covers("M42")
async def test_an_unknown_topic_is_404(proxy: Proxy) -> None:
    for path in ("/topics/missing", "/topics/missing/partitions", "/topics/missing/partitions/0"):
        answer = await proxy.ask("GET", path)
        assert (answer.status, answer.code) in ((404, 40401), *([(404, 40403)] if proxy.dialect == "karapace" else []))


@pytest.mark.covers("M43", "N04")
async def test_partitions_are_listed_with_their_offsets(proxy: Proxy, topic: str) -> None:
    found = (await proxy.ask("GET", f"/topics/{topic}/partitions")).body
    assert [one["partition"] for one in found] == list(range(PARTITIONS))
    assert (await proxy.ask("GET", f"/topics/{topic}/partitions/1")).body == found[1]
    answer = await proxy.ask("GET", f"/topics/{topic}/partitions/99")
    assert (answer.status, answer.code) == (404, 40402)
    await proxy.produce(topic, {"records": [{"partition": 1, "value": 1}] * 5})
    answer = await proxy.ask("GET", f"/topics/{topic}/partitions/1/offsets")
    assert answer.body == {"beginning_offset": 0, "end_offset": 5}


@pytest.mark.covers("M40")
async def test_an_unacceptable_type_is_406(proxy: Proxy) -> None:
    assert (await proxy.ask("GET", "/topics", Accept="text/html")).status == 406
    assert (await proxy.ask("GET", "/topics", Accept=V2)).status == 200
