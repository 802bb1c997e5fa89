"""Tenants: the owner of a page, and the origins that may send its beacons."""

from pathlib import Path

import pytest

from infra.tenants import Tenants, digest_of
from schemas.errors import SettingError

FILE = """
[[tenant]]
id = "demo"
lp_ids = ["*"]

[[tenant]]
id = "acme"
lp_ids = ["lp_8f3a", "lp_plain"]
origins = ["https://www.acme.example"]

[tenant.lp_origins]
lp_8f3a = ["https://campaign.acme.example"]

[[tenant.token]]
sha256 = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
role = "application"
"""
OWN = "https://lp.example"


@pytest.fixture
def tenants(tmp_path: Path) -> Tenants:
    path = tmp_path / "tenants.toml"
    path.write_text(FILE, encoding="utf-8")
    return Tenants.load(path, [OWN])


@pytest.mark.parametrize(
    ("lp_id", "owner"),
    [("acme-1", "acme"), ("lp_8f3a", "acme"), ("acme", "demo"), ("other-1", "demo"), ("demo-1", "demo")],
)
def test_a_page_belongs_to_its_lister_or_its_prefix(tenants: Tenants, lp_id: str, owner: str) -> None:
    found = tenants.owner(lp_id)
    assert found is not None and found.id == owner


def test_an_unknown_page_has_no_owner_without_a_catch_all(tmp_path: Path) -> None:
    path = tmp_path / "tenants.toml"
    path.write_text('[[tenant]]\nid = "acme"\n', encoding="utf-8")
    assert Tenants.load(path).owner("other-1") is None


@pytest.mark.parametrize(
    ("origin", "lp_id", "allowed"),
    [
        ("https://www.acme.example", "acme-1", True),
        ("https://www.acme.example", "lp_plain", True),
        ("https://www.acme.example", "lp_8f3a", False),
        ("https://campaign.acme.example", "lp_8f3a", True),
        ("https://campaign.acme.example", "acme-1", False),
        ("https://www.acme.example", "demo-1", False),
        ("https://www.acme.example.evil.example", "acme-1", False),
        ("http://www.acme.example", "acme-1", False),
        ("https://www.acme.example:8443", "acme-1", False),
        ("null", "acme-1", False),
        (OWN, "acme-1", True),
        (OWN, "demo-1", True),
    ],
)
def test_origins_are_matched_exactly_for_each_page(tenants: Tenants, origin: str, lp_id: str, allowed: bool) -> None:
    assert tenants.allows(origin, lp_id) is allowed


def test_an_origin_of_no_page_is_unknown(tenants: Tenants) -> None:
    assert [tenants.knows(one) for one in (OWN, "https://campaign.acme.example", "https://evil.example", "null")] == [
        True, True, False, False
    ]  # fmt: skip


@pytest.mark.parametrize(
    "origin",
    [
        "https://a.example/",
        "https://*.example",
        "a.example",
        "https://A.example",
        "https://a.example:443",
        "null",
        "https://a.example:99999",
        "https://a.example:0",
        "https://a.example:08443",
    ],
)
def test_an_origin_in_a_non_browser_form_is_refused(tmp_path: Path, origin: str) -> None:
    path = tmp_path / "tenants.toml"
    path.write_text(f'[[tenant]]\nid = "acme"\norigins = ["{origin}"]\n', encoding="utf-8")
    with pytest.raises(SettingError, match=r"tenant\.0\.origins\.0"):
        Tenants.load(path)


def test_a_token_gives_its_tenant_and_role(tenants: Tenants) -> None:
    caller = tenants.caller("token")
    assert caller is None
    known = tenants.caller("secret")
    assert known is not None and (known.tenant.id, known.role) == ("acme", "application")


ONE = '[[tenant]]\nid = "one"\n'
TWO = '[[tenant]]\nid = "two"\n'
HASH = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
TOKEN = f'[[tenant.token]]\nsha256 = "{HASH}"\nrole = "analyst"\n'


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (ONE + TWO + ONE, "id one occurs twice"),
        (ONE + TOKEN + TWO + TOKEN, f"sha256 {HASH} occurs twice"),
        (ONE + TOKEN + TOKEN.replace("analyst", "operator"), f"sha256 {HASH} occurs twice"),
        (ONE + 'lp_ids = ["p"]\n' + TWO + 'lp_ids = ["q", "p"]\n', "lp_ids p occurs twice"),
        (ONE + 'lp_ids = ["*"]\n' + TWO + 'lp_ids = ["*"]\n', r"lp_ids \* occurs twice"),
        (ONE + 'lp_ids = ["p", "p"]\n', "lp_ids p occurs twice"),
        (ONE + 'lp_origins = {p = ["https://a.example"]}\n', "lp_origins of one: p is no page of this tenant"),
        (ONE + 'lp_ids = ["a b"]\n', r"tenant\.0\.lp_ids\.0"),
        (ONE + "caps = {day_yen = 9999999999999}\n", r"tenant\.0\.caps\.day_yen"),
        (ONE + TOKEN.replace(HASH, digest_of("")), "hash of an empty token"),
        (ONE + TOKEN.replace(HASH, digest_of("\n")), "hash of an empty token"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(tmp_path: Path, file: str, message: str) -> None:
    path = tmp_path / "tenants.toml"
    path.write_text(file, encoding="utf-8")
    with pytest.raises(SettingError, match=f"LPSTREAM_TENANTS_FILE: {path}: .*{message}"):
        Tenants.load(path)


def test_two_tenants_may_share_origins_and_have_tokens_of_one_role(tmp_path: Path) -> None:
    path = tmp_path / "tenants.toml"
    second = TOKEN.replace(HASH, "0" * 64)
    path.write_text(ONE + 'origins = ["https://a.example:8443"]\n' + TOKEN + TWO + second, encoding="utf-8")
    assert Tenants.load(path).ids == ["one", "two"]
