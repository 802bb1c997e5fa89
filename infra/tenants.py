"""Tenants: their tokens (by hash), origins and pages, from one TOML file."""

import hashlib
import hmac
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.errors import SettingError

Role = Literal["application", "analyst", "operator"]


class Strict(BaseModel):
    """An unknown key is a misspelt one."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Token(Strict):
    """A token by its SHA-256, and what it opens."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    role: Role


class Tenant(Strict):
    """One customer. `lp_ids` lists pages beside those with its own prefix; `*` is any page."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,31}$")]
    lp_ids: list[str] = []
    origins: list[str] = []
    token: list[Token] = []

    def owns(self, lp_id: str) -> bool:
        """Whether the page is this tenant's."""
        return lp_id.startswith(f"{self.id}-") or lp_id in self.lp_ids or "*" in self.lp_ids


class TenantsFile(Strict):
    """The file as a whole."""

    tenant: list[Tenant]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a token belongs to, and what it may do."""

    tenant: Tenant
    role: Role


class Tenants:
    """All tenants."""

    def __init__(self, tenants: list[Tenant]) -> None:
        self._tenants = tenants

    @classmethod
    def load(cls, path: Path) -> "Tenants":
        """From a file; SettingError names the file and the key."""
        try:
            return cls(TenantsFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).tenant)
        except OSError as error:
            raise SettingError(f"LPSTREAM_TENANTS_FILE: {path}: {error.strerror}") from error
        except tomllib.TOMLDecodeError as error:
            raise SettingError(f"LPSTREAM_TENANTS_FILE: {path}: {error}") from error
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            at = ".".join(str(part) for part in first["loc"])
            raise SettingError(f"LPSTREAM_TENANTS_FILE: {path}: {at}: {first['msg']}") from error

    def caller(self, token: str) -> Caller | None:
        """Whose token it is; every hash is compared, each in constant time."""
        digest = hashlib.sha256(token.encode()).hexdigest()
        found = [
            Caller(tenant, known.role)
            for tenant in self._tenants
            for known in tenant.token
            if hmac.compare_digest(known.sha256, digest)
        ]
        return found[0] if found else None

    def owner(self, lp_id: str) -> Tenant | None:
        """The tenant whose page it is: one that names it before one that takes any."""
        owners = sorted((tenant for tenant in self._tenants if tenant.owns(lp_id)), key=lambda one: "*" in one.lp_ids)
        return owners[0] if owners else None

    def named(self, tenant_id: str) -> Tenant | None:
        """The tenant of that id."""
        return next((tenant for tenant in self._tenants if tenant.id == tenant_id), None)

    def origins(self) -> set[str]:
        """All tenants' origins."""
        return {origin for tenant in self._tenants for origin in tenant.origins}
