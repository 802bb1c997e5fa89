"""The login at Redis. Settings import this module, so it imports no client: each start stays fast."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RedisAccess:
    """A login, and a CA file (PEM) for `rediss://`. None means the system's certificates."""

    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: str | None = None


ANONYMOUS = RedisAccess()
