"""Objects on S3: pages and their files. boto3 runs in threads."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from schemas.errors import Refused, Retryable

Answer = TypeVar("Answer")
MISSING = {"404", "NoSuchKey", "NotFound"}
OWNED = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as it was put."""

    body: bytes
    content_type: str
    etag: str


class Objects:
    """One bucket."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    @classmethod
    def open(cls, endpoint_url: str | None, region: str, access_key: str, secret_key: str, bucket: str) -> Self:
        """A client for the bucket; empty keys leave the search for them to boto3. Nothing is opened yet."""
        config = Config(connect_timeout=3, read_timeout=10, retries={"max_attempts": 1}, max_pool_connections=32)
        client = boto3.client(
            "s3",
            endpoint_url=endpoint_url,
            region_name=region,
            aws_access_key_id=access_key or None,
            aws_secret_access_key=secret_key or None,
            config=config,
        )
        return cls(client, bucket)

    async def ensure_bucket(self) -> bool:
        """Create the bucket when it is missing; whether it was."""
        try:
            await self._call(lambda: self._client.head_bucket(Bucket=self._bucket))
        except Refused:
            pass
        else:
            return False
        try:
            await self._call(lambda: self._client.create_bucket(Bucket=self._bucket, **_where(self._client)))
        except Refused as error:
            if not any(code in str(error) for code in OWNED):
                raise
            return False
        return True

    async def put(self, key: str, body: bytes, content_type: str, cache_control: str) -> None:
        """Write an object whole."""
        await self._call(
            lambda: self._client.put_object(
                Bucket=self._bucket, Key=key, Body=body, ContentType=content_type, CacheControl=cache_control
            )
        )

    async def get(self, key: str) -> StoredObject | None:
        """An object, None when there is none."""

        def read() -> StoredObject | None:
            try:
                found = self._client.get_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if error.response["Error"]["Code"] in MISSING:
                    return None
                raise
            return StoredObject(found["Body"].read(), found["ContentType"], found["ETag"])

        return await self._call(read)

    async def _call(self, work: Callable[[], Answer]) -> Answer:
        try:
            return await asyncio.to_thread(work)
        except ClientError as error:
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            detail = f"S3 bucket {self._bucket}: {error.response['Error']['Code']}"
            raise (Retryable(detail) if status >= 500 or status == 429 else Refused(detail, status)) from error
        except (BotoCoreError, OSError) as error:
            raise Retryable(f"S3: {type(error).__name__}") from error


def _where(client: Any) -> dict[str, Any]:
    """A bucket's region has to be named on S3, but for the one that has no name."""
    region = client.meta.region_name
    return {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
