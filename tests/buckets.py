"""A page store in memory, for tests that need no S3 server."""

from infra.s3.objects import StoredObject


class Bucket:
    """Objects in memory. It stands for the page store."""

    def __init__(self, **objects: bytes) -> None:
        self.objects = dict(objects)

    async def get(self, key: str) -> StoredObject | None:
        return StoredObject(self.objects[key], "text/html", "e") if key in self.objects else None

    async def put(self, key: str, body: bytes, content_type: str, cache_control: str) -> None:
        self.objects[key] = body

    async def names(self, beginning: str) -> list[str]:
        return [key for key in self.objects if key.startswith(beginning)]

    async def delete(self, keys: list[str]) -> None:
        for key in keys:
            self.objects.pop(key, None)
