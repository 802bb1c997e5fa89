"""Messages of generation (request, step, step result, result, progress) and ids computed from them."""

import re
import unicodedata
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar, get_args
from uuid import UUID, uuid5

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from schemas.bounds import MOST_MESSAGE, check_json
from schemas.contacts import SEEN, STORED, HttpUrl, Phone
from schemas.errors import DecodeError
from schemas.heatmap import LP_ID_PATTERN

REQUESTS, RESULTS, PROGRESS = "lp.requests", "lp.results", "lp.progress"
STEPS, STEP_RESULTS = "lp.steps", "lp.step-results"
_WHOLE, _UPLOAD = re.compile("[0-9]{1,13}"), re.compile("[0-9a-f]{64}")
TENANT_PATTERN = r"^[a-z0-9][a-z0-9_]{0,31}$"


class StepName(StrEnum):
    """The steps that run in parallel. Each is one record on `lp.steps`."""

    TEMPLATE = "template"
    COPY = "copy"
    ASSETS = "assets"


Stage = Literal["queued", "validate", "cache", "template", "copy", "assets", "integrate", "optimize", "preview", "done"]
Status = Literal["completed", "degraded", "rejected", "failed"]
CacheLayer = Literal["l1", "l2", "l3", "near", "stale", "miss"]
SectionName = Literal[
    "hero", "problems", "solution", "benefits", "proof", "price", "treatments", "flow", "faq", "information", "closing"
]
# the registry's name of each section, also by the name that it has in pages and maps
REGISTERED: dict[str, SectionName] = {"testimonials": "proof", **{name: name for name in get_args(SectionName)}}
Change = Literal["copy", "order", "design", "call"]
LONGEST_BRIEF = 300
# the way by which a request came in; a page that was made before this was recorded has none
Door = Literal["studio", "command", "api"]

Word = Annotated[str, Field(min_length=1, max_length=50), SEEN]
Line = Annotated[str, Field(min_length=1, max_length=200), SEEN]
Text = Annotated[str, Field(min_length=1, max_length=1_000), SEEN]
Micro = Annotated[int, Field(ge=0)]
LpId = Annotated[str, Field(pattern=LP_ID_PATTERN)]
TenantId = Annotated[str, Field(pattern=TENANT_PATTERN)]


class Model(BaseModel):
    """Base of all generation messages. Unknown fields are ignored; instances are immutable."""

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        str_strip_whitespace=True,
        validate_by_alias=True,
        validate_by_name=True,
        serialize_by_alias=True,
        hide_input_in_errors=True,  # logs show these errors
    )


class Business(Model):
    """The business that the page is for. Its values fill slots of the page; no model sees them."""

    name: Annotated[str, Field(min_length=1, max_length=100), SEEN]
    phone: Phone | None = None
    address: Line | None = None
    url: HttpUrl | None = None
    form_url: HttpUrl | None = None


class Price(Model):
    """One line of the price list: an amount in yen, or the price as the customer writes it.

    A text in `yen` that is no number, such as 5,500円〜（税込）, becomes `text`.
    """

    label: Line
    yen: Annotated[int, Field(ge=0, le=10**12)] | None = None
    text: Annotated[str, Field(min_length=1, max_length=60), SEEN] | None = None

    @model_validator(mode="before")
    @classmethod
    def _text_in_yen(cls, value: object) -> object:
        if isinstance(value, dict) and isinstance(yen := value.get("yen"), str) and not value.get("text"):
            number = (
                unicodedata.normalize("NFKC", yen[:100]).strip().replace(",", "").removeprefix("¥").removesuffix("円")
            )
            return {**value, "yen": int(number)} if _WHOLE.fullmatch(number) else {**value, "yen": None, "text": yen}
        return value

    @model_validator(mode="after")
    def _has_a_price(self) -> "Price":
        if self.yen is None and self.text is None:
            raise ValueError("give yen, a number, or text, the price as you write it")
        return self


class Sale(Model):
    """The items that 特定商取引法 第11条 requires on a page of mail order; each is shown as given."""

    responsible: Line | None = None
    shipping: Line | None = None
    payment: Line | None = None
    delivery: Line | None = None
    returns: Line | None = None


class Treatment(Model):
    """A treatment that public insurance does not pay, with the facts that 医療法施行規則 第1条の9の2 requires."""

    name: Line
    content: Text | None = None
    cost: Line | None = None
    risks: Text | None = None
    period: Line | None = None


class Testimonial(Model):
    """A customer's own words, shown as given."""

    text: Text
    author: Line


class Facts(Model):
    """The only claims that the page may make."""

    prices: Annotated[list[Price], Field(max_length=50, fail_fast=True)] = []
    testimonials: Annotated[list[Testimonial], Field(max_length=20, fail_fast=True)] = []
    licences: Annotated[list[Line], Field(max_length=20, fail_fast=True)] = []
    hours: Line | None = None
    access: Line | None = None
    sale: Sale | None = None
    treatments: Annotated[list[Treatment], Field(max_length=10, fail_fast=True)] = []


def _upload_id(value: str) -> str:
    if not _UPLOAD.fullmatch(value):
        raise ValueError("give the 64 hex digits that POST /uploads answered; no address is fetched")
    return value


UploadId = Annotated[str, Field(max_length=2_000), AfterValidator(_upload_id)]


class Assets(Model):
    """The customer's own pictures, each named by the id of an upload of the same tenant."""

    picture: UploadId | None = None
    picture_alt: Line | None = None
    logo: UploadId | None = None


def _registered(value: object) -> object:
    return REGISTERED.get(value, value) if isinstance(value, str) else value


class Variant(Model):
    """The order to make a page that differs from another in one thing.

    `sections` says where, and may be empty. `brief` says why, in a person's words or those of a finding.
    """

    of: LpId
    change: Change
    sections: Annotated[
        list[Annotated[SectionName, BeforeValidator(_registered)]], Field(max_length=len(get_args(SectionName)))
    ] = []
    brief: Annotated[str, Field(max_length=LONGEST_BRIEF)] = ""

    @field_validator("sections")
    @classmethod
    def _fit(cls, sections: list[str], info: ValidationInfo) -> list[str]:
        if len(set(sections)) < len(sections):
            raise ValueError("give each section only once")
        if info.data.get("change") == "design" and sections:
            raise ValueError("a design is that of the whole page; leave sections empty")
        if info.data.get("change") == "order" and len(sections) == 1:
            raise ValueError("give two or more sections in their new order, or none")
        return sections


class GenerationRequest(Model):
    """A request for one LP, on `lp.requests`.

    `variant` is set by the worker only: the request of a variant is its parent's, under an id of its own.
    """

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    request_id: UUID
    tenant_id: TenantId
    industry: Word
    purpose: Word
    keywords: Annotated[list[Word], Field(max_length=20, fail_fast=True)] = []
    business: Business
    facts: Facts = Facts()
    assets: Assets = Assets()
    tone: Literal["friendly", "formal", "premium"] = "friendly"
    quality: Literal["fast", "high"] = "fast"
    locale: Literal["ja-JP"] = "ja-JP"
    door: Door | None = None
    variant: Variant | None = None


class VariantRequest(Model):
    """A request for a variant of a page, on `lp.requests`.

    It needs no other field: the rest is the parent's. A field of a usual request that it carries must be the parent's.
    """

    model_config = ConfigDict(extra="allow")

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    request_id: UUID
    tenant_id: TenantId
    variant: Variant
    door: Door | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_a_request(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        known = {"schema", *GenerationRequest.model_fields}
        return {name: field for name, field in value.items() if name in known}


class Attempt(Model):
    """A call of a model: provider, outcome, duration and cost."""

    provider: str
    model: str
    outcome: str
    first_token_ms: int | None = None
    total_ms: int
    cost_micro_jpy: Micro = 0


class Step(Model):
    """One of the parallel steps, on `lp.steps`. `input` is `{"plan": Plan}`."""

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    request_id: UUID
    step_id: UUID
    step: StepName
    deadline_ms: int
    input: dict[str, Any]


class StepResult(Model):
    """The result of a step, on `lp.step-results`. `output` is `{"plan": Plan}` and the step's own values."""

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    request_id: UUID
    step_id: UUID
    step: StepName
    status: Literal["ok", "fallback", "error"]
    output: dict[str, Any]
    elapsed_ms: int
    attempts: list[Attempt] = []


class Timings(Model):
    """Milliseconds by stage; null for a stage that did not run."""

    validate_: Annotated[int | None, Field(alias="validate")] = None
    cache: int | None = None
    template: int | None = None
    copy_: Annotated[int | None, Field(alias="copy")] = None
    assets: int | None = None
    integrate: int | None = None
    optimize: int | None = None
    preview: int | None = None
    provider: int | None = None
    total: int | None = None


class Warning_(Model):  # noqa: N801 - Warning is Python's own
    """A notice to the customer about a page that was made."""

    code: str
    detail: str


class Failure(Model):
    """The reason why no page was made."""

    code: str
    field: str | None = None
    detail: str


class Decision(Model):
    """The end of an experiment on a page: the arm that is the page from now on, and why."""

    experiment_id: UUID
    winner: str
    reason: str
    decided_ms: int


class VariantResult(Model):
    """The one thing in which a variant differs from its parent. `differs` says it in words."""

    of: str
    change: Change
    sections: list[str]
    differs: str


class Result(Model):
    """The outcome of a request, on `lp.results` and in Redis at `lp:result:{request_id}`."""

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    request_id: UUID
    tenant_id: str
    status: Status
    lp_id: str | None = None
    page_url: str | None = None
    preview_url: str | None = None
    thumbnail_url: str | None = None
    cache: CacheLayer = "miss"
    timings_ms: Timings = Timings()
    attempts: list[Attempt] = []
    cost_micro_jpy: Micro = 0
    warnings: list[Warning_] = []
    error: Failure | None = None
    experiment: Decision | None = None
    variant: VariantResult | None = None


class Progress(Model):
    """The progress of a request, on `lp.progress`."""

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    request_id: UUID
    percent: Annotated[int, Field(ge=0, le=100)]
    stage: Stage
    section: str | None = None
    at_ms: int


def lp_id_of(tenant_id: str, request_id: UUID) -> str:
    """Return the page's id: the tenant and 16 hex digits of uuid5(request_id)."""
    return f"{tenant_id}-{uuid5(request_id, 'lp').hex[:16]}"


def step_id_of(request_id: UUID, step: StepName) -> UUID:
    """Return the step's id, which is the same each time the request is planned."""
    return uuid5(request_id, step.value)


AnyModel = TypeVar("AnyModel", bound=Model)


def error_of(error: ValidationError) -> DecodeError:
    """Return pydantic's first error as field path and text, without the value itself."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return DecodeError(".".join(str(part) for part in first["loc"]), first["msg"])


def decode_model(model: type[AnyModel], data: bytes) -> AnyModel:
    """Parse JSON bytes into a model. Raise DecodeError, which names the wrong field."""
    check_json(data, MOST_MESSAGE)
    try:
        return model.model_validate_json(data, context=_context(model))
    except ValidationError as error:
        raise error_of(error) from error


def model_from_object(model: type[AnyModel], value: object, *, stored: bool = False) -> AnyModel:
    """Return the model of a dict, maybe `stored` by an older release. DecodeError names the wrong field."""
    try:
        return model.model_validate(value, context=STORED if stored else _context(model))
    except ValidationError as error:
        raise error_of(error) from error


def _context(model: type[Model]) -> dict[str, bool] | None:
    # a request inside another message was checked when it came in, maybe by an earlier release
    return None if model is GenerationRequest else STORED


def encode_model(message: Model) -> bytes:
    """Return a model as JSON bytes with all fields."""
    return message.model_dump_json().encode()
