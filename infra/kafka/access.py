"""Access to the brokers: their addresses, login and TLS."""

import ssl
from dataclasses import dataclass
from typing import Any, Literal, Self

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """A login and TLS. `ca_file` holds CA certificates in PEM; None means the system's certificates."""

    protocol: Protocol = "PLAINTEXT"
    mechanism: Mechanism = "SCRAM-SHA-512"
    username: str = ""
    password: str = ""
    ca_file: str | None = None

    def __repr__(self) -> str:
        return f"KafkaAccess({self.protocol}, {self.mechanism}, {self.username!r})"

    def context(self) -> ssl.SSLContext | None:
        """Return the TLS context, which checks the brokers' certificates and names; None without TLS."""
        return ssl.create_default_context(cafile=self.ca_file) if self.protocol.endswith("SSL") else None

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments for aiokafka's clients."""
        if self.protocol == "PLAINTEXT":
            return {}
        login = {
            "sasl_mechanism": self.mechanism,
            "sasl_plain_username": self.username,
            "sasl_plain_password": self.password,
        }
        sasl = login if self.protocol.startswith("SASL") else {}
        return {"security_protocol": self.protocol, "ssl_context": self.context(), **sasl}


class Brokers(str):
    """Broker addresses, `host:port` separated by commas, that carry their access.

    So every function that gets the addresses can connect. A plain `str` means no TLS and no login.
    """

    __slots__ = ("access",)
    access: KafkaAccess

    def __new__(cls, addresses: str, access: KafkaAccess) -> Self:
        """Create the addresses with their access."""
        brokers = super().__new__(cls, addresses)
        brokers.access = access
        return brokers

    def __reduce__(self) -> tuple[Any, ...]:
        return Brokers, (str(self), self.access)


def access_of(bootstrap: str) -> KafkaAccess:
    """Return the access of the addresses."""
    return bootstrap.access if isinstance(bootstrap, Brokers) else KafkaAccess()


def reach(bootstrap: str) -> dict[str, Any]:
    """Return the keyword arguments for aiokafka's clients: addresses, login and TLS."""
    return {"bootstrap_servers": str(bootstrap), **access_of(bootstrap).arguments()}
