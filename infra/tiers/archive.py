"""Objects of the tiers on S3: between storage classes, back from Glacier, and away. boto3 runs in threads."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from infra.s3.objects import Objects

MISSING = {"404", "NoSuchKey", "NotFound"}
GLACIER, STANDARD = "GLACIER", "STANDARD"
# answers of stores that have the storage class and no restore: what is cold there can be read as it is
NO_RESTORE = {"MethodNotAllowed", "NotImplemented", "501", "405"}
COPY_S = 300
AT_A_TIME = 1_000


@dataclass(frozen=True, slots=True)
class Held:
    """An object as the store has it; `bytes` is its size."""

    key: str
    bytes: int
    etag: str
    storage_class: str
    modified: datetime


class Archive(Objects):
    """The bucket of the tiers."""

    @classmethod
    def open(cls, endpoint_url: str | None, region: str, access_key: str, secret_key: str, bucket: str) -> Self:
        """A client that waits as long as a copy within the store may take."""
        made = super().open(endpoint_url, region, access_key, secret_key, bucket)
        config = Config(connect_timeout=3, read_timeout=COPY_S, retries={"total_max_attempts": 2})
        session = boto3.Session(access_key or None, secret_key or None, region_name=region)
        made._client = session.client("s3", endpoint_url=endpoint_url, config=config)
        return made

    async def held(self, prefix: str) -> list[Held]:
        """Objects whose keys begin with the prefix."""

        def read() -> list[Held]:
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            return [
                Held(one["Key"], one["Size"], one["ETag"], one.get("StorageClass", STANDARD), one["LastModified"])
                for page in pages
                for one in page.get("Contents", ())
            ]

        return await self._call(read)

    async def look(self, key: str) -> Held | None:
        """One object, None when there is none."""
        found = await self._head(key)
        if found is None:
            return None
        storage_class = found.get("StorageClass", STANDARD)
        return Held(key, found["ContentLength"], found["ETag"], storage_class, found["LastModified"])

    async def copy(self, key: str, to: str, storage_class: str) -> None:
        """Copy an object within the store, in parts where it is large; the copy is there whole or not at all."""
        await self._call(
            lambda: self._client.copy(
                {"Bucket": self._bucket, "Key": key}, self._bucket, to, ExtraArgs={"StorageClass": storage_class}
            )
        )

    async def delete(self, keys: list[str]) -> None:
        """Remove objects; those that are not there count as removed."""

        def remove() -> None:
            for start in range(0, len(keys), AT_A_TIME):
                named = [{"Key": key} for key in keys[start : start + AT_A_TIME]]
                self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": named, "Quiet": True})

        await self._call(remove)

    async def thaw(self, key: str, days: int) -> bool:
        """Whether a cold object can be read now; when not, it has been asked for, for that many days.

        S3 takes hours (tier Standard: 3 to 5). A store without restores is told by its answer.
        """
        found = await self._head(key)
        if found is None or found.get("StorageClass", STANDARD) != GLACIER or 'request="false"' in _restore(found):
            return True
        if 'request="true"' in _restore(found):
            return False

        def ask() -> bool:
            request = {"Days": days, "GlacierJobParameters": {"Tier": "Standard"}}
            try:
                self._client.restore_object(Bucket=self._bucket, Key=key, RestoreRequest=request)
            except ClientError as error:
                if error.response["Error"]["Code"] in NO_RESTORE:
                    return True
                if error.response["Error"]["Code"] != "RestoreAlreadyInProgress":
                    raise
            return False

        return await self._call(ask)

    async def _head(self, key: str) -> dict[str, Any] | None:
        def read() -> dict[str, Any] | None:
            try:
                found: dict[str, Any] = self._client.head_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if error.response["Error"]["Code"] in MISSING:
                    return None
                raise
            return found

        return await self._call(read)


def _restore(found: dict[str, Any]) -> str:
    return str(found.get("Restore", ""))
