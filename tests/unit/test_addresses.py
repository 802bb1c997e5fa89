"""In production the addresses of an installation must be those that visitors reach, by https."""

import pytest

from schemas.errors import SettingError
from streams.runtime.addresses import is_local, reachable
from streams.runtime.settings import Settings, load_settings

GOOD = {"public_url": "https://lp.example.com", "api_url": "https://studio.lp.example.com"}


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST.", "app.localhost", "127.0.0.1", "127.1", "127.9.9.9", "2130706433", "0x7f000001",
        "0.0.0.0", "0", "::", "::1", "[::1]", "[::]", "::ffff:127.0.0.1", "[::ffff:0.0.0.0]", "",  # noqa: S104
    ],
)  # fmt: skip
def test_an_address_of_this_machine_is_local_in_any_spelling(host: str) -> None:
    assert is_local(host)


@pytest.mark.parametrize(
    "host", ["lp.example.com", "localhost.example.com", "10.0.0.1", "203.0.113.9", "2001:db8::1", "例え.jp", "lp"]
)
def test_an_address_of_others_is_not_local(host: str) -> None:
    assert not is_local(host)


def test_production_starts_with_addresses_that_visitors_reach() -> None:
    settings = load_settings(production=True, **GOOD)
    assert (settings.page_base_url, settings.api_base_url) == (GOOD["public_url"], GOOD["api_url"])


@pytest.mark.parametrize("name", ["public_url", "api_url"])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "is not set"),
        ("https://127.0.0.1:8080", "one machine only"),
        ("https://0.0.0.0", "one machine only"),
        ("https://[::]:8080", "one machine only"),
        ("https://localhost", "one machine only"),
        ("http://lp.example.com", "https://"),
        ("ftp://lp.example.com", "https://"),
    ],
)
def test_production_refuses_an_address_that_visitors_cannot_use(name: str, value: str | None, reason: str) -> None:
    with pytest.raises(SettingError, match=reason) as caught:
        load_settings(production=True, **(GOOD | {name: value}))
    assert f"LPSTREAM_{name.upper()}" in str(caught.value)


def test_without_production_an_address_may_be_local() -> None:
    assert load_settings(public_url="http://127.0.0.1:8080").page_base_url == "http://127.0.0.1:8080"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])  # noqa: S104
def test_a_page_never_has_the_address_of_all_addresses(host: str) -> None:
    settings = Settings(edge_host=host, edge_port=80, api_port=81)
    assert (settings.page_base_url, settings.api_base_url) == ("http://127.0.0.1:80", "http://127.0.0.1:81")
    assert reachable("192.0.2.7") == "192.0.2.7"
