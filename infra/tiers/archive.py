"""The objects of the tiers on S3: storage classes, Glacier restores, deletion. boto3 runs in threads."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from botocore.config import Config
from botocore.exceptions import ClientError

from infra.s3.objects import Objects, session_of
from schemas.errors import Refused

MISSING = {"404", "NoSuchKey", "NotFound"}
GLACIER, STANDARD = "GLACIER", "STANDARD"
# errors of stores that have the storage class but no restore: their cold objects can be read directly
NO_RESTORE = {"MethodNotAllowed", "NotImplemented", "501", "405"}
COPY_S = 300
AT_A_TIME = 1_000


@dataclass(frozen=True, slots=True)
class Held:
    """An object as S3 lists it. `bytes` is its size."""

    key: str
    bytes: int
    etag: str
    storage_class: str
    modified: datetime


class Archive(Objects):
    """A client for the bucket of the tiers."""

    @classmethod
    def open(cls, endpoint_url: str | None, region: str, access_key: str, secret_key: str, bucket: str) -> Self:
        """Return a client with a timeout of COPY_S, enough for a copy within the store."""
        archive = super().open(endpoint_url, region, access_key, secret_key, bucket)
        config = Config(connect_timeout=3, read_timeout=COPY_S, retries={"total_max_attempts": 2})
        archive._client = session_of(access_key, secret_key, region).client(
            "s3", endpoint_url=endpoint_url, config=config
        )
        return archive

    async def held(self, prefix: str) -> list[Held]:
        """Return the objects whose keys begin with the prefix."""

        def read() -> list[Held]:
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            return [
                Held(row["Key"], row["Size"], row["ETag"], row.get("StorageClass", STANDARD), row["LastModified"])
                for page in pages
                for row in page.get("Contents", ())
            ]

        return await self._call(read)

    async def look(self, key: str) -> Held | None:
        """Return the object, or None if it does not exist."""
        head = await self._head(key)
        if head is None:
            return None
        storage_class = head.get("StorageClass", STANDARD)
        return Held(key, head["ContentLength"], head["ETag"], storage_class, head["LastModified"])

    async def copy(self, key: str, to: str, storage_class: str) -> None:
        """Copy an object within the store, in parts if it is large. The copy is complete or absent."""
        await self._call(
            lambda: self._client.copy(
                {"Bucket": self._bucket, "Key": key}, self._bucket, to, ExtraArgs={"StorageClass": storage_class}
            )
        )

    async def delete(self, keys: list[str]) -> None:
        """Remove objects. Missing objects count as removed.

        Raise Refused if S3 did not delete all of them.
        """

        def remove() -> None:
            failed = []
            for start in range(0, len(keys), AT_A_TIME):
                batch = {"Objects": [{"Key": key} for key in keys[start : start + AT_A_TIME]], "Quiet": True}
                failed += self._client.delete_objects(Bucket=self._bucket, Delete=batch).get("Errors", ())
            if failed:
                raise Refused(
                    f"S3 bucket {self._bucket}: {len(failed)} objects were not deleted, the first is "
                    f"{failed[0]['Key']}: {failed[0]['Code']}; check the permission s3:DeleteObject"
                )

        await self._call(remove)

    async def thaw(self, key: str, days: int) -> bool:
        """Return whether a cold object can be read now. If not, request a restore for `days` days.

        S3 takes 3 to 5 hours (tier Standard). A store without restores answers with a code of NO_RESTORE. Raise Refused
        if the object is missing.
        """
        head = await self._head(key)
        if head is None:
            raise Refused(f"its object on Glacier is missing ({key})", 404)
        if head.get("StorageClass", STANDARD) != GLACIER or 'request="false"' in _restore(head):
            return True
        if 'request="true"' in _restore(head):
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
                head: dict[str, Any] = self._client.head_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if error.response["Error"]["Code"] in MISSING:
                    return None
                raise
            return head

        return await self._call(read)


def _restore(head: dict[str, Any]) -> str:
    return str(head.get("Restore", ""))
