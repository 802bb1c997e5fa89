"""`lpstream erase` without stores: refused arguments, and the list of data that stays."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.kafka.topics import load_topics
from schemas.errors import LpstreamError
from streams.__main__ import app
from streams.operate.erasure import Meant, meant_by
from streams.operate.erasure_stays import what_stays
from streams.runtime.settings import Settings

PRIVACY = (Path(__file__).parents[2] / "docs" / "privacy.md").read_text("utf-8")
STAYS = what_stays(Settings())


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "--lp or --tenant"),
        (["--lp", "a", "--tenant", "b"], "--lp or --tenant"),
        (["--lp", "../x"], "--lp '../x': is not a valid"),
        (["--lp", ""], "is not a valid"),
        (["--lp", "x" * 5_000], "is not a valid"),
        (["--tenant", "acme-"], "--tenant 'acme-': is not a valid"),
        (["--tenant", "*"], "is not a valid"),
    ],
)
def test_an_invalid_id_is_refused_without_asking_a_store(args: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["erase", *args])
    assert isinstance(done.exception, LpstreamError) and said in str(done.exception)


def test_a_tenant_covers_its_prefix_and_its_listed_pages(tmp_path: Path) -> None:
    path = tmp_path / "tenants.toml"
    path.write_text('[[tenant]]\nid = "acme"\nlp_ids = ["own-site", "*"]\n', encoding="utf-8")
    settings = Settings(tenants_file=path)
    assert meant_by(settings, [], "acme") == Meant(("own-site",), "acme")
    with pytest.raises(LpstreamError, match=r"--tenant gone: is not in .*nothing was erased.*with --lp"):
        meant_by(settings, [], "gone")  # its listed pages would stay without a word
    erasure = meant_by(settings, [], "acme").erasure()
    assert erasure.covers("acme-1") and erasure.covers("own-site") and not erasure.covers("acmes-1")
    assert meant_by(settings, ["a", "a", "b"], "") == Meant(("a", "b"))


def test_the_list_names_data_that_an_erasure_of_a_tenant_leaves() -> None:
    assert any("`*`" in one.where and "--lp" in one.until for one in STAYS)


def test_the_age_of_copy_is_that_of_the_settings() -> None:
    until = {one.where: one.until for one in what_stays(Settings(copy_fresh_s=86_400, copy_stale_s=86_400))}
    assert until["cached copy"] == "2 days, on S3 up to a day more"


def test_the_list_of_remaining_data_names_every_topic() -> None:
    places = " ".join(one.where for one in STAYS)
    assert all(topic.name in places for topic in load_topics())
    assert all(one.where and one.what and one.until for one in STAYS)


@pytest.mark.parametrize("one", STAYS, ids=lambda one: one.where)
def test_the_privacy_page_lists_the_remaining_data(one: object) -> None:
    section = PRIVACY.split("## Deleting")[1].split("\n## ")[0]
    row = f"| {one.where} | {one.what} | {one.until} |"  # type: ignore[attr-defined]
    assert row in section
