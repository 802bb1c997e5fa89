"""`lpstream erase` without stores: what it refuses, and the list of what stays."""

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
        (["--lp", "../x"], "--lp '../x': is no id"),
        (["--lp", ""], "is no id"),
        (["--lp", "x" * 5_000], "is no id"),
        (["--tenant", "acme-"], "--tenant 'acme-': is no id"),
        (["--tenant", "*"], "is no id"),
    ],
)
def test_what_is_no_id_is_refused_before_any_store_is_asked(args: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["erase", *args])
    assert isinstance(done.exception, LpstreamError) and said in str(done.exception)


def test_a_tenant_means_its_prefix_and_the_pages_that_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "tenants.toml"
    path.write_text('[[tenant]]\nid = "acme"\nlp_ids = ["own-site", "*"]\n', encoding="utf-8")
    settings = Settings(tenants_file=path)
    assert meant_by(settings, [], "acme") == Meant(("own-site",), "acme")
    assert meant_by(settings, [], "gone") == Meant((), "gone")
    erasure = meant_by(settings, [], "acme").erasure()
    assert erasure.covers("acme-1") and erasure.covers("own-site") and not erasure.covers("acmes-1")
    assert meant_by(settings, ["a", "a", "b"], "") == Meant(("a", "b"))


def test_every_topic_is_on_the_list_of_what_stays() -> None:
    told = " ".join(one.where for one in STAYS)
    assert all(topic.name in told for topic in load_topics())
    assert all(one.where and one.what and one.until for one in STAYS)


@pytest.mark.parametrize("one", STAYS, ids=lambda one: one.where)
def test_the_privacy_page_lists_what_stays(one: object) -> None:
    section = PRIVACY.split("## Deleting")[1].split("\n## ")[0]
    row = f"| {one.where} | {one.what} | {one.until} |"  # type: ignore[attr-defined]
    assert row in section
