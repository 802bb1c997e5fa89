"""What `lpstream erase` cannot reach, and until when each stays; docs/privacy.md says the same."""

from dataclasses import dataclass

from infra.kafka.topics import load_topics
from infra.redis.budget import KEPT_S
from streams.runtime.settings import Settings

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Stay:
    """A place, what stays there, and until when."""

    where: str
    what: str
    until: str


def what_stays(settings: Settings) -> list[Stay]:
    """The list. Retentions of topics are those of topics.toml; a broker may have been told others."""
    kept = {one.name: int(ms) for one in load_topics() if (ms := one.config.get("retention.ms")) is not None}
    logs = {
        "heatmap.events": "visits; `rebuild` reads them, and leaves out what was erased",
        "lp.requests": "requests, with names and facts",
        "lp.steps": "the same, on their way",
        "lp.step-results": "the same, on their way",
        "lp.progress": "how far requests were",
    }
    stays = [Stay(f"Kafka: {name}", what, _age(kept[name])) for name, what in logs.items()]
    letters = sorted(name for name in kept if name.endswith(".dlq"))
    stays.append(Stay(f"Kafka: {', '.join(letters)}", "records that could not be decoded", _age(kept[letters[0]])))
    return [*stays, *_elsewhere(settings)]


def _elsewhere(settings: Settings) -> list[Stay]:
    cold = f"heatmaps older than {settings.tier_warm_days} days, where Glacier had to be asked; no reader sees them"
    page_days, month_days = KEPT_S[0] // DAY_S, KEPT_S[2] // DAY_S
    return [
        Stay("Kafka: lp.results", "results; an empty record was sent for each", "the topic is next compacted"),
        Stay("S3 Glacier", cold, "a later run of `tier` (hourly) has rewritten them"),
        Stay("ClickHouse: erasures", "the ids that were erased", "never: late visits and `rebuild` look there"),
        Stay("ClickHouse: parts", "files of rows that were deleted", "8 minutes (`old_parts_lifetime`)"),
        Stay("Redis: cost ledger", "what was spent", f"{page_days} days for a page, {month_days} for a tenant's month"),
        Stay("cached copy", "copy of pages which never came out, or of an earlier release; it names nobody", "30 days"),
        Stay("edge processes", "pages that were served lately, in memory", "10 s; an hour while S3 does not answer"),
        Stay("nginx, CDN, browsers", "pages, and their pictures", "an hour; pictures a day (nginx), a year (browsers)"),
        Stay("a page that is being made", "it is published when it is done", "you run this again, after a minute"),
        Stay("model providers", "industry, purpose and keywords of questions", "as your contract with them says"),
        Stay("logs, backups, S3 versions", "ids; all that a backup holds", "as you keep them"),
    ]


def _age(ms: int) -> str:
    hours = ms // 3_600_000
    return f"{hours // 24} days from each record" if hours > 24 else f"{hours} hours from each record"
