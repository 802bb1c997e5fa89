"""Arms at the edge: their visitors, the content of cookies, and the answers that caches may keep."""

from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from infra.redis.experiments import ExperimentStore
from infra.s3.objects import StoredObject
from schemas.errors import Retryable
from schemas.experiments import ExperimentState
from schemas.generation import encode_model
from streams.edge.services import Services
from streams.edge.site.experiments import PAGE_CACHE, POLL_S, UNKNOWN_CACHE, Experiments
from streams.edge.site.object_cache import CachedObject
from streams.edge.site.pages import page
from streams.pictures.stored import erased_key
from streams.runtime.experiment_settings import NGINX_S, PAGE_S
from streams.runtime.settings import Settings

ID = "6f1c1f4e-6d2b-4a55-9f5e-0d6b7d0a7c11"
BASE = "https://pages.example"
GOOGLE = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


def html(lp_id: str, mark: str = "") -> bytes:
    return (
        f"<html><head><title>{lp_id}</title><link rel=canonical href={BASE}/lp/{lp_id}>"
        f'<meta property="og:title" content="{lp_id}"><script src=/t.js data-lp-id={lp_id}{mark}></script></head>'
        f"<body>{lp_id}</body></html>"
    ).encode()


class Shelf:
    """Published pages in memory."""

    def __init__(self, *lp_ids: str) -> None:
        self.pages = {lp_id: html(lp_id) for lp_id in lp_ids}
        self.erased: set[str] = set()

    async def get(self, key: str) -> CachedObject | None:
        lp_id = key.split("/")[1]
        if key in self.erased:
            return CachedObject(StoredObject(b"", "text/plain", '"e"'), 0.0)
        if lp_id not in self.pages:
            return None
        return CachedObject(
            StoredObject(self.pages[lp_id], "text/html; charset=utf-8", f'"{hash(self.pages[lp_id])}"'), 3.0
        )


class Place:
    """The services that a page needs, and requests to it."""

    def __init__(self, base: str = BASE) -> None:
        self.settings = Settings.model_construct(**{**Settings().model_dump(), "public_url": base})
        self.shelf = Shelf("demo-a", "demo-b", "demo-c", "acme-x")
        self.experiments = Experiments(cast(ExperimentStore, None), self.settings)
        self.experiments.page_cache = PAGE_CACHE

    async def get(self, lp_id: str = "demo-a", method: str = "GET", **headers: str) -> web.Response:
        request = type("Request", (), {"method": method, "headers": CIMultiDict(headers), "rel_url": URL()})()
        return await page(cast(web.BaseRequest, request), cast(Services, self), caller=None, lp_id=lp_id)


def state(**change: Any) -> ExperimentState:
    values = {
        "experiment_id": ID, "tenant_id": "demo", "lp_id": "demo-a", "arms": ["demo-a", "demo-b", "demo-c"],
        "requested_ms": 1, "epoch": 3, "number": 7, "status": "running", "weights": [0.2, 0.5, 0.3], "started_ms": 1,
        "counted_from_ms": 0, "decided_ms": 1,
    }  # fmt: skip
    return ExperimentState.model_validate(values | change)


@pytest.fixture
def place() -> Place:
    made = Place()
    made.experiments.take([state()])
    return made


def arm_of(response: web.Response) -> str:
    body = cast(bytes, response.body)
    return body.partition(b"data-lp-id=")[2].partition(b">")[0].split()[0].decode()


def cookie_of(response: web.Response) -> str | None:
    header = response.headers.get("Set-Cookie")
    return header.partition(";")[0].removeprefix("lpa=") if header else None


async def test_arms_are_shared_by_the_weights(place: Place) -> None:
    answers = [await place.get() for _ in range(3_000)]
    shares = Counter(arm_of(answer) for answer in answers)
    assert [round(shares[arm] / 3_000, 1) for arm in ("demo-a", "demo-b", "demo-c")] == [0.2, 0.5, 0.3]
    assert all(cookie_of(answer) == arm_of(answer) for answer in answers)


async def test_the_cookie_names_the_arm_alone(place: Place) -> None:
    place.experiments.take([state(number=8, weights=[0, 1, 0])])
    header = (await place.get()).headers["Set-Cookie"]
    assert header == "lpa=demo-b; Path=/lp/demo-a; Max-Age=2592000; HttpOnly; SameSite=Lax; Secure"


async def test_a_page_without_tls_has_a_cookie_that_is_not_secure() -> None:
    place = Place("http://127.0.0.1:8080")
    place.experiments.take([state()])
    assert "Secure" not in (await place.get()).headers["Set-Cookie"]


async def test_a_visitor_who_returns_keeps_the_arm_whatever_the_weights(place: Place) -> None:
    place.experiments.take([state(number=8, weights=[0, 1, 0])])
    for _ in range(50):
        answer = await place.get(Cookie="a=1; lpa=demo-c")
        assert (arm_of(answer), cookie_of(answer)) == ("demo-c", None)


@pytest.mark.parametrize("forged", ["acme-x", "demo-z", "demo-b%00", "../demo-b", "", "demo-B", "b" * 4_000])
async def test_a_forged_cookie_is_drawn_anew(place: Place, forged: str) -> None:
    place.experiments.take([state(number=8, weights=[0, 1, 0])])
    answer = await place.get(Cookie=f"lpa={forged}")
    assert (arm_of(answer), cookie_of(answer)) == ("demo-b", "demo-b")


@pytest.mark.parametrize("header", [{"DNT": "1"}, {"Sec_GPC": "1"}])
async def test_a_visitor_who_refuses_gets_an_arm_without_a_cookie(place: Place, header: dict[str, str]) -> None:
    headers = {name.replace("_", "-"): value for name, value in header.items()}
    answers = [await place.get(**headers) for _ in range(100)]
    assert {arm_of(answer) for answer in answers} == {"demo-a", "demo-b", "demo-c"}
    assert {cookie_of(answer) for answer in answers} == {None}


async def test_a_page_that_requires_consent_keeps_no_cookie(place: Place) -> None:
    place.shelf.pages["demo-b"] = html("demo-b", ' data-consent="required"')
    place.experiments.take([state(number=8, weights=[0, 1, 0])])
    answer = await place.get()
    assert (arm_of(answer), cookie_of(answer)) == ("demo-b", None)


async def test_robots_and_head_get_the_page_without_its_script(place: Place) -> None:
    place.experiments.take([state(number=8, weights=[0, 1, 0])])
    for answer in (await place.get(**{"User-Agent": GOOGLE}), await place.get(method="HEAD")):
        assert answer.body == html("demo-a")
        assert "script-src" not in answer.headers["Content-Security-Policy"]
        assert (cookie_of(answer), answer.headers["Cache-Control"]) == (None, "private, no-store")


async def test_caches_keep_no_arm_but_every_other_page(place: Place) -> None:
    assert {(await place.get()).headers["Cache-Control"] for _ in range(20)} == {"private, no-store"}
    answer = await place.get("acme-x")
    assert (answer.headers["Cache-Control"], cookie_of(answer)) == ("public, max-age=3600", None)


async def test_an_arm_has_the_address_and_cards_of_the_page(place: Place) -> None:
    body = cast(bytes, (await place.get(Cookie="lpa=demo-b")).body)
    assert body.count(b"rel=canonical") == 1 and f"href={BASE}/lp/demo-a>".encode() in body
    assert b'og:title" content="demo-a"' in body and b"<title>demo-b</title>" in body


async def test_an_arms_own_address_leads_to_the_page(place: Place) -> None:
    answer = await place.get("demo-b")
    assert (answer.status, answer.headers["Location"]) == (302, "/lp/demo-a")
    assert answer.headers["Cache-Control"] == "private, no-store"


async def test_an_arm_that_was_erased_is_not_served(place: Place) -> None:
    del place.shelf.pages["demo-b"]
    answer = await place.get(Cookie="lpa=demo-b")
    assert answer.body == html("demo-a") and cookie_of(answer) is None


async def test_a_page_that_was_erased_says_so_while_its_experiment_runs(place: Place) -> None:
    del place.shelf.pages["demo-a"]
    place.shelf.erased.add(erased_key("demo-a"))
    for headers in ({"Cookie": "lpa=demo-b"}, {"User-Agent": GOOGLE}, {}):
        assert (await place.get(**headers)).status == 410
    place.experiments.take([state(number=8, status="decided", winner="demo-b", weights=[0, 1, 0])])
    assert (await place.get()).status == 410


async def test_an_arm_of_an_erased_page_is_a_page_again(place: Place) -> None:
    del place.shelf.pages["demo-a"]
    answer = await place.get("demo-b")
    assert (answer.status, answer.body, cookie_of(answer)) == (200, html("demo-b"), None)


async def test_the_valid_one_of_several_cookies_counts(place: Place) -> None:
    place.experiments.take([state(number=8, weights=[0, 1, 0])])
    answer = await place.get(Cookie="lpa=acme-x; lpa=demo-c")
    assert (arm_of(answer), cookie_of(answer)) == ("demo-c", None)


async def test_a_winner_is_the_page_and_may_be_cached(place: Place) -> None:
    place.experiments.take([state(number=8, status="decided", winner="demo-b", weights=[0, 1, 0])])
    for headers in ({}, {"Cookie": "lpa=demo-c"}, {"User-Agent": GOOGLE}):
        answer = await place.get(**headers)
        assert arm_of(answer) == "demo-b" and f"href={BASE}/lp/demo-a>".encode() in cast(bytes, answer.body)
        assert (answer.headers["Cache-Control"], cookie_of(answer)) == ("public, max-age=3600", None)
    etag = (await place.get()).headers["ETag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):  # nginx makes tags weak when it compresses
        assert (await place.get(**{"If-None-Match": known})).status == 304
    assert (await place.get("demo-b")).status == 302


async def test_a_control_that_wins_is_the_page_as_published(place: Place) -> None:
    place.experiments.take([state(number=8, status="decided", winner="demo-a", weights=[1, 0, 0])])
    assert (await place.get()).body == html("demo-a")


async def test_an_earlier_winner_is_the_page_after_a_round_without_a_verdict(place: Place) -> None:
    place.experiments.take([state(number=8, status="stopped", fallback="demo-b", weights=[0, 1, 0])])
    answer = await place.get(Cookie="lpa=demo-c")
    assert (arm_of(answer), answer.headers["Cache-Control"]) == ("demo-b", PAGE_CACHE)
    assert (await place.get("demo-b")).headers["Location"] == "/lp/demo-a"
    assert arm_of(await place.get("demo-c")) == "demo-c", "the loser has its own address again"
    place.experiments.take([state(number=9, started_ms=2, fallback="demo-b")])
    assert arm_of(await place.get(**{"User-Agent": GOOGLE})) == "demo-b", "robots see what they saw before"
    place.experiments.take([state(number=10, started_ms=2, status="stopped", weights=[1, 0, 0])])
    assert [arm_of(await place.get(arm)) for arm in ("demo-a", "demo-b")] == ["demo-a", "demo-b"]


async def test_pages_are_themselves_after_a_stop(place: Place) -> None:
    place.experiments.take([state(number=8, status="stopped", weights=[1, 0, 0])])
    for lp_id in ("demo-a", "demo-b"):
        answer = await place.get(lp_id, Cookie="lpa=demo-c")
        assert (answer.body, answer.headers["Cache-Control"]) == (html(lp_id), "public, max-age=3600")


async def test_an_older_state_changes_nothing(place: Place) -> None:
    place.experiments.take([state(number=6, status="stopped"), state(epoch=2, number=99, status="stopped")])
    assert (await place.get()).headers["Cache-Control"] == "private, no-store"


async def test_the_next_experiment_frees_the_arms_of_the_last(place: Place) -> None:
    place.experiments.take([state(number=0, started_ms=2, arms=["demo-a", "demo-c"], weights=[0.5, 0.5])])
    assert (await place.get("demo-b")).status == 200
    assert (await place.get("demo-c")).status == 302


@pytest.mark.parametrize("refused_first", [True, False])
async def test_a_page_that_is_an_arm_of_another_stays_its_arm(place: Place, refused_first: bool) -> None:
    """A start on the page is refused: the newer state of its stopped experiment changes no address."""
    place.shelf.pages["demo-m"] = html("demo-m")
    ended = state(number=8, status="stopped", weights=[1, 0, 0])
    other = state(lp_id="demo-m", arms=["demo-m", "demo-a"], weights=[0.5, 0.5])
    place.experiments.take([ended, other] if refused_first else [other, ended])
    place.experiments.take([state(number=9, status="stopped", weights=[1, 0, 0])])
    answer = await place.get("demo-a")
    assert (answer.status, answer.headers["Location"]) == (302, "/lp/demo-m")


class Redis:
    """A view that answers with its states, or not at all."""

    def __init__(self, *states: ExperimentState) -> None:
        self.states, self.away = states, False

    async def changed(self, since: int) -> tuple[int, list[bytes]]:
        if self.away:
            raise Retryable("Redis is away")
        return (since, []) if since else (1, [encode_model(each) for each in self.states])


class Odd(Redis):
    """A view with values that are no states."""

    async def changed(self, since: int) -> tuple[int, list[bytes]]:
        last, values = await super().changed(since)
        return last, [b"{}", b"\xff", *values] if values else []


async def test_the_last_known_stay_while_redis_is_away(place: Place) -> None:
    redis = Redis(state(number=9, weights=[0, 0, 1]))
    known = Experiments(cast(ExperimentStore, redis), place.settings)
    assert known.page_cache == UNKNOWN_CACHE
    await known.look()
    redis.away = True
    with pytest.raises(Retryable):
        await known.look()
    place.experiments = known
    assert known.page_cache == PAGE_CACHE and arm_of(await place.get()) == "demo-c"


async def test_a_state_that_cannot_be_read_hides_no_other(place: Place) -> None:
    known = Experiments(cast(ExperimentStore, Odd(state())), place.settings)
    await known.look()
    assert set(known.states) == {"demo-a"}


async def test_a_thousand_experiments_at_once_are_served(place: Place) -> None:
    place.experiments.take(
        state(lp_id=f"demo-p{n}", arms=[f"demo-p{n}", f"demo-q{n}"], weights=[0.5, 0.5]) for n in range(1_000)
    )
    assert len(place.experiments.serving) == 2_003


def test_visits_count_once_no_cache_has_the_earlier_page() -> None:
    nginx = (Path(__file__).parents[2] / "infra/nginx/nginx.conf").read_text("utf-8")
    assert NGINX_S == 60 and "proxy_cache_valid 200 1m;" in nginx
    assert f"public, max-age={PAGE_S}" == PAGE_CACHE
    assert Settings().experiment_settle_s >= PAGE_S + NGINX_S + 10 * POLL_S
