"""Bytes that are no text, in fields, tokens and cookies: an error that says so, and no traceback."""

import pytest
from doors import AVRO, TOKEN, doors
from raw_http import ask, request


@pytest.mark.parametrize("name", ["key_schema", "value_schema", "key_schema_id", "value_schema_id"])
async def test_a_schema_that_is_no_text_is_refused(name: str) -> None:
    async with doors() as one:
        body = b'{"%b":"\xff","records":[{}]}' % name.encode()
        assert (await one.post("/topics/heatmap.events", body, AVRO))[0] == 400


async def test_a_token_that_is_no_text_is_a_wrong_token() -> None:
    async with doors() as one:
        for token in (b"\xff", b"\xff" * 200, TOKEN.encode() + b"\xff"):
            whole = request(b"", path="/topics", method="GET")
            whole = whole.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer " + token + b"\r\n\r\n", 1)
            assert (await ask(one.private, whole)).status == 401
