"""Tenants: their tokens (by hash), origins and pages, from one TOML file."""

import hashlib
import hmac
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from infra.redis.budget import Caps
from schemas.errors import SettingError

ANY = "*"
MICRO = 1_000_000
NOTHING = Caps(0, 0, 0)
Role = Literal["application", "analyst", "operator", "metrics"]
# as browsers send it: scheme, host in lower case, a port unless it is the scheme's own
LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
ORIGIN = re.compile(rf"https?://(?:{LABEL}(?:\.{LABEL})*|\[[0-9a-f:]+\])(?::\d{{1,5}})?")
DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class Strict(BaseModel):
    """An unknown key is a misspelt one."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Token(Strict):
    """A token by its SHA-256, and what it opens."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    role: Role


def check_origin(value: str) -> str:
    """The origin itself; ValueError when no browser would ever send it so."""
    scheme = value.partition("://")[0]
    if not ORIGIN.fullmatch(value) or value.endswith(DEFAULT_PORTS.get(scheme, " ")):
        raise ValueError("give an exact origin as browsers send it, such as https://www.example.jp, with no path")
    return value


Origin = Annotated[str, AfterValidator(check_origin)]


class Spending(Strict):
    """Most that model calls may cost, yen: for one LP, in a day, in a month."""

    lp_yen: Annotated[int, Field(ge=0)] = 2_000
    day_yen: Annotated[int, Field(ge=0)] = 50_000
    month_yen: Annotated[int, Field(ge=0)] = 1_000_000

    def caps(self) -> Caps:
        """In micro-yen."""
        return Caps(self.lp_yen * MICRO, self.day_yen * MICRO, self.month_yen * MICRO)


class Tenant(Strict):
    """One customer. `lp_ids` lists pages beside those with its own prefix; `*` is any page.

    `origins` are where its pages may be served from, `lp_origins` the same for single pages, instead.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,31}$")]
    lp_ids: list[str] = []
    origins: list[Origin] = []
    lp_origins: dict[str, list[Origin]] = {}
    token: list[Token] = []
    caps: Spending = Spending()

    def owns(self, lp_id: str) -> bool:
        """Whether the page is this tenant's."""
        return lp_id.startswith(f"{self.id}-") or lp_id in self.lp_ids or ANY in self.lp_ids


class TenantsFile(Strict):
    """The file as a whole."""

    tenant: list[Tenant]
    warming: Spending = Spending()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a token belongs to, and what it may do."""

    tenant: Tenant
    role: Role


def digest_of(token: str) -> str:
    """A token's SHA-256, as the file lists it; of any text, since a header may hold any bytes."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()


class Tenants:
    """All tenants. `own_origins` are the edge's: its published pages post from there, whoever's they are."""

    def __init__(self, tenants: list[Tenant], own_origins: Iterable[str] = (), warming: Spending | None = None) -> None:
        self._tenants = tenants
        self._own = frozenset(own_origins)
        self._by_id = {tenant.id: tenant for tenant in tenants}
        self._by_page = {lp_id: tenant for tenant in reversed(tenants) for lp_id in tenant.lp_ids}
        listed = (origin for one in tenants for row in (one.origins, *one.lp_origins.values()) for origin in row)
        self._all = self._own.union(listed)
        self._caps = {tenant.id: tenant.caps.caps() for tenant in tenants}
        self.warming = (warming or Spending()).caps()

    @classmethod
    def load(cls, path: Path, own_origins: Iterable[str] = ()) -> "Tenants":
        """From a file; SettingError names the file and the key."""
        try:
            file = TenantsFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
            return cls(file.tenant, own_origins, file.warming)
        except OSError as error:
            raise SettingError(f"LPSTREAM_TENANTS_FILE: {path}: {error.strerror}") from error
        except tomllib.TOMLDecodeError as error:
            raise SettingError(f"LPSTREAM_TENANTS_FILE: {path}: {error}") from error
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            at = ".".join(str(part) for part in first["loc"])
            raise SettingError(f"LPSTREAM_TENANTS_FILE: {path}: {at}: {first['msg']}") from error

    @property
    def digests(self) -> list[str]:
        """SHA-256 of every token."""
        return [one.sha256 for tenant in self._tenants for one in tenant.token]

    def caller(self, token: str) -> Caller | None:
        """Whose token it is."""
        return self.holder(digest_of(token))

    def holder(self, digest: str) -> Caller | None:
        """Whose token has that SHA-256; every hash is compared, each in constant time."""
        found = [
            Caller(tenant, known.role)
            for tenant in self._tenants
            for known in tenant.token
            if hmac.compare_digest(known.sha256, digest)
        ]
        return found[0] if found else None

    def caps(self, tenant_id: str) -> Caps:
        """What a tenant may spend; nothing for one that is not in the file."""
        return self._caps.get(tenant_id, NOTHING)

    def named(self, tenant_id: str) -> Tenant | None:
        """The tenant of that id."""
        return next((tenant for tenant in self._tenants if tenant.id == tenant_id), None)

    def owner(self, lp_id: str) -> Tenant | None:
        """The tenant whose page it is: one that lists it, else the one whose prefix it has, else one that takes any."""
        if (lister := self._by_page.get(lp_id)) is not None:
            return lister
        prefix, dash, _ = lp_id.partition("-")
        return (self._by_id.get(prefix) if dash else None) or self._by_page.get(ANY)

    def listed(self) -> list[str]:
        """Return the ids of pages that tenants list."""
        return [lp_id for lp_id in self._by_page if lp_id != ANY]

    def knows(self, origin: str) -> bool:
        """Whether any page may be served from there."""
        return origin in self._all

    def allows(self, origin: str, lp_id: str) -> bool:
        """Whether this page may be: from the edge itself, from its own list if it has one, else from its tenant's."""
        if origin in self._own:
            return True
        owner = self.owner(lp_id)
        return owner is not None and origin in owner.lp_origins.get(lp_id, owner.origins)
