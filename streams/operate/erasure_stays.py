"""The data that `lpstream erase` cannot delete, and how long it stays, as in docs/privacy.md."""

from dataclasses import dataclass

from infra.kafka.topics import load_topics
from infra.redis.budget import KEPT_S
from streams.runtime.settings import Settings
from streams.tiers.expiry import COPY, ages

DAY_S = 86_400
NOT_BACK = "`dlq replay` leaves out those of erased pages"


@dataclass(frozen=True, slots=True)
class Stay:
    """A place, the data that stays there, and until when."""

    where: str
    what: str
    until: str


def what_stays(settings: Settings) -> list[Stay]:
    """Return the list. Retentions are those of topics.toml; a broker's own settings may differ."""
    retentions = {
        topic.name: int(ms) for topic in load_topics() if (ms := topic.config.get("retention.ms")) is not None
    }
    logs = {
        "heatmap.events": "visits; `rebuild` reads them and leaves out erased pages",
        "lp.requests": "requests, with names and facts",
        "lp.steps": "the same, while it is processed",
        "lp.step-results": "the same, while it is processed",
        "lp.progress": "progress of requests",
    }
    stays = [Stay(f"Kafka: {name}", what, _age(retentions[name])) for name, what in logs.items()]
    letters = sorted(name for name in retentions if name.endswith(".dlq"))
    letters_age = _age(retentions[letters[0]])
    stays.append(Stay(f"Kafka: {', '.join(letters)}", f"records that could not be decoded; {NOT_BACK}", letters_age))
    return [*stays, *_elsewhere(settings)]


def _elsewhere(settings: Settings) -> list[Stay]:
    cold = f"heatmaps older than {settings.tier_warm_days} days, until Glacier restores them; no reader sees them"
    page_days, month_days = KEPT_S[0] // DAY_S, KEPT_S[2] // DAY_S
    copy_age = f"{ages(settings)[COPY] // DAY_S} days, on S3 up to a day more"
    any_page = "all data of pages that a tenant has only by `*` in the tenants file, after --tenant"
    return [
        Stay("Kafka: lp.results", "results; an empty record was sent for each", "the topic is next compacted"),
        Stay("Kafka: lp.experiments", "experiments; empty records were sent for each", "the topic is next compacted"),
        Stay("S3 Glacier", cold, "a later run of `tier` (hourly) has rewritten them"),
        Stay("S3: gone/", "hashes of the ids of erased pages, which answer 410", "no end"),
        Stay("ClickHouse: erasures", "the erased ids", "no end: late visits and `rebuild` need them"),
        Stay("ClickHouse: parts", "files with deleted rows", "8 minutes (`old_parts_lifetime`)"),
        Stay("Redis: cost ledger", "costs", f"{page_days} days for a page, {month_days} for a tenant's month"),
        Stay("cached copy", "copy of unpublished pages, or of an earlier release, without names", copy_age),
        Stay("pages by `*`", any_page, "you erase each page with --lp"),
        Stay("S3: uploads", "a tenant's pictures and logos, after --lp", "you erase the tenant or delete the upload"),
        Stay("edge processes", "recently served pages, in memory", "10 s; an hour while S3 does not answer"),
        Stay("nginx, CDN, browsers", "pages and their pictures", "an hour; pictures a day (nginx), a year (browsers)"),
        Stay("a page that is being generated", "it is published at the end", "you run this again after a minute"),
        Stay(
            "model providers",
            "industry, purpose, keywords and briefs from prompts",
            "as your contract with them says",
        ),
        Stay("logs, backups, S3 versions", "ids; all data of a backup", "as long as you keep them"),
    ]


def _age(ms: int) -> str:
    hours = ms // 3_600_000
    return f"{hours // 24} days from each record" if hours > 24 else f"{hours} h from each record"
