"""The mix of generation requests, from a TOML file: patterns by frequency, and random requests."""

import itertools
import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID, uuid5

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from infra.toml_files import read_toml
from processors.pages.cache_keys import shared_given

NAMESPACE = UUID("6f0f3f0e-4a55-4d3b-9a3e-0d9b3a6f1c11")
NAMES = ("麺屋 一", "サロン 凪", "青葉ホーム", "みどり医院", "まなび舎", "小径商店", "つばさ事務所", "山手製作所")
# sample facts and contacts: copy depends on which are given, not on their content
GIVEN: dict[str, Any] = {
    "prices": [{"label": "基本プラン", "yen": 5_500}],
    "hours": "10時から19時まで",
    "access": "駅から徒歩5分",
    "testimonials": [{"text": "ていねいに対応していただきました。", "author": "40代のお客様"}],
    "licences": ["登録番号 第0000号"],
}

SITE, FORM, LINE = "https://example.com/", "https://example.com/form", "https://lin.ee/example"

Fact = Literal["prices", "hours", "access", "testimonials", "licences"]
Contact = Literal["phone", "form", "line", "url", "address"]
Tone = Literal["friendly", "formal", "premium"]
Quality = Literal["fast", "high"]
Share = Annotated[float, Field(ge=0, le=1)]


class Strict(BaseModel):
    """The base model: unknown keys are errors, because they are usually misspelt."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Industry(Strict):
    """An industry, with its purposes and keywords in order of frequency."""

    name: Annotated[str, Field(min_length=1, max_length=50)]
    purposes: Annotated[list[str], Field(min_length=1)]
    keywords: list[str] = []


class Facts(Strict):
    """Facts that a customer gives, and the share of requests that give these facts and no others."""

    share: Share
    given: list[Fact] = []


def _fits(given: list[Contact]) -> list[Contact]:
    if {"form", "line", "url"} <= set(given):
        raise ValueError("give at most two of form, line and url: a request has two fields for them")
    return given


Given = Annotated[list[Contact], AfterValidator(_fits)]


class Contacts(Strict):
    """Ways of contact that a customer gives, and the share of requests with these and no others."""

    share: Share
    given: Given = []


class Wanted(Strict):
    """A pattern that is warmed before the others."""

    industry: str
    purpose: str
    keywords: list[str] = []
    tone: Tone = "friendly"
    quality: Quality = "fast"
    given: list[Fact] = []
    contacts: Given = ["phone"]
    priority: Annotated[int, Field(ge=1)] = 1


class MixFile(Strict):
    """The content of the file."""

    zipf: Annotated[float, Field(ge=0, le=5)] = 1.0
    keywords: Annotated[list[Share], Field(min_length=1, max_length=3)] = [1.0]
    tones: dict[Tone, Share] = {"friendly": 1.0}
    qualities: dict[Quality, Share] = {"fast": 1.0}
    facts: list[Facts] = [Facts(share=1.0)]
    contacts: list[Contacts] = [Contacts(share=1.0, given=["phone"])]
    pattern: list[Wanted] = []
    industry: list[Industry] = []

    @model_validator(mode="after")
    def _whole(self) -> "MixFile":
        for name, shares in (
            ("tones", self.tones.values()),
            ("qualities", self.qualities.values()),
            ("facts", [facts.share for facts in self.facts]),
            ("contacts", [contacts.share for contacts in self.contacts]),
        ):
            if abs(sum(shares) - 1) > 1e-6:
                raise ValueError(f"{name}: the shares must add up to 1")
        if sum(self.keywords) > 1 + 1e-6:
            raise ValueError("keywords: the shares must not add up to more than 1")
        return self


@dataclass(frozen=True, slots=True)
class Pattern:
    """The fields that decide the copy, and the share of requests with these fields.

    `contacts` is an example: other contacts may have the same copy.
    """

    industry: str
    purpose: str
    keywords: tuple[str, ...]
    tone: Tone
    quality: Quality
    given: tuple[str, ...]
    contacts: tuple[str, ...] = ("phone",)
    share: float = 0.0

    def request(self, number: int, seed: int = 0, tenant_id: str = "demo") -> dict[str, Any]:
        """Return a request with this pattern; its id follows from `number` and `seed`."""
        return {
            "schema": 1,
            "request_id": str(uuid5(NAMESPACE, f"{seed}:{number}")),
            "tenant_id": tenant_id,
            "industry": self.industry,
            "purpose": self.purpose,
            "keywords": list(self.keywords),
            "business": {"name": NAMES[number % len(NAMES)], **_business(self.contacts)},
            "facts": {name: GIVEN[name] for name in self.given},
            "tone": self.tone,
            "quality": self.quality,
            "locale": "ja-JP",
        }


def _business(contacts: Collection[str]) -> dict[str, str]:
    """Return the fields of a business with these contacts.

    The address of a LINE account takes the field for a form or a site that is still free.
    """
    line_in = "url" if "form" in contacts else "form_url"
    fields = {
        "phone": ("phone", "03-0000-0000"),
        "address": ("address", "東京都千代田区一丁目1番1号"),
        "url": ("url", SITE),
        "form": ("form_url", FORM),
        "line": (line_in, LINE),
    }
    return dict(fields[name] for name in contacts)


class Mix:
    """The distribution of customers' requests."""

    def __init__(self, file: MixFile) -> None:
        self._file = file
        self._industries = _ranked(file.industry, file.zipf)
        self._contacts: dict[tuple[str, ...], tuple[tuple[str, ...], float]] = {}
        for contacts in file.contacts:
            alike = _alike(tuple(contacts.given))
            given, share = self._contacts.get(alike, (tuple(contacts.given), 0.0))
            self._contacts[alike] = (given, share + contacts.share)

    @classmethod
    def load(cls, path: Path | None = None) -> "Mix":
        """Read a file, or the built-in one; raise SettingError, which names the invalid key."""
        source = files("streams.generation").joinpath("request_mix.toml") if path is None else path
        return cls(read_toml(MixFile, source, str(source)))

    def patterns(self) -> list[Pattern]:
        """Return all patterns that can recur: those with a priority first, then the others by frequency."""
        by_identity = {_identity(pattern): pattern for pattern in sorted(self._all(), key=lambda each: -each.share)}
        first = {}
        for entry in sorted(self._file.pattern, key=lambda entry: entry.priority):
            keywords, given = tuple(sorted(entry.keywords)), tuple(entry.given)
            contacts = tuple(entry.contacts)
            pattern = Pattern(entry.industry, entry.purpose, keywords, entry.tone, entry.quality, given, contacts)
            first[_identity(pattern)] = by_identity.get(_identity(pattern), pattern)
        return list((first | {name: each for name, each in by_identity.items() if name not in first}).values())

    def _all(self) -> Iterator[Pattern]:
        file = self._file
        for industry, industry_share in self._industries:
            keyword_sets = [(words, industry_share * share) for words, share in self._keyword_sets(industry)]
            purposes = _ranked(industry.purposes, file.zipf)
            for (purpose, purpose_share), (words, words_share) in itertools.product(purposes, keyword_sets):
                rest = itertools.product(
                    file.tones.items(), file.qualities.items(), file.facts, self._contacts.values()
                )
                for (tone, tone_share), (quality, quality_share), facts, (contacts, contacts_share) in rest:
                    share = purpose_share * words_share * tone_share * quality_share * facts.share * contacts_share
                    yield Pattern(industry.name, purpose, words, tone, quality, tuple(facts.given), contacts, share)

    def _keyword_sets(self, industry: Industry) -> list[tuple[tuple[str, ...], float]]:
        ranked = _ranked(industry.keywords, self._file.zipf)
        shares = [*self._file.keywords, 0.0, 0.0]
        sets: dict[tuple[str, ...], float] = {(): shares[0]}
        for word, weight in ranked:
            sets[word,] = shares[1] * weight
        for (first, first_weight), (second, second_weight) in itertools.permutations(ranked, 2):
            pair = tuple(sorted((first, second)))
            sets[pair] = sets.get(pair, 0.0) + shares[2] * first_weight * second_weight / (1 - first_weight)
        return list(sets.items())

    def draw(self, rng: random.Random) -> Pattern:
        """Return the pattern of one random request."""
        file = self._file
        industry = _pick(rng, self._industries)
        purpose = _pick(rng, _ranked(industry.purposes, file.zipf))
        tone, quality = _pick(rng, list(file.tones.items())), _pick(rng, list(file.qualities.items()))
        facts = _pick(rng, [(facts, facts.share) for facts in file.facts])
        contacts = _pick(rng, [(contacts, contacts.share) for contacts in file.contacts])
        words, given = self._draw_keywords(rng, industry), (tuple(facts.given), tuple(contacts.given))
        return Pattern(industry.name, purpose, words, tone, quality, *given)

    def _draw_keywords(self, rng: random.Random, industry: Industry) -> tuple[str, ...]:
        dice = rng.random()
        ranked = _ranked(industry.keywords, self._file.zipf)
        for count, share in enumerate(self._file.keywords):
            if (dice := dice - share) < 0:
                chosen: list[str] = []
                for _ in range(min(count, len(ranked))):
                    chosen.append(_pick(rng, [(word, weight) for word, weight in ranked if word not in chosen]))
                return tuple(sorted(chosen))
        return (f"商品{rng.randrange(10**9):09d}",)


def _ranked(names: list[Any], zipf: float) -> list[tuple[Any, float]]:
    """Return each name with its share; shares are proportional to 1 / rank^zipf and add up to 1."""
    weights = [1 / rank**zipf for rank in range(1, len(names) + 1)]
    return [(name, weight / sum(weights)) for name, weight in zip(names, weights, strict=True)]


def _pick(rng: random.Random, ranked: list[tuple[Any, float]]) -> Any:
    return rng.choices([name for name, _ in ranked], [weight for _, weight in ranked])[0]


@cache
def _alike(contacts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(shared_given(contacts))


def _identity(one: Pattern) -> tuple[Any, ...]:
    return (one.industry, one.purpose, one.keywords, one.tone, one.quality, one.given, _alike(one.contacts))
