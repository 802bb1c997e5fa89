"""The edge's routes: which paths match, and which are refused."""

import gc

import pytest
from aiohttp import web
from edge_listeners import TOKEN, running_edge
from new_objects import only_new_objects

from streams.edge.routes import PRIVATE, PUBLIC, STUDIO, Route
from streams.edge.server import path_of
from streams.pictures.cards import NAME


def found(routes: list[Route], path: str) -> list[tuple[str, dict[str, str]]]:
    return [(one.template, match.groupdict()) for one in routes if (match := one.pattern.fullmatch(path))]


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/", "/"),
        ("/t.js", "/t.js"),
        ("/t.js?../..//x", "/t.js"),
        ("http://edge:8080/lp/a.b", "/lp/a.b"),
        ("https://edge/lp/..a/...", "/lp/..a/..."),
        ("/topics/a/", "/topics/a/"),
    ],
)
def test_a_plain_path_is_accepted_unchanged(target: str, path: str) -> None:
    assert path_of(target) == path


@pytest.mark.parametrize(
    "target",
    ["", "*", "t.js", "//t.js", "/a//b", "/a//", "/.", "/..", "/a/../t.js", "/lp/..", "/%74.js", "/a;b", "/a#b",
     "/a?b#c", "/\\a", "/a b", "/a\n", "/é", "ftp://edge/t.js", "http://edge", "http://edge?/t.js", "/a\x00"],
)  # fmt: skip
def test_an_ambiguous_path_is_refused(target: str) -> None:
    assert path_of(target) is None


@pytest.mark.parametrize("lp_id", ["a", "a.b", "a.png", "a.b.json", "_x-1.2.3", "a" * 128])
@pytest.mark.parametrize("suffix", ["png", "json"])
def test_the_heatmap_of_any_lp_id_has_a_route(lp_id: str, suffix: str) -> None:
    assert found(PRIVATE, f"/heatmaps/{lp_id}.{suffix}") == [
        ("/heatmaps/{lp_id}.{suffix}", {"lp_id": lp_id, "suffix": suffix})
    ]
    assert found(STUDIO, f"/studio/pictures/{lp_id}.png") == [("/studio/pictures/{lp_id}.png", {"lp_id": lp_id})]
    assert found(PUBLIC, f"/lp/{lp_id}") == [("/lp/{lp_id}", {"lp_id": lp_id})]


@pytest.mark.parametrize("lp_id", [".", "..", ".a", "-a", "a" * 129, "a/b", ""])
def test_an_invalid_lp_id_has_no_route(lp_id: str) -> None:
    assert found(PUBLIC, f"/lp/{lp_id}") == []
    assert found(PRIVATE, f"/heatmaps/{lp_id}.png") == []
    assert found(STUDIO, f"/studio/maps/{lp_id}") == []


def test_a_picture_name_cannot_leave_its_folder() -> None:
    assert NAME.fullmatch("card-a.b-1-og.png")
    assert not NAME.fullmatch("card-..-og.png") and not NAME.fullmatch("card-.-og.png")


async def test_requests_for_a_missing_topic_do_not_stay_in_memory() -> None:
    with only_new_objects():
        async with running_edge() as edge:
            for _ in range(20):
                async with edge.session.get(
                    f"{edge.private}/topics/missing", headers={"Authorization": f"Bearer {TOKEN}"}
                ) as answer:
                    assert (await answer.json())["error_code"] == 40401
            gc.collect()
            assert sum(isinstance(one, web.BaseRequest) for one in gc.get_objects()) < 10
