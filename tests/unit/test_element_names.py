"""The elements of a map: rank and share, in JSON and in the studio."""

from processors.pictures.summary import elements_of


def rows(*clicks: int, total: int = 0) -> list[dict[str, object]]:
    """Return rows as ClickHouse gives them, most clicked first."""
    shared = {"rage_clicks": 1, "dead_clicks": 0, "total": total or sum(clicks)}
    return [{"element": f"e{at}", "clicks": count, "measured": count, **shared} for at, count in enumerate(clicks)]


def test_elements_with_as_many_clicks_have_the_same_rank() -> None:
    assert [(one.name, one.rank) for one in elements_of(rows(5, 3, 3, 1))] == [
        ("e0", 1),
        ("e1", 2),
        ("e2", 2),
        ("e3", 4),
    ]


def test_the_share_is_of_all_elements_also_of_those_not_listed() -> None:
    (one,) = elements_of(rows(1, total=3))
    assert (one.share, one.clicks, one.rage_clicks, one.dead_clicks) == (0.3333, 1, 1, 0)


def test_rank_and_share_are_by_the_clicks_of_the_maps_kind() -> None:
    dead = [row | {"measured": dead} for row, dead in zip(rows(9, 5, total=4), (3, 1), strict=True)]
    assert [(one.rank, one.share, one.clicks) for one in elements_of(dead)] == [(1, 0.75, 9), (2, 0.25, 5)]


def test_a_map_without_named_clicks_has_no_elements() -> None:
    assert elements_of([]) == []
