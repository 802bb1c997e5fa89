"""Client addresses: from the connection, and from X-Forwarded-For of trusted proxies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from infra.tenants import Tenants
from streams.edge.http.addresses import forwarded, network_of
from streams.edge.http.admission import Admission
from streams.edge.http.errors import HttpError
from streams.runtime.settings import Settings

CLIENT, BALANCER, GOOGLE = "192.0.2.7", "198.51.100.1", "35.191.0.9"
APPENDED = f"{CLIENT}, {BALANCER}, {GOOGLE}"  # Google's load balancer, then nginx


@pytest.mark.parametrize(
    "address",
    ["192.0.2.7", " 192.0.2.7 ", "192.0.2.7:443", "::ffff:192.0.2.7", "[::ffff:192.0.2.7]:443", "::FFFF:c000:207"],
)
def test_spellings_of_an_ipv4_address_are_one_client(address: str) -> None:
    assert network_of(address) == network_of(CLIENT) != network_of("192.0.2.8")


@pytest.mark.parametrize(
    "address",
    ["2001:db8::1", "2001:DB8:0:0:ffff::2", "[2001:db8::3]", "[2001:db8::3]:65535", "2001:db8::4%eth0"],
)
def test_an_ipv6_client_is_its_64_bit_network(address: str) -> None:
    assert network_of(address) == network_of("2001:db8::") != network_of("2001:db8:0:1::1")


@pytest.mark.parametrize("text", ["", "unknown", "192.0.2", "192.0.2.7:x", "[192.0.2.7", "[::1]x", "1" * 9_999, "é"])
def test_an_invalid_address_is_no_client(text: str) -> None:
    assert network_of(text) is None


@pytest.mark.parametrize(
    "lines",
    [
        [APPENDED],
        [f"203.0.113.9, {APPENDED}"],
        [f"{CLIENT}, {CLIENT}, {CLIENT},,, {APPENDED}"],
        ["203.0.113.9", APPENDED],
        ["203.0.113.9, 203.0.113.10", f"203.0.113.11, {CLIENT}", f"{BALANCER}, {GOOGLE}"],
        [CLIENT, BALANCER, GOOGLE],
        [f"{CLIENT}:4711,{BALANCER}:443,{GOOGLE}:80"],
    ],
)
def test_trusted_hops_count_from_the_right_over_all_header_lines(lines: list[str]) -> None:
    assert forwarded(lines, 3) == network_of(CLIENT)


SHORT: list[list[str]] = [[], [""], ["203.0.113.9"], ["203.0.113.9, 203.0.113.10"], [f"x, {BALANCER}, {GOOGLE}"]]


@pytest.mark.parametrize("lines", SHORT)
def test_a_header_with_too_few_hops_names_no_client(lines: list[str]) -> None:
    assert forwarded(lines, 3) is None


@given(st.lists(st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=40), max_size=5))
def test_a_client_cannot_forge_its_address(sent: list[str]) -> None:
    assert forwarded([*sent, APPENDED], 3) == network_of(CLIENT)
    assert forwarded([", ".join([*sent, APPENDED])], 3) == network_of(CLIENT)


def test_the_connection_is_the_client_if_the_header_is_too_short() -> None:
    one = Admission(
        Settings.model_construct(**{**Settings().model_dump(), "edge_trusted_proxies": 2, "edge_client_rate": 0.1}),
        Tenants([]),
    )
    peer = one.client_of(GOOGLE)
    one.admit(_headers("203.0.113.1"), peer, None)
    with pytest.raises(HttpError, match="Too many"):
        one.admit(_headers("203.0.113.2"), peer, None)
    one.admit(_headers("203.0.113.2", CLIENT, BALANCER), peer, None)


def test_the_header_is_ignored_without_trusted_proxies() -> None:
    one = Admission(Settings.model_construct(**{**Settings().model_dump(), "edge_client_rate": 0.1}), Tenants([]))
    one.admit(_headers("203.0.113.1"), one.client_of(CLIENT), None)
    with pytest.raises(HttpError, match="Too many"):
        one.admit(_headers("203.0.113.2"), one.client_of(CLIENT), None)


def _headers(*lines: str) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict([("X-Forwarded-For", line) for line in lines]))
