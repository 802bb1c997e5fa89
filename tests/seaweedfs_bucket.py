"""A SeaweedFS server with a bucket, for tests without the whole stack."""

from dataclasses import dataclass

from infra.embedded.process import Server
from infra.s3.objects import Objects


@dataclass(frozen=True, slots=True)
class Bucket:
    """A SeaweedFS server with the address and login of its bucket."""

    server: Server
    url: str
    key: str = "tests"
    secret: str = "tests-secret"
    name: str = "lpstream"

    def open(self) -> Objects:
        return Objects.open(self.url, "ap-northeast-1", self.key, self.secret, self.name)
