"""Tenants: their tokens (by hash), origins and pages, from one TOML file."""

import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from infra.caps import Caps
from infra.toml_files import read_toml
from schemas.heatmap import LP_ID_PATTERN

ANY = "*"
MICRO = 1_000_000
MOST_YEN = 1_000_000_000
NOTHING = Caps(0, 0, 0)
Role = Literal["application", "analyst", "operator", "metrics"]
# as browsers send it: scheme, host in lower case, port unless it is the scheme's default
LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
ORIGIN = re.compile(rf"https?://(?:{LABEL}(?:\.{LABEL})*|\[[0-9a-f:]+\])(?::([1-9]\d{{0,4}}))?", re.ASCII)
# of nothing, and of a line without text: `sha256sum` of an unset variable
EMPTY = tuple(hashlib.sha256(text).hexdigest() for text in (b"", b"\n"))
DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class Strict(BaseModel):
    """A base model that rejects unknown keys, because they are misspelt."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _of_a_token(digest: str) -> str:
    if digest in EMPTY:
        raise ValueError("is the hash of an empty token: the variable with the token was not set")
    return digest


class Token(Strict):
    """A token by its SHA-256, and its role."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$"), AfterValidator(_of_a_token)]
    role: Role


def check_origin(value: str) -> str:
    """Return the origin. Raise ValueError if no browser sends it in this form."""
    scheme, match = value.partition("://")[0], ORIGIN.fullmatch(value)
    if match is None or int(match[1] or 0) > 65_535 or value.endswith(DEFAULT_PORTS.get(scheme, " ")):
        raise ValueError("give an exact origin as browsers send it, such as https://www.example.jp, with no path")
    return value


Origin = Annotated[str, AfterValidator(check_origin)]


LpId = Annotated[str, Field(pattern=rf"{LP_ID_PATTERN}|^\*$")]


class Spending(Strict):
    """Spending caps for model calls in yen: for one LP, in a day, in a month."""

    lp_yen: Annotated[int, Field(ge=0, le=MOST_YEN)] = 2_000
    day_yen: Annotated[int, Field(ge=0, le=MOST_YEN)] = 50_000
    month_yen: Annotated[int, Field(ge=0, le=MOST_YEN)] = 1_000_000

    def caps(self) -> Caps:
        """Return the caps in micro-yen."""
        return Caps(self.lp_yen * MICRO, self.day_yen * MICRO, self.month_yen * MICRO)


class Tenant(Strict):
    """A customer. `lp_ids` lists pages besides those with the tenant's own prefix; `*` is any page.

    Its pages may be served from `origins`. For a page in `lp_origins` that list replaces `origins`. The autopilots of
    all its pages ask for at most `week_variants` variants in seven days.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,31}$")]
    lp_ids: list[LpId] = []
    origins: list[Origin] = []
    lp_origins: dict[LpId, list[Origin]] = {}
    token: list[Token] = []
    caps: Spending = Spending()
    week_variants: Annotated[int, Field(ge=0, le=100_000)] = 10

    def owns(self, lp_id: str) -> bool:
        """Return whether the page belongs to this tenant."""
        return lp_id.startswith(f"{self.id}-") or lp_id in self.lp_ids or ANY in self.lp_ids


class TenantsFile(Strict):
    """The whole tenants file."""

    tenant: list[Tenant]
    warming: Spending = Spending()

    @model_validator(mode="after")
    def _without_doubles(self) -> Self:
        """Raise ValueError if a name, token or page occurs twice: a part of each entry would be ignored."""
        for what, values in (
            ("id", [each.id for each in self.tenant]),
            ("sha256", [token.sha256 for each in self.tenant for token in each.token]),
            ("lp_ids", [lp_id for each in self.tenant for lp_id in each.lp_ids]),
        ):
            if twice := [value for value, count in Counter(values).items() if count > 1]:
                raise ValueError(f"{what} {twice[0]} occurs twice; give it once, in one tenant")
        for each in self.tenant:
            if foreign := [lp_id for lp_id in each.lp_origins if not each.owns(lp_id)]:
                raise ValueError(f"lp_origins of {each.id}: {foreign[0]} is no page of this tenant; list it in lp_ids")
        return self


@dataclass(frozen=True, slots=True)
class Caller:
    """The tenant and the role of a token."""

    tenant: Tenant
    role: Role


def digest_of(token: str) -> str:
    """Return the SHA-256 of a token as the file lists it. Accept any text: a header may hold any bytes."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()


class Tenants:
    """All tenants. `own_origins` are the edge's origins: published pages of every tenant post from there."""

    def __init__(self, tenants: list[Tenant], own_origins: Iterable[str] = (), warming: Spending | None = None) -> None:
        self._tenants = tenants
        self._own = frozenset(own_origins)
        self._by_id = {tenant.id: tenant for tenant in tenants}
        self._by_page = {lp_id: tenant for tenant in reversed(tenants) for lp_id in tenant.lp_ids}
        listed = (origin for each in tenants for row in (each.origins, *each.lp_origins.values()) for origin in row)
        self._all = self._own.union(listed)
        self._caps = {tenant.id: tenant.caps.caps() for tenant in tenants}
        self.warming = (warming or Spending()).caps()

    @classmethod
    def load(cls, path: Path, own_origins: Iterable[str] = ()) -> "Tenants":
        """Load a file. Raise SettingError with the file and the key if it is invalid."""
        file = read_toml(TenantsFile, path, f"LPSTREAM_TENANTS_FILE: {path}")
        return cls(file.tenant, own_origins, file.warming)

    @property
    def digests(self) -> list[str]:
        """The SHA-256 of every token."""
        return [token.sha256 for tenant in self._tenants for token in tenant.token]

    @property
    def ids(self) -> list[str]:
        """The id of every tenant."""
        return list(self._by_id)

    def caller(self, token: str) -> Caller | None:
        """Return the tenant and role of the token, or None."""
        return self.holder(digest_of(token))

    def holder(self, digest: str) -> Caller | None:
        """Return the tenant and role of the token with that SHA-256, or None.

        Every hash is compared, each in constant time.
        """
        matches = [
            Caller(tenant, known.role)
            for tenant in self._tenants
            for known in tenant.token
            if hmac.compare_digest(known.sha256, digest)
        ]
        return matches[0] if matches else None

    def caps(self, tenant_id: str) -> Caps:
        """Return the caps of a tenant: zeros if it is not in the file."""
        return self._caps.get(tenant_id, NOTHING)

    def named(self, tenant_id: str) -> Tenant | None:
        """Return the tenant with that id, or None."""
        return next((tenant for tenant in self._tenants if tenant.id == tenant_id), None)

    def owns(self, tenant_id: str, lp_id: str) -> bool:
        """Return whether there is a tenant with that id and the page belongs to it."""
        tenant = self.named(tenant_id)
        return tenant is not None and tenant.owns(lp_id)

    def owner(self, lp_id: str) -> Tenant | None:
        """Return the page's tenant: by `lp_ids`, else by prefix, else the tenant that lists `*`, or None."""
        if (lister := self._by_page.get(lp_id)) is not None:
            return lister
        prefix, dash, _ = lp_id.partition("-")
        return (self._by_id.get(prefix) if dash else None) or self._by_page.get(ANY)

    def listed(self) -> list[str]:
        """Return the ids of pages that tenants list."""
        return [lp_id for lp_id in self._by_page if lp_id != ANY]

    def knows(self, origin: str) -> bool:
        """Return whether any page may be served from the origin."""
        return origin in self._all

    def allows(self, origin: str, lp_id: str) -> bool:
        """Return whether the page may be served from the origin.

        Allowed are the edge's origins, and the page's own list or else its tenant's.
        """
        if origin in self._own:
            return True
        owner = self.owner(lp_id)
        return owner is not None and origin in owner.lp_origins.get(lp_id, owner.origins)
