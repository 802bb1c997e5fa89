"""How tests reach stores that run alone."""

from dataclasses import dataclass

from infra.embedded.process import Server
from infra.s3.objects import Objects


@dataclass(frozen=True, slots=True)
class Bucket:
    """SeaweedFS, and how a client reaches its bucket."""

    server: Server
    url: str
    key: str = "tests"
    secret: str = "tests-secret"
    name: str = "lpstream"

    def open(self) -> Objects:
        return Objects.open(self.url, "ap-northeast-1", self.key, self.secret, self.name)
