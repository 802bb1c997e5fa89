"""Bytes that are not UTF-8 in fields and tokens: a clear error status and no traceback."""

import pytest
from edge_listeners import AVRO, TOKEN, running_edge
from raw_http import ask, request


@pytest.mark.parametrize("name", ["key_schema", "value_schema", "key_schema_id", "value_schema_id"])
async def test_a_schema_that_is_not_utf8_is_refused(name: str) -> None:
    async with running_edge() as edge:
        body = b'{"%b":"\xff","records":[{}]}' % name.encode()
        assert (await edge.post("/topics/heatmap.events", body, AVRO))[0] == 400


async def test_a_token_that_is_not_utf8_is_unauthorised() -> None:
    async with running_edge() as edge:
        for token in (b"\xff", b"\xff" * 200, TOKEN.encode() + b"\xff"):
            whole = request(b"", path="/topics", method="GET")
            whole = whole.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer " + token + b"\r\n\r\n", 1)
            assert (await ask(edge.private, whole)).status == 401
