"""Hostile requests, each with the set of correct statuses."""

import gzip
import json
import random
from collections.abc import Callable

import msgspec
from beacons import some_beacons
from raw_http import request

from schemas.heatmap import decode_beacon

JSON = "Content-Type: application/vnd.kafka.json.v2+json"
BINARY = "Content-Type: application/vnd.kafka.binary.v2+json"
AVRO = "Content-Type: application/vnd.kafka.avro.v2+json"

GOOD = some_beacons("abuse", 1)[0]
GOOD_BODY = msgspec.json.encode(GOOD)


def change(rng: random.Random) -> bytes:
    """Return a beacon with one field that is missing, too long, out of range or of the wrong type."""
    wrong = [None, True, -1, 2**31, 2**63, 2**200, 1.5, "x", "", [], {}, [[1]], "\u0000", "a\nb", "=" * 1_000]
    beacon = dict(GOOD)
    name = rng.choice(
        ["schema", "lp_id", "pageview_id", "seq", "device", "viewport_w", "page_h", "t0", "depth", "type", "dt"]
    )
    if rng.random() < 0.2:
        del beacon[name]
    else:
        beacon[name] = rng.choice(wrong)
    body = json.dumps(beacon).encode()
    return body if not _is_beacon(body) else b"{}"


def _is_beacon(body: bytes) -> bool:
    try:
        decode_beacon(body)
    except Exception:  # noqa: BLE001 - any error means that it is no beacon
        return False
    return True


def cut(rng: random.Random) -> bytes:
    """Return a beacon with bytes removed or changed."""
    body = bytearray(GOOD_BODY)
    at = rng.randrange(len(body))
    body[at : at + rng.randrange(1, 9)] = rng.randbytes(rng.randrange(4))
    return bytes(body) if not _is_beacon(bytes(body)) else b"["


def rest(body: bytes, kind: str = JSON) -> bytes:
    """Return a request to the REST Proxy path."""
    return request(body, [kind], "/topics/heatmap.events")


STRANGE_TOPICS = ["x", "lp.requests", "..", "a" * 300]
STRANGE_PATHS = ["%00", "..%2f..%2fetc", "?" * 50, "é"]
WRONG_ENVELOPES = [b"[]", b'{"records":[]}', b'{"records":[5]}', b"{"]
MANY_RECORDS = b'{"records":[' + b",".join([b"{}"] * 10_001) + b"]}"
STRANGE_SCHEMA = b'{"value_schema":"\\"int\\"","records":[{"value":1}]}'
DEEP_SCHEMA = json.dumps({"value_schema": "[" * 60_000, "records": [{}]}).encode()
BOMB = gzip.compress(gzip.compress(b"0" * 10_000_000))
DEEP = b'{"a":' * 12_000
PADDED = gzip.compress(GOOD_BODY + b" " * 65_536)
FOREIGN_PLACES = b'{"records":[{"value":%b,"partition":12}]}' % GOOD_BODY
WIDE_AVRO = json.dumps({"value_schema_id": 1, "records": [{"value": {"fixed": [0] * 15_000}}]}).encode()
BIG_NUMBER = msgspec.json.encode({**GOOD, "seq": 1}).replace(b'"seq":1', b'"seq":' + b"9" * 5_000)
Attack = tuple[str, Callable[[random.Random], bytes], set[int]]
ATTACKS: list[Attack] = [
    ("random bytes", lambda rng: request(rng.randbytes(rng.randrange(2_000))), {400, 422}),
    ("wrong fields", lambda rng: request(change(rng)), {422}),
    ("cut bodies", lambda rng: request(cut(rng)), {422, 400}),
    ("deep", lambda rng: request(rng.choice([DEEP, b"[" * 50_000, b'{"type":' * 8_000])), {422}),
    ("deep in the rest door", lambda rng: rest(b'{"records":' + DEEP), {400}),
    ("great numbers", lambda rng: request(BIG_NUMBER), {422}),
    ("oversized", lambda rng: request(b" " * 1_100_000), {413}),
    ("length of 10 GB", lambda rng: request(b"").replace(b"Length: 0", b"Length: 10000000000"), {413}),
    ("gzip bomb", lambda rng: request(gzip.compress(b"0" * 5_000_000), ["Content-Encoding: gzip"]), {413}),
    ("padded beacon", lambda rng: request(PADDED), {413}),
    ("foreign partition", lambda rng: rest(FOREIGN_PLACES), {400}),
    ("wide avro", lambda rng: rest(WIDE_AVRO, AVRO), {422}),
    ("avro over its limit", lambda rng: rest(gzip.compress(WIDE_AVRO * 2), AVRO), {413}),
    ("nested gzip", lambda rng: request(BOMB), {422}),
    ("cut gzip", lambda rng: request(gzip.compress(b"{}")[: rng.randrange(3, 15)]), {400}),
    ("encoding that is not so", lambda rng: request(b"{}", ["Content-Encoding: gzip"]), {400}),
    ("strange encoding", lambda rng: request(b"{}", ["Content-Encoding: br"]), {415}),
    ("foreign origin", lambda rng: request(GOOD_BODY, [f"Origin: https://{rng.random()}.example"]), {403}),
    ("foreign preflight", lambda rng: request(b"", ["Origin: null"], method="OPTIONS"), {204}),
    ("strange topic", lambda rng: request(b"{}", [JSON], f"/topics/{rng.choice(STRANGE_TOPICS)}"), {404}),
    ("strange path", lambda rng: request(b"", path=f"/{rng.choice(STRANGE_PATHS)}"), {400, 404}),
    ("strange method", lambda rng: request(b"{}", method=rng.choice(["PUT", "PATCH", "DELETE", "TRACE"])), {405, 400}),
    ("wrong envelope", lambda rng: rest(rng.choice(WRONG_ENVELOPES)), {400, 422}),
    ("many records", lambda rng: rest(MANY_RECORDS), {413}),
    ("wrong base64", lambda rng: rest(b'{"records":[{"value":"%%%"}]}', BINARY), {400}),
    ("no beacon in base64", lambda rng: rest(b'{"records":[{"value":"AAAA"}]}', BINARY), {422}),
    ("strange schema", lambda rng: rest(STRANGE_SCHEMA, AVRO), {422}),
    ("deep schema", lambda rng: rest(DEEP_SCHEMA, AVRO), {422}),
    ("no http", lambda rng: b"\x00" + rng.randbytes(40) + b"\r\n\r\n", {400}),
    ("two lengths", lambda rng: request(b"{}", ["Content-Length: 3"]), {400}),
    ("many headers", lambda rng: request(b"{}", [f"X-{number}: y" for number in range(100)]), {400}),
    ("split header", lambda rng: request(b"{}", ["Origin: a\rb"]), {400, 403}),
]  # fmt: skip
