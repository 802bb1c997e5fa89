"""How to reach the brokers: their addresses, and with them a login and TLS."""

import ssl
from dataclasses import dataclass
from typing import Any, Literal, Self

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """A login and TLS. `ca_file` holds certificates in PEM; None: those of the system."""

    protocol: Protocol = "PLAINTEXT"
    mechanism: Mechanism = "SCRAM-SHA-512"
    username: str = ""
    password: str = ""
    ca_file: str | None = None

    def __repr__(self) -> str:
        return f"KafkaAccess({self.protocol}, {self.mechanism}, {self.username!r})"

    def context(self) -> ssl.SSLContext | None:
        """For TLS: the brokers' certificates and names are checked."""
        return ssl.create_default_context(cafile=self.ca_file) if self.protocol.endswith("SSL") else None

    def arguments(self) -> dict[str, Any]:
        """As aiokafka's clients take them."""
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
    """Addresses of brokers, `host:port` with commas between, that carry how they are reached.

    So that whoever is handed addresses can open them; text without access is plain and anonymous.
    """

    __slots__ = ("access",)
    access: KafkaAccess

    def __new__(cls, addresses: str, access: KafkaAccess) -> Self:
        """The addresses with their access."""
        made = super().__new__(cls, addresses)
        made.access = access
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return Brokers, (str(self), self.access)


def access_of(bootstrap: str) -> KafkaAccess:
    """How the brokers of these addresses are reached."""
    return bootstrap.access if isinstance(bootstrap, Brokers) else KafkaAccess()


def reach(bootstrap: str) -> dict[str, Any]:
    """Arguments of any of aiokafka's clients: where the brokers are, and how they are reached."""
    return {"bootstrap_servers": str(bootstrap), **access_of(bootstrap).arguments()}
