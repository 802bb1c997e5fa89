"""The mix of generation requests, from its file: patterns by how often they come, and requests drawn from it."""

import itertools
import random
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.errors import SettingError

NAMESPACE = UUID("6f0f3f0e-4a55-4d3b-9a3e-0d9b3a6f1c11")
NAMES = ("麺屋 一", "サロン 凪", "青葉ホーム", "みどり医院", "まなび舎", "小径商店", "つばさ事務所", "山手製作所")
# what stands for a fact that a customer gives; copy depends on whether it is given, not on what it says
GIVEN: dict[str, Any] = {
    "prices": [{"label": "基本プラン", "yen": 5_500}],
    "hours": "10時から19時まで",
    "access": "駅から徒歩5分",
    "testimonials": [{"text": "ていねいに対応していただきました。", "author": "40代のお客様"}],
    "licences": ["登録番号 第0000号"],
}

Tone = Literal["friendly", "formal", "premium"]
Quality = Literal["fast", "high"]
Share = Annotated[float, Field(ge=0, le=1)]


class Strict(BaseModel):
    """An unknown key is a misspelt one."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Industry(Strict):
    """An industry, its purposes and keywords in order of frequency."""

    name: Annotated[str, Field(min_length=1, max_length=50)]
    purposes: Annotated[list[str], Field(min_length=1)]
    keywords: list[str] = []


class Facts(Strict):
    """Which facts are given, and the share of requests that give them."""

    share: Share
    given: list[Literal["prices", "hours", "access", "testimonials", "licences"]] = []


class Wanted(Strict):
    """A pattern that is warmed before others."""

    industry: str
    purpose: str
    keywords: list[str] = []
    tone: Tone = "friendly"
    quality: Quality = "fast"
    given: list[str] = []
    priority: Annotated[int, Field(ge=1)] = 1


class MixFile(Strict):
    """The file as a whole."""

    zipf: Annotated[float, Field(ge=0, le=5)] = 1.0
    keywords: Annotated[list[Share], Field(min_length=1, max_length=3)] = [1.0]
    tones: dict[Tone, Share] = {"friendly": 1.0}
    qualities: dict[Quality, Share] = {"fast": 1.0}
    facts: list[Facts] = [Facts(share=1.0)]
    pattern: list[Wanted] = []
    industry: list[Industry] = []

    @model_validator(mode="after")
    def _whole(self) -> "MixFile":
        for name, shares in (
            ("tones", self.tones.values()),
            ("qualities", self.qualities.values()),
            ("facts", [one.share for one in self.facts]),
        ):
            if abs(sum(shares) - 1) > 1e-6:
                raise ValueError(f"{name}: the shares must come to 1")
        if sum(self.keywords) > 1 + 1e-6:
            raise ValueError("keywords: the shares must not come to more than 1")
        return self


@dataclass(frozen=True, slots=True)
class Pattern:
    """What copy depends on, and the share of requests that ask for just this."""

    industry: str
    purpose: str
    keywords: tuple[str, ...]
    tone: Tone
    quality: Quality
    given: tuple[str, ...]
    share: float = 0.0

    def request(self, number: int, seed: int = 0, tenant_id: str = "demo") -> dict[str, Any]:
        """A request for it; number and seed give its id."""
        return {
            "schema": 1,
            "request_id": str(uuid5(NAMESPACE, f"{seed}:{number}")),
            "tenant_id": tenant_id,
            "industry": self.industry,
            "purpose": self.purpose,
            "keywords": list(self.keywords),
            "business": {"name": NAMES[number % len(NAMES)], "phone": "03-0000-0000"},
            "facts": {name: GIVEN[name] for name in self.given},
            "tone": self.tone,
            "quality": self.quality,
            "locale": "ja-JP",
        }


class Mix:
    """Requests as customers send them."""

    def __init__(self, file: MixFile) -> None:
        self._file = file
        self._industries = _ranked(file.industry, file.zipf)

    @classmethod
    def load(cls, path: Path | None = None) -> "Mix":
        """From a file, or the built-in one; SettingError names the key at fault."""
        source = files("streams.generation").joinpath("request_mix.toml") if path is None else path
        try:
            return cls(MixFile.model_validate(tomllib.loads(source.read_text(encoding="utf-8"))))
        except OSError as error:
            raise SettingError(f"{path}: {error.strerror}") from error
        except tomllib.TOMLDecodeError as error:
            raise SettingError(f"{source}: {error}") from error
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            at = ".".join(str(part) for part in first["loc"])
            raise SettingError(f"{source}: {at}: {first['msg']}") from error

    def patterns(self) -> list[Pattern]:
        """All that can be asked for twice: those with a priority, then the others, the most frequent first."""
        every = {_identity(one): one for one in sorted(self._all(), key=lambda one: -one.share)}
        first = {}
        for one in sorted(self._file.pattern, key=lambda one: one.priority):
            keywords, given = tuple(sorted(one.keywords)), tuple(one.given)
            pattern = Pattern(one.industry, one.purpose, keywords, one.tone, one.quality, given)
            first[_identity(pattern)] = every.get(_identity(pattern), pattern)
        return list((first | {name: one for name, one in every.items() if name not in first}).values())

    def _all(self) -> Iterator[Pattern]:
        file = self._file
        for industry, part in self._industries:
            words = [(names, part * share) for names, share in self._keyword_sets(industry)]
            purposes = _ranked(industry.purposes, file.zipf)
            for (purpose, often), (names, share) in itertools.product(purposes, words):
                for (tone, of_tone), (quality, of_quality), facts in itertools.product(
                    file.tones.items(), file.qualities.items(), file.facts
                ):
                    whole = often * share * of_tone * of_quality * facts.share
                    yield Pattern(industry.name, purpose, names, tone, quality, tuple(facts.given), whole)

    def _keyword_sets(self, industry: Industry) -> list[tuple[tuple[str, ...], float]]:
        ranked = _ranked(industry.keywords, self._file.zipf)
        shares = [*self._file.keywords, 0.0, 0.0]
        sets: dict[tuple[str, ...], float] = {(): shares[0]}
        for word, often in ranked:
            sets[word,] = shares[1] * often
        for (one, often), (other, again) in itertools.permutations(ranked, 2):
            pair = tuple(sorted((one, other)))
            sets[pair] = sets.get(pair, 0.0) + shares[2] * often * again / (1 - often)
        return list(sets.items())

    def draw(self, rng: random.Random) -> Pattern:
        """One request's pattern."""
        file = self._file
        industry = _pick(rng, self._industries)
        purpose = _pick(rng, _ranked(industry.purposes, file.zipf))
        tone, quality = _pick(rng, list(file.tones.items())), _pick(rng, list(file.qualities.items()))
        facts = _pick(rng, [(one, one.share) for one in file.facts])
        return Pattern(industry.name, purpose, self._draw_keywords(rng, industry), tone, quality, tuple(facts.given))

    def _draw_keywords(self, rng: random.Random, industry: Industry) -> tuple[str, ...]:
        dice = rng.random()
        ranked = _ranked(industry.keywords, self._file.zipf)
        for count, share in enumerate(self._file.keywords):
            if (dice := dice - share) < 0:
                chosen: list[str] = []
                for _ in range(min(count, len(ranked))):
                    chosen.append(_pick(rng, [one for one in ranked if one[0] not in chosen]))
                return tuple(sorted(chosen))
        return (f"商品{rng.randrange(10**9):09d}",)


def _ranked(names: list[Any], zipf: float) -> list[tuple[Any, float]]:
    """Each with its share: 1 / rank^zipf of the whole."""
    weights = [1 / rank**zipf for rank in range(1, len(names) + 1)]
    return [(name, weight / sum(weights)) for name, weight in zip(names, weights, strict=True)]


def _pick(rng: random.Random, ranked: list[tuple[Any, float]]) -> Any:
    return rng.choices([name for name, _ in ranked], [weight for _, weight in ranked])[0]


def _identity(one: Pattern) -> tuple[Any, ...]:
    return (one.industry, one.purpose, one.keywords, one.tone, one.quality, one.given)
