"""REST Proxy v2, JSON and binary: stored records, and errors for invalid requests."""

import base64
import json
from typing import Any

import pytest
from beacons import example_beacon
from conformance.proxy import BINARY, JSON, V2, Proxy

pytestmark = pytest.mark.stack


def b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def records(*values: Any) -> dict[str, Any]:
    return {"records": [{"value": value} for value in values]}


@pytest.mark.covers("M01", "M02", "M39")
async def test_a_record_is_stored_and_its_offset_returned(proxy: Proxy, topic: str) -> None:
    answer = await proxy.produce(topic, records({"a": 1}))
    assert answer.status == 200
    assert answer.headers["Content-Type"] in ({V2} if proxy.ours else {V2, JSON})
    assert (answer.body["key_schema_id"], answer.body["value_schema_id"]) == (None, None)
    (offset,) = answer.offsets
    assert isinstance(offset["partition"], int) and offset["offset"] == 0
    assert offset.get("error_code") is None and offset.get("error") is None
    if proxy.ours:
        assert set(offset) == {"partition", "offset", "error_code", "error"}
    (stored,) = await proxy.records(topic, 1)
    assert json.loads(stored.value) == {"a": 1} and stored.partition == offset["partition"]


@pytest.mark.covers("M03")
async def test_results_are_in_the_order_of_records(proxy: Proxy, topic: str) -> None:
    answer = await proxy.produce(topic, records(*range(100)))
    assert len(answer.offsets) == 100
    stored = {(one.partition, one.offset): json.loads(one.value) for one in await proxy.records(topic, 100)}
    assert [stored[one["partition"], one["offset"]] for one in answer.offsets] == list(range(100))


@pytest.mark.covers("M04")
async def test_records_with_the_same_key_share_a_partition(proxy: Proxy, topic: str) -> None:
    sent = [{"key": "k", "value": number} for number in range(4)]
    offsets = (await proxy.produce(topic, {"records": sent})).offsets
    assert len({one["partition"] for one in offsets}) == 1
    assert [one["offset"] for one in offsets] == [0, 1, 2, 3]


@pytest.mark.covers("M04")
async def test_a_json_key_is_one_key_however_it_is_written(proxy: Proxy, topic: str) -> None:
    for key in ('{"id": 1, "名": "\\u3042"}', '{"id":1,"\\u540d":"あ"}'):
        assert (await proxy.produce(topic, f'{{"records":[{{"key":{key},"value":1}}]}}')).status == 200
    stored = await proxy.records(topic, 2)
    assert len({(one.partition, one.key) for one in stored}) == 1 and json.loads(stored[0].key) == {"id": 1, "名": "あ"}


@pytest.mark.covers("M05")
async def test_a_record_may_name_its_partition(proxy: Proxy, topic: str) -> None:
    wanted = [0, 1, 1, 2]
    sent = [{"partition": number, "value": number} for number in wanted]
    assert [one["partition"] for one in (await proxy.produce(topic, {"records": sent})).offsets] == wanted


@pytest.mark.covers("M06")
async def test_the_path_may_name_the_partition(proxy: Proxy, topic: str) -> None:
    answer = await proxy.ask("POST", f"/topics/{topic}/partitions/1", records(1, 2, 3), Content_Type=JSON)
    assert [one["partition"] for one in answer.offsets] == [1, 1, 1]


@pytest.mark.covers("M08")
@pytest.mark.parametrize("record", [{"key": "k", "value": None}, {"key": "k"}])
async def test_a_record_without_a_value_is_a_tombstone(proxy: Proxy, topic: str, record: dict[str, Any]) -> None:
    assert (await proxy.produce(topic, {"records": [record]})).offsets[0].get("error_code") is None
    (stored,) = await proxy.records(topic, 1)
    assert stored.value is None if proxy.dialect != "karapace" else stored.value == b""
    assert json.loads(stored.key) == "k"


@pytest.mark.covers("M11")
async def test_binary_values_are_stored_unchanged(proxy: Proxy, topic: str) -> None:
    key, value = bytes(range(256)), b"\x00\xff\xfe\n" * 100
    answer = await proxy.produce(topic, {"records": [{"key": b64(key), "value": b64(value)}]}, BINARY)
    assert answer.status == 200
    (stored,) = await proxy.records(topic, 1)
    assert (stored.key, stored.value) == (key, value)


@pytest.mark.covers("M12", "M13")
@pytest.mark.parametrize("value", ["not base64", "Zm9v!", {"a": 1}, 5, [1]])
async def test_invalid_base64_refuses_the_whole_request(proxy: Proxy, topic: str, value: Any) -> None:
    answer = await proxy.produce(topic, records(b64(b"good"), value), BINARY)
    assert (answer.status, answer.code) == (400, 400)
    assert await proxy.end_offsets(topic) == 0


@pytest.mark.covers("M25", "M28")
@pytest.mark.parametrize("body", ["{}", '{"records":[]}', ""])
async def test_a_request_without_records_is_refused(proxy: Proxy, topic: str, body: str) -> None:
    answer = await proxy.produce(topic, body)
    assert (answer.status, answer.code) == (422, 422) or (proxy.dialect == "karapace" and answer.status == 400)


@pytest.mark.covers("M26", "M27")
@pytest.mark.parametrize("body", [{"records": [{"value": 1}], "receiver": 1}, {"records": [{"value": 1, "valur": 1}]}])
async def test_unknown_fields_are_refused(proxy: Proxy, topic: str, body: Any) -> None:
    answer = await proxy.produce(topic, body)
    assert (answer.status, answer.code) == (422, 422)
    if "receiver" in body:
        assert answer.body["message"] == "Unrecognized field: receiver"
    assert await proxy.end_offsets(topic) == 0


@pytest.mark.covers("M29")
@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        '"x"',
        "5",
        '{"records":5}',
        '{"records":{"value":1}}',
        '{"records":[5]}',
        '{"records":["x"]}',
    ],
)
async def test_malformed_json_is_refused(proxy: Proxy, topic: str, body: str) -> None:
    answer = await proxy.produce(topic, body)
    assert (answer.status, answer.code) == (400, 400)


@pytest.mark.covers("M32")
async def test_missing_and_forbidden_topics_get_the_same_answer(proxy: Proxy) -> None:
    answers = [await proxy.produce(name, records(1)) for name in ("no-such-topic", "__consumer_offsets", "lp.results")]
    for answer in answers:
        if proxy.dialect == "confluent" and answer.status == 200:  # it waits for the topic and answers per record
            assert answer.offsets[0]["error_code"]
            continue
        assert (answer.status, answer.code) == (404, 40401)
        assert answer.body == answers[0].body
        assert not proxy.ours or answer.seconds < 4


@pytest.mark.covers("M33")
@pytest.mark.parametrize(("partition", "code"), [("99", 40402), ("abc", None), ("-1", None), ("1" * 30, None)])
async def test_an_unknown_partition_is_404(proxy: Proxy, topic: str, partition: str, code: int | None) -> None:
    answer = await proxy.ask("POST", f"/topics/{topic}/partitions/{partition}", records(1), Content_Type=JSON)
    assert answer.status == 404
    assert code is None or answer.code == code


@pytest.mark.covers("M37")
@pytest.mark.parametrize(
    "content_type",
    [f"{JSON}; charset=utf-8", f"{JSON};charset=UTF-8", "Application/Vnd.Kafka.JSON.v2+json", f" {JSON} ; a=b"],
)
async def test_content_types_ignore_case_and_parameters(proxy: Proxy, topic: str, content_type: str) -> None:
    assert (await proxy.produce(topic, records(1), content_type)).status == 200


@pytest.mark.covers("M38")
@pytest.mark.parametrize(
    "content_type",
    [
        "text/html", "text/plain", "application/vnd.kafka.v3+json", "application/vnd.kafka.json+avro",
        "application/vnd.kafka.binary.v1+foo", "application/x-www-form-urlencoded", "",
    ],
)  # fmt: skip
async def test_other_content_types_are_415(proxy: Proxy, topic: str, content_type: str) -> None:
    answer = await proxy.produce(topic, records(1), content_type)
    assert (answer.status, answer.code) == (415, 415)
    assert answer.body["message"].startswith("HTTP 415 Unsupported Media Type")


async def test_the_v2_type_without_a_format_is_binary(proxy: Proxy, topic: str) -> None:
    answer = await proxy.produce(topic, records(b64(b"\x00\xff")), V2)
    assert answer.status == 200
    (stored,) = await proxy.records(topic, 1)
    assert stored.value == b"\x00\xff"


async def test_a_client_of_v1_gets_v1(proxy: Proxy, topic: str) -> None:
    if not proxy.ours:
        pytest.skip("newer proxies have no v1")
    v1 = V2.replace("v2", "v1")
    answer = await proxy.produce(topic, {"records": [{"value": "AAE="}]}, BINARY.replace("v2", "v1"), Accept=v1)
    assert (answer.status, answer.headers["Content-Type"]) == (200, v1)
    answer = await proxy.ask("GET", f"/topics/{topic}", Accept=f"{v1}, */*; q=0.1")
    assert (answer.status, answer.headers["Content-Type"]) == (200, v1)
    answer = await proxy.ask("GET", f"/topics/{topic}", Accept=f"{v1}, {V2}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, V2)


@pytest.mark.parametrize("partition", ["1", 1.0, "1.0"])
async def test_a_partition_may_be_text_or_a_whole_float(proxy: Proxy, topic: str, partition: Any) -> None:
    answer = await proxy.produce(topic, {"records": [{"partition": partition, "value": 1}]})
    assert [one["partition"] for one in answer.offsets] == [1]


async def test_an_empty_partition_is_none(proxy: Proxy, topic: str) -> None:
    assert (await proxy.produce(topic, {"records": [{"partition": "", "value": 1}]})).status == 200


@pytest.mark.parametrize("partition", ["x", -1, 1.5, "1e0", " ", True, [1], "9" * 30])
async def test_a_wrong_partition_in_a_record_is_refused(proxy: Proxy, topic: str, partition: Any) -> None:
    answer = await proxy.produce(topic, {"records": [{"partition": partition, "value": 1}]})
    assert answer.status in (400, 422) and "partition" in answer.body["message"]


async def test_a_slash_at_the_end_of_a_path_is_ignored(proxy: Proxy, topic: str) -> None:
    assert (await proxy.ask("POST", f"/topics/{topic}/", records(1), Content_Type=JSON)).status == 200
    assert (await proxy.ask("POST", f"/topics/{topic}/partitions/1/", records(1), Content_Type=JSON)).status == 200
    assert (await proxy.ask("GET", f"/topics/{topic}/")).status == 200


async def test_a_tombstone_to_a_checked_topic_is_refused_as_one(proxy: Proxy) -> None:
    if not proxy.ours:
        pytest.skip("only the edge checks records")
    for record in ({"key": "k", "value": None}, {"key": "k"}):
        answer = await proxy.ask(
            "POST", "/topics/heatmap.events", {"records": [record]}, public=True, Content_Type=JSON
        )
        assert answer.status == 422 and "tombstone" in answer.body["message"]


@pytest.mark.covers("M39")
@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*", V2, "application/*", f"{V2}, application/vnd.kafka+json; q=0.9, application/json; q=0.5",
        "text/html, */*;q=0.1",
    ],
)  # fmt: skip
async def test_acceptable_types_are_served(proxy: Proxy, topic: str, accept: str) -> None:
    assert (await proxy.produce(topic, records(1), Accept=accept)).status == 200


@pytest.mark.covers("M40")
@pytest.mark.parametrize("accept", ["text/html", "foo/*", "text/html, image/png"])
async def test_unacceptable_types_are_406(proxy: Proxy, topic: str, accept: str) -> None:
    answer = await proxy.produce(topic, records(1), Accept=accept)
    assert (answer.status, answer.code) == (406, 406)
    assert await proxy.end_offsets(topic) == 0


@pytest.mark.covers("M44")
async def test_unknown_methods_and_paths_use_the_same_error_format(proxy: Proxy, topic: str) -> None:
    for method, path, status in (
        ("PUT", f"/topics/{topic}", 405),
        ("DELETE", f"/topics/{topic}", 405),
        ("POST", "/nope", 404),
        ("POST", "/topics/a/b", 404),
        ("POST", f"/topics/{topic}%2F..", 404),
    ):
        answer = await proxy.ask(method, path, records(1), Content_Type=JSON)
        assert (answer.status, answer.code // 100 if answer.code and answer.code > 999 else answer.code) == (
            status,
            status,
        )
        assert answer.body["message"]


@pytest.mark.covers("N06")
async def test_text_plain_is_accepted_for_beacons_only(proxy: Proxy) -> None:
    if not proxy.ours:
        pytest.skip("only the edge has the beacon path")
    one = example_beacon(lp_id="conformance", t0=1)
    answer = await proxy.ask("POST", "/e/heatmap.events", one, public=True, Content_Type="text/plain")
    assert answer.status == 204
    answer = await proxy.ask("POST", "/topics/heatmap.events", records(one), public=True, Content_Type="text/plain")
    assert answer.status == 415
    answer = await proxy.ask("POST", "/topics/heatmap.events", records(one), public=True, Content_Type=JSON)
    assert answer.status == 200
