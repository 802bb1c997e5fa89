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
    assert meant_by(settings, [], "gone") == Meant((), "gone")
    erasure = meant_by(settings, [], "acme").erasure()
    assert erasure.covers("acme-1") and erasure.covers("own-site") and not erasure.covers("acmes-1")
    assert meant_by(settings, ["a", "a", "b"], "") == Meant(("a", "b"))


def test_the_list_of_remaining_data_names_every_topic() -> None:
    places = " ".join(one.where for one in STAYS)
    assert all(topic.name in places for topic in load_topics())
    assert all(one.where and one.what and one.until for one in STAYS)


@pytest.mark.parametrize("one", STAYS, ids=lambda one: one.where)
def test_the_privacy_page_lists_the_remaining_data(one: object) -> None:
    section = PRIVACY.split("## Deleting")[1].split("\n## ")[0]
    row = f"| {one.where} | {one.what} | {one.until} |"  # type: ignore[attr-defined]
    assert row in section
