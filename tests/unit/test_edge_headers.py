"""Headers of all answers of the edge, also to malformed requests and to too many connections."""

import pytest
from edge_listeners import running_edge
from raw_http import RawConnection, Reply, ask

from streams.edge.http.connections import MOST_HEADERS

MALFORMED = {
    "no HTTP": b"hello\r\n\r\n",
    "a wrong length": b"POST /e/heatmap.events HTTP/1.1\r\nHost: e\r\nContent-Length: x\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: e\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a wrong header": b"GET / HTTP/1.1\r\nHost: e\r\nOrigin\r\n\r\n",
    "a wrong version": b"GET / HTTP/9.9\r\nHost: e\r\n\r\n",
    "a long target": b"GET /%b HTTP/1.1\r\nHost: e\r\n\r\n" % (b"a" * 20_000),
    "a long header": b"GET / HTTP/1.1\r\nHost: e\r\nCookie: %b\r\n\r\n" % (b"a" * 20_000),
    "many headers": b"GET / HTTP/1.1\r\nHost: e\r\n%b\r\n" % (b"A: b\r\n" * (2 * MOST_HEADERS)),
}
VALID = b"GET /none HTTP/1.1\r\nHost: e\r\n\r\n"


def check(reply: Reply, *, public: bool, https: bool) -> None:
    """Assert the headers that all answers of the listener have."""
    assert reply.headers["server"] == "lpstream"
    assert reply.headers.get("strict-transport-security") == ("max-age=31536000" if https else None)
    assert reply.headers.get("vary") == ("Origin" if public else None)
    assert reply.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize("https", [False, True])
async def test_answers_to_malformed_requests_have_the_headers_of_all_answers(https: bool) -> None:
    scheme = "https" if https else "http"
    async with running_edge(public_url=f"{scheme}://lp.test", api_url=f"{scheme}://api.test") as edge:
        for url, public in ((edge.public, True), (edge.private, False)):
            check(await ask(url, VALID), public=public, https=https)
            for name, sent in MALFORMED.items():
                reply = await ask(url, sent)
                assert reply.status == 400, name
                check(reply, public=public, https=https)
                assert reply.headers.get("access-control-allow-origin") == ("*" if public else None)


@pytest.mark.parametrize("https", [False, True])
async def test_an_answer_to_too_many_connections_has_them_too(https: bool) -> None:
    scheme = "https" if https else "http"
    urls = {"public_url": f"{scheme}://lp.test", "api_url": f"{scheme}://api.test"}
    async with running_edge(edge_client_connections=1, **urls) as edge:
        for url, public in ((edge.public, True), (edge.private, False)):
            first = await RawConnection.open(url)
            await first.send(VALID)
            assert (await first.reply()).status == 404
            reply = await ask(url)
            assert (reply.status, reply.headers["retry-after"]) == (503, "5")
            check(reply, public=public, https=https)
            assert reply.headers.get("access-control-allow-origin") == ("*" if public else None)
            assert reply.headers.get("access-control-expose-headers") == ("Retry-After" if public else None)
            await first.close()
