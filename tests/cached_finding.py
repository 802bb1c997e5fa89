"""A report with one finding in the cache, as if visits had been counted."""

import msgspec

from infra.embedded.stack import Stack
from infra.redis.line import RedisLine, open_redis
from infra.redis.response_cache import CachedResponse, ResponseCache
from processors.findings.looks import Where
from processors.findings.report import Finding, Suggestion
from streams.pictures.findings import FindingsQuery, PageReport, key_of

VISITS = 600
SENTENCE = "「最初の画面」がクリックされていますが、何も起きません（スマートフォンでクリック210回のうち96回）。"


async def find(stack: Stack, lp_id: str) -> None:
    """Put a report with one finding of a page into the cache."""
    suggestion = Suggestion("design", [], "Make it work.", "Nothing happens. Make it work.")
    figures = (100, 0.2, 0.2, 0.1, 0.3, "per_visit")
    where = Where("hero", 0, 99)
    finding = Finding("dead_clicks", "mobile", where, None, SENTENCE, suggestion, *figures, evidence={})
    report = PageReport(VISITS, 0, 1, "", [finding], [], lp_id=lp_id, device=None, start="", end="")

    async def make() -> CachedResponse:
        return CachedResponse.of(msgspec.json.encode(report), "application/json", 3_600)

    redis = open_redis(stack.addresses.redis_url)
    await ResponseCache(RedisLine(redis), "lp:heatmap:").get(key_of(FindingsQuery(lp_id, language="ja")), make)
    await redis.aclose()
