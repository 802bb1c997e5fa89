"""Requests of unusual but correct REST clients, and requests for APIs that the edge lacks."""

import json

import pytest
from beacons import example_beacon
from edge_listeners import JSON, TOKEN, RunningEdge, running_edge
from raw_http import RawConnection, Reply, ask, request

ONE = b'{"records":[{"value":1}]}'


async def posted(
    edge: RunningEdge, body: bytes = ONE, *headers: str, path: str = "/topics/free", method: str = "POST"
) -> Reply:
    """Send a request with a token to the private listener, its header lines as given."""
    own = (f"Authorization: Bearer {TOKEN}", f"Content-Type: {JSON}")
    return await ask(edge.private, request(body, (*own, *headers), path, method))


async def test_accept_may_stand_on_several_lines() -> None:
    async with running_edge(proxy_topics=["free"]) as edge:
        for lines, status in (
            (("Accept: text/html", "Accept: application/json"), 200),
            (("Accept: text/html", "Accept: text/plain"), 406),
        ):
            assert (await posted(edge, ONE, *lines)).status == status


@pytest.mark.parametrize("path", ["/topics/fr%65e", "/topics/%66%72%65%65/", "/topics/free/%70artitions/0"])
async def test_a_topic_may_be_percent_encoded(path: str) -> None:
    async with running_edge(proxy_topics=["free"]) as edge:
        assert (await posted(edge, path=path)).status == 200


async def test_a_byte_order_mark_before_json_is_skipped() -> None:
    async with running_edge(proxy_topics=["free"]) as edge:
        assert (await posted(edge, b"\xef\xbb\xbf" + ONE)).status == 200
        assert edge.records[0].value == b"1"


@pytest.mark.parametrize("text", [b"\xff", b"\xc3(", b"\xc0\xaf", b"\xed\xa0\x80"])
async def test_json_that_is_not_utf8_is_refused(text: bytes) -> None:
    async with running_edge(proxy_topics=["free"]) as edge:
        for body in (b'{"records":[{"value":{"a":["%b"]}}]}', b'{"records":[{"key":"%b","value":1}]}'):
            answer = await posted(edge, body % text)
            assert (answer.status, b"UTF-8" in answer.body) == (400, True)
        assert edge.records == []


@pytest.mark.parametrize("path", ["/v3/clusters", "/v3/clusters/a/topics/free/records", "/consumers/g/instances/i"])
async def test_an_api_that_is_not_offered_is_named(path: str) -> None:
    async with running_edge() as edge:
        for method in ("GET", "POST"):
            answer = await posted(edge, path=path, method=method)
            message = json.loads(answer.body)["message"]
            assert answer.status == 404 and "POST /topics/{topic}" in message


async def test_a_wrong_media_type_is_named_with_those_that_are_taken() -> None:
    async with running_edge(proxy_topics=["free"]) as edge:
        status, body = await edge.post("/topics/free", ONE, "application/json", private=True)
        assert (status, JSON in body["message"], "Content-Type" in body["message"]) == (415, True, True)
        answer = await posted(edge, ONE, "Accept: text/html")
        assert (answer.status, b"Accept" in answer.body) == (406, True)


async def test_a_wrong_method_is_answered_with_those_that_are_allowed() -> None:
    async with running_edge() as edge:
        for path, methods in (("/topics/heatmap.events", "GET, HEAD, POST"), ("/topics", "GET, HEAD")):
            answer = await posted(edge, path=path, method="DELETE")
            assert (answer.status, answer.headers["allow"]) == (405, methods)


@pytest.mark.parametrize("requests", [143, 2_000])
async def test_many_refused_beacons_in_one_packet_are_all_answered(
    requests: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_edge(edge_client_rate=0.0) as edge:
        connection = await RawConnection.open(edge.public)
        await connection.send(request(b"{}") * requests)
        answers = {(await connection.reply()).status for _ in range(requests)}
    assert answers == {422}
    assert caplog.text == ""


@pytest.mark.parametrize("origin", ["http://[::1", "http://a:b:c", "https://", "null", ""])
async def test_a_login_from_another_origin_is_refused(origin: str) -> None:
    async with running_edge() as edge:
        reply = await ask(edge.private, request(b"token=x", (f"Origin: {origin}",), "/studio/session"))
    assert reply.status == 403


@pytest.mark.parametrize("body", [json.dumps(example_beacon()).encode(), b"{"])
async def test_both_paths_of_a_beacon_demand_https_on_a_secure_address(body: bytes) -> None:
    async with running_edge(public_url="https://lp.example") as edge:
        for query in ("", "?x"):
            async with edge.session.post(f"{edge.public}/e/heatmap.events{query}", data=body) as answer:
                assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


async def test_a_client_of_http_1_0_keeps_its_connection_on_both_paths() -> None:
    beacon = request(json.dumps(example_beacon()).encode(), ("Connection: keep-alive",))
    async with running_edge() as edge:
        connection = await RawConnection.open(edge.public)
        for one in (beacon, request(b"", ("Connection: keep-alive",), "/healthz", "GET")):
            await connection.send(one.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
            assert (await connection.reply()).headers["connection"] == "keep-alive"
        await connection.send(request(json.dumps(example_beacon()).encode()))
        assert "connection" not in (await connection.reply()).headers
        assert len(edge.records) == 2
