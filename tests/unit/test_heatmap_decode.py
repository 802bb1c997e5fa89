"""The fast decoder against the strict decoder.

Both accept the same beacons and return the same columns.
"""

import random
from typing import Any

import msgspec
import numpy as np
import pytest
from beacons import example_beacon
from harness import scaled
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from processors.heatmap import decode as heatmap
from processors.heatmap.columns import BY_DEPTH, DEVICE_NAMES, KIND_CODES, NEW, SEEN
from processors.heatmap.decode import Decoded, decode
from schemas.codec import encode_framed
from schemas.errors import DecodeError
from schemas.heatmap import Beacon, decode_beacon, element_names

NOW_MS = 1_795_451_375_000
UUID = "0b7f9e58-3f0e-4c55-9a53-6a1c80a8f0d7"
IDENTITY = bytes.fromhex(UUID.replace("-", ""))
LETTERS = {code: letter for letter, code in KIND_CODES.items()}
EXAMPLE = msgspec.json.encode(
    example_beacon(seq=7, fixed=[1], sections=[["hero", 0, 820], ["price", 820, 1640]], rate=1.0)
).decode()


def one(text: str | bytes) -> Decoded:
    """Decode a single record."""
    return decode([text if isinstance(text, bytes) else text.encode()], [NOW_MS])


def strict(value: bytes) -> Beacon | None:
    """Decode a beacon with msgspec; return None if it is invalid."""
    try:
        return decode_beacon(value)
    except (DecodeError, UnicodeDecodeError):
        return None


def beacons_of(decoded: Decoded) -> list[dict[str, Any]]:
    """Return the columns as one dict per beacon."""
    columns, start, found = decoded.columns, 0, []
    for index, events in enumerate(columns.counts.tolist()):
        part = slice(start, start + events)
        start += events
        found.append(
            {
                "lp_id": columns.lp_ids[columns.lp[index]],
                "device": DEVICE_NAMES[columns.device[index]],
                "opens": bool(columns.opens[index]),
                **{name: int(getattr(columns, name)[index]) for name in SCALARS},
                "type": "".join(LETTERS[code] for code in columns.kind[part].tolist()),
                "dt": (columns.time[part] - columns.t0[index]).tolist(),
                **{name: getattr(columns, name)[part].tolist() for name in ("x", "y", "dwell")},
                "fixed": np.flatnonzero(columns.fixed[part]).tolist(),
                "sections": list(columns.layouts[columns.layout[index]]),
                "elements": [None if code < 0 else columns.elements[code] for code in columns.element[part]],
                "identity": decoded.identities[index],
            }
        )
    return found


SCALARS = ("viewport_w", "viewport_h", "page_w", "page_h", "depth")


def expected(beacon: Beacon) -> dict[str, Any]:
    """Return a strictly decoded beacon as the same dict."""
    return {
        **{name: getattr(beacon, name) for name in ("lp_id", "device", *SCALARS, "type", "dt", "x", "y", "dwell")},
        "opens": beacon.seq == 0,
        "fixed": sorted(set(beacon.fixed)),
        "sections": layout(beacon),
        "elements": elements(beacon),
        "identity": bytes.fromhex(beacon.pageview_id.replace("-", "")) + beacon.seq.to_bytes(4, "big"),
    }


def layout(beacon: Beacon) -> list[tuple[str, int, int, int]]:
    """Return (name, top, bottom, state) of each section; new sections without a place come last."""
    if beacon.new_sections is UNSET:
        return [(*section, BY_DEPTH) for section in beacon.sections]
    new, found = list(dict.fromkeys(beacon.new_sections)), []
    for name, top, bottom in beacon.sections:
        found.append((name, top, bottom, NEW if name in new else SEEN))
        new = [other for other in new if other != name]
    return found + [(name, 0, 0, NEW) for name in new]


def elements(beacon: Beacon) -> list[str | None]:
    """Return the element of each event, None for events without one."""
    names = iter([] if beacon.elements is UNSET else element_names(beacon.elements))
    return [next(names, None) if letter in "crd" else None for letter in beacon.type]


def agree(values: list[bytes]) -> None:
    """Assert that both decoders accept the same values and return the same columns."""
    decoded = decode(values, [NOW_MS] * len(values))
    valid = {index: beacon for index, value in enumerate(values) if value and (beacon := strict(value))}
    assert decoded.positions.tolist() == list(valid)
    assert [bad.index for bad in decoded.rejected] == [i for i, v in enumerate(values) if v and i not in valid]
    assert beacons_of(decoded) == [expected(beacon) for beacon in valid.values()]


def test_the_example_uses_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    def strictly(value: bytes) -> Beacon:
        raise AssertionError("the strict decoder was called")

    monkeypatch.setattr(heatmap, "to_beacon", strictly)
    decoded = one(EXAMPLE)
    assert beacons_of(decoded) == [expected(decode_beacon(EXAMPLE.encode()))]
    assert decoded.identities == [IDENTITY + b"\0\0\0\x07"]
    assert (decoded.columns.beacons, decoded.columns.events, decoded.skewed) == (1, 3, 0)


def test_optional_fields_may_be_absent_on_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = EXAMPLE.split(',"fixed"')[0]
    values = [f"{bare}{rest}}}".encode() for rest in ("", ',"rate":1', ',"fixed":[]', ',"sections":[],"fixed":[0,2]')]
    valid = [expected(decode_beacon(value)) for value in values]
    monkeypatch.setattr(heatmap, "to_beacon", None)
    assert beacons_of(decode(values, [NOW_MS] * 4)) == valid


def test_ticks_are_skipped_and_positions_are_preserved() -> None:
    decoded = decode([b"", EXAMPLE.encode(), b"", b"{}", EXAMPLE.encode(), b"\x00"], [NOW_MS] * 6)
    assert decoded.positions.tolist() == [1, 4]
    assert [bad.index for bad in decoded.rejected] == [3, 5]
    assert decoded.rejected[0].field == "schema"


def test_no_records_give_empty_columns() -> None:
    decoded = decode([], [])
    assert (decoded.columns.beacons, decoded.columns.events, decoded.identities) == (0, 0, [])


def test_avro_makes_the_same_columns() -> None:
    beacon = decode_beacon(EXAMPLE.encode())
    framed = encode_framed("heatmap_beacon", msgspec.to_builtins(beacon))
    decoded = decode([framed, EXAMPLE.encode()], [NOW_MS] * 2)
    assert decoded.rejected == []
    assert beacons_of(decoded) == [expected(beacon)] * 2


@pytest.mark.parametrize(
    ("old", "new", "at_fault"),
    [
        ('"dt":[0,120,480]', '"dt":[[0,120],480]', "dt"),
        ('"dt":[0,120,480]', '"dt":[[0],[120],[480]]', "dt"),
        ('"x":[0,120,44]', '"x":[[0,120],[],44]', "x"),
        ('"fixed":[1]', '"fixed":[[1]]', "fixed"),
        ('"fixed":[1]', '"fixed":[3]', "fixed"),
        ('"fixed":[1]', '"fixed":[-1]', "fixed"),
        ('"y":[0,340,900]', '"y":[0,340]', "y"),
        ('"y":[0,340,900]', '"y":[0,340,9007199254740992]', "y"),
        ('"y":[0,340,900]', '"y":[0,true,900]', "y"),
        ('"dwell":[0,0,350]', '"dwell":[0,0,-1]', "dwell"),
        ('"dt":[0,120,480]', '"dt":[0,120,2147483648]', "dt"),
        ('"type":"scm"', '"type":"scz"', "type"),
        ('"type":"scm"', '"type":["s","c","m"]', "type"),
        ('"type":"scm"', '"type":""', "type"),
        ('"seq":7', '"seq":true', "seq"),
        ('"seq":7', '"seq":-1', "seq"),
        ('"seq":7', '"seq":7.0', "seq"),
        ('"x":[0,120,44]', '"x":[0,120,44.0]', "x"),
        ('"page_w":390', '"page_w":0', "page_w"),
        ('"schema":1', '"schema":2', "schema"),
        ('"schema":1', '"schema":true', "schema"),
        ('"rate":1.0', '"elements":[]', "elements"),
        ('"rate":1.0', '"elements":["cta","cta"]', "elements"),
        ('"rate":1.0', '"elements":[0]', "elements"),
        ('"rate":1.0', '"elements":[""]', "elements"),
        ('"rate":1.0', f'"elements":["{"x" * 65}"]', "elements"),
        ('"rate":1.0', '"elements":[["cta"]]', "elements"),
        ('"rate":1.0', '"elements":[null]', "elements"),
        ('"rate":1.0', '"elements":null', "elements"),
        ('"rate":1.0', '"rate":0', "rate"),
        ('"rate":1.0', '"rate":1.5', "rate"),
        ('"lp_8f3a"', '"lp 8f3a"', "lp_id"),
        ('"lp_8f3a"', '"lp_8f3a\\n"', "lp_id"),
        ('"lp_8f3a"', '"ｌｐ"', "lp_id"),
        (UUID, UUID.replace("-", "_"), "pageview_id"),
        (UUID, UUID[:-1] + "g", "pageview_id"),
        (UUID, UUID[:-1] + "０", "pageview_id"),
        ('"mobile"', '"watch"', "device"),
        ('["hero",0,820]', '["",0,820]', "sections"),
        ('["hero",0,820]', '["hero",0]', "sections"),
        ('["hero",0,820]', '["hero",0,false]', "sections"),
        ('"depth":0,', "", "depth"),
        ('"rate":1.0}', '"rate":1.0', ""),
        ('"rate":1.0}', '"rate":1.0}x', ""),
        ('"rate":1.0}', '"rate":NaN}', ""),
        ('{"schema"', '\ufeff{"schema"', ""),
    ],
)
def test_a_rejected_beacon_names_the_field(old: str, new: str, at_fault: str) -> None:
    assert old in EXAMPLE
    decoded = decode([EXAMPLE.encode(), EXAMPLE.replace(old, new).encode(), EXAMPLE.encode()], [NOW_MS] * 3)
    (bad,) = decoded.rejected
    assert (bad.index, bad.field.split("[")[0]) == (1, at_fault)
    assert bad.detail
    assert decoded.positions.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"seq":7', '"seq":7,"seq":8'),
        ('"x":[0,120,44]', '"x":[1,2,3],"x":[0,120,44]'),
        ('"rate":1.0', '"fixed":[0]'),
        ('"rate":1.0', '"unknown":[[[]]],"rate":1e0'),
        ('"type":"scm"', '"t\\u0079pe":"s\\u0063m"'),
        ('"rate":1.0', '"elements":["cta\\ud83d\\ude00]"]'),
        ('"type":"scm"', '"elements":["a",0,"b"],"type":"drc"'),
        ('"hero"', '"[he\\"ro]"'),
        ('"hero"', '"\\u5e97\\ud83d\\ude00"'),
        ("{", " \n{ "),
        ('"x":[0,120,44]', '"x":[-0,-120,1]'),
        (UUID, UUID.upper()),
    ],
)
def test_odd_but_valid_beacons_are_accepted(old: str, new: str) -> None:
    value = EXAMPLE.replace(old, new, 1).encode()
    assert strict(value) is not None
    agree([EXAMPLE.encode(), value])


def test_invalid_utf8_is_rejected() -> None:
    decoded = one(EXAMPLE.encode().replace(b"hero", b"he\xffo"))
    assert [bad.index for bad in decoded.rejected] == [0]


_numbers = st.one_of(
    st.integers(-3, 6000),
    st.sampled_from([2**31 - 1, 2**31, 2**53 - 1, 2**53, -(2**53), 2**63, 2**64, -(2**63) - 1, 10**30]),
)
_odd = st.one_of(
    _numbers,
    st.sampled_from([None, True, False, 1.0, 0.5, "", "a", [], {}, [[]], [[1, 2], 3], [1.0], [True], [None], ["1"]]),
    st.lists(_numbers, max_size=5),
)
_texts = st.one_of(st.text(max_size=70), st.sampled_from(["x" * 64, "x" * 65, "店" * 64, "😀" * 65, "[", "\x00"]))
_rows = st.lists(st.one_of(st.tuples(_texts, _numbers, _numbers).map(list), _odd), max_size=33)


@st.composite
def _valid(draw: st.DrawFn) -> dict[str, Any]:
    events = draw(st.sampled_from([1, 1, 2, 3, 7, 500]))
    seed = draw(st.integers(0, 2**32))
    rng = random.Random(seed)
    names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=64)
    document = msgspec.json.decode(EXAMPLE)
    document |= {
        "lp_id": draw(st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9._-]{0,12}\Z")),
        "pageview_id": draw(st.uuids().map(str)),
        "seq": draw(st.sampled_from([0, 1, 2**31 - 1])),
        "type": "".join(rng.choices("crdmsgfeotv", k=events)),
        **{name: [rng.randrange(2**31) for _ in range(events)] for name in ("dt", "dwell")},
        **{name: [rng.randrange(1 - 2**53, 2**53) for _ in range(events)] for name in ("x", "y")},
        "fixed": [rng.randrange(events) for _ in range(rng.randrange(3))],
        "sections": [[draw(names), rng.randrange(9000), rng.randrange(9000)] for _ in range(rng.randrange(4))],
        "new_sections": draw(st.none() | st.lists(names, max_size=3)),
    }
    clicks = sum(letter in "crd" for letter in document["type"])
    some = [draw(names), draw(names)]
    document["elements"] = [
        rng.choice(some) if at == 0 or rng.random() < 0.5 else rng.randrange(at) for at in range(clicks)
    ]
    for name in draw(st.sets(st.sampled_from(["fixed", "sections", "new_sections", "rate", "elements"]))):
        del document[name]
    return document


def _mutated(draw: st.DrawFn, document: dict[str, Any]) -> bytes:
    """Return the document's bytes after up to two changes of fields and up to one change of the text."""
    fields = list(document)
    for name in draw(st.lists(st.sampled_from(fields), max_size=2)):
        document[name] = draw(_rows if name == "sections" else st.one_of(_texts, _odd))
    for name in draw(st.lists(st.sampled_from(fields), max_size=1)) if draw(st.booleans()) else []:
        document.pop(name, None)
    if draw(st.booleans()):
        document = dict(draw(st.permutations(list(document.items()))))
    text = msgspec.json.encode(document)
    return draw(st.sampled_from(TEXT_CHANGES))(text, draw(st.integers(0, 2**16)))


TEXT_CHANGES = [
    *[lambda text, _: text] * 4,
    lambda text, at: text[: at % len(text)],
    lambda text, at: text[: at % len(text)] + b"[" + text[at % len(text) :],
    lambda text, at: text[: at % len(text)] + bytes([at % 256]) + text[at % len(text) + 1 :],
    lambda text, _: text + b" \n\t",
    lambda text, _: b"\xef\xbb\xbf" + text,
    lambda text, _: text + b"{}",
    lambda text, _: text[:-1] + b',"seq":0}',
    lambda text, _: text[:-1] + b',"rate":0.5}',
    lambda text, _: b'{"dt":[1],' + text[1:],
    lambda text, _: b'{"later":{"a":[1,"["]},' + text[1:],
    lambda text, _: text.replace(b'"type":"', b'"type":"\\u0063', 1),
    lambda text, _: text.replace(b'"x":[', b'"x":[[],', 1),
    lambda text, _: text.replace(b"1.0", b"1e-400", 1),
    lambda text, _: text.replace(b":", b" : ").replace(b",", b" , "),
]


@settings(max_examples=int(scaled(150, 400)), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_fast_and_strict_decoders_agree(data: st.DataObject) -> None:
    documents = data.draw(st.lists(_valid(), min_size=1, max_size=5))
    mutate = data.draw(st.lists(st.booleans(), min_size=len(documents), max_size=len(documents)))
    agree(
        [
            _mutated(data.draw, document) if mutated else msgspec.json.encode(document)
            for document, mutated in zip(documents, mutate, strict=True)
        ]
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=5))
def test_any_bytes_are_rejected_and_never_raise(values: list[bytes]) -> None:
    decoded = decode(values, [NOW_MS] * len(values))
    assert decoded.columns.beacons == 0
    assert [bad.index for bad in decoded.rejected] == [index for index, value in enumerate(values) if value]
