"""Objects on S3: pages and their files, and copy.

obstore reads and writes objects outside Python: an object costs 0.3 ms of CPU time. boto3 in a thread costs 2.3 ms and
also holds the GIL against the event loop. boto3 finds credentials and creates the bucket.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any, Self, TypeVar

import boto3
import obstore
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from obstore import exceptions
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.store import S3Store

from schemas.errors import Refused, Retryable

Answer = TypeVar("Answer")
CONNECT_S, ANSWER_S = 1, 3
OWNED = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}
NEVER = (
    exceptions.PermissionDeniedError,
    exceptions.UnauthenticatedError,
    exceptions.InvalidPathError,
    exceptions.NotSupportedError,
    exceptions.UnknownConfigurationKeyError,
)


@lru_cache(maxsize=4)
def session_of(access_key: str, secret_key: str, region: str) -> boto3.Session:
    """Return boto3's session of these keys.

    It is shared, because each new session reads the description of S3 again: 0.1 s of processor time.
    """
    return boto3.Session(access_key or None, secret_key or None, region_name=region)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object: body, content type and entity tag."""

    body: bytes
    content_type: str
    etag: str


class Objects:
    """A client for one bucket. Methods raise Retryable or Refused if S3 fails or rejects the call."""

    def __init__(self, store: S3Store, client: Any, bucket: str) -> None:
        self._store = store
        self._client = client
        self._bucket = bucket

    @classmethod
    def open(cls, endpoint_url: str | None, region: str, access_key: str, secret_key: str, bucket: str) -> Self:
        """Return a client for the bucket, without connecting. With empty keys boto3 finds credentials."""
        session = session_of(access_key, secret_key, region)
        config = Config(connect_timeout=CONNECT_S, read_timeout=ANSWER_S, retries={"total_max_attempts": 2})
        client = session.client("s3", endpoint_url=endpoint_url, config=config)
        options: Any = {"region": region, "virtual_hosted_style_request": endpoint_url is None}
        if endpoint_url:
            options["endpoint"] = endpoint_url
        if access_key:
            options |= {"access_key_id": access_key, "secret_access_key": secret_key}
        store = S3Store(
            bucket,
            config=options,
            client_options={
                "allow_http": True,
                "connect_timeout": timedelta(seconds=CONNECT_S),
                "timeout": timedelta(seconds=ANSWER_S),
            },
            retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=ANSWER_S)},
            credential_provider=None if access_key else Boto3CredentialProvider(session),
        )
        return cls(store, client, bucket)

    async def ensure_bucket(self) -> bool:
        """Create the bucket if it is missing. Return whether it was created."""
        with contextlib.suppress(Refused):  # missing, or no permission to read it: the next call decides
            await self._call(lambda: self._client.head_bucket(Bucket=self._bucket))
            return False
        try:
            await self._call(lambda: self._client.create_bucket(Bucket=self._bucket, **_where(self._client)))
        except Refused as error:
            if not any(code in str(error) for code in OWNED):
                raise
            return False
        return True

    async def put(self, key: str, body: bytes, content_type: str, cache_control: str) -> None:
        """Write an object in one request."""
        attributes = {"Content-Type": content_type, "Cache-Control": cache_control}
        try:
            await obstore.put_async(self._store, key, body, attributes=attributes, use_multipart=False)
        except (exceptions.BaseError, OSError) as error:
            raise self._wrong(error) from error

    async def get(self, key: str) -> StoredObject | None:
        """Return an object, or None if it does not exist."""
        try:
            answer = await obstore.get_async(self._store, key)
            body = bytes(await answer.bytes_async())
        except FileNotFoundError:
            return None
        except (exceptions.BaseError, OSError) as error:
            raise self._wrong(error) from error
        return StoredObject(body, str(answer.attributes.get("Content-Type", "")), answer.meta["e_tag"] or "")

    async def keys(self, prefix: str) -> list[str]:
        """Return the keys that begin with the prefix, which ends with a slash or is empty."""
        try:
            return [str(entry["path"]) for entry in await obstore.list(self._store, prefix or None).collect_async()]
        except (exceptions.BaseError, OSError) as error:
            raise self._wrong(error) from error

    async def folders(self, prefix: str, most: int | None = None) -> list[str]:
        """Return at most `most` names of the folders directly below the prefix's last slash.

        Only names that begin with the text after that slash are returned.
        """

        def work() -> list[str]:
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix, Delimiter="/"
            )
            folders = (entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", ()))
            return [name.rstrip("/").rpartition("/")[2] for name in islice(folders, most)]

        return await self._call(work)

    async def names(self, beginning: str) -> list[str]:
        """Return the keys that begin with a text, which may end within a name."""

        def work() -> list[str]:
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=beginning)
            return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

        return await self._call(work)

    async def dated(self, beginning: str, most: int) -> list[tuple[str, datetime]]:
        """Return at most `most` keys that begin with a text, each with the time of its last write."""

        def work() -> list[tuple[str, datetime]]:
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=beginning)
            entries = (entry for page in pages for entry in page.get("Contents", ()))
            return [(entry["Key"], entry["LastModified"]) for entry in islice(entries, most)]

        return await self._call(work)

    async def delete_older(self, prefix: str, before: datetime) -> int:
        """Remove the objects below a prefix whose last write was before a time. Return their number.

        Raise Refused after the other objects if S3 refuses to remove some.
        """
        count, refused = 0, list[Refused]()
        try:
            async for batch in obstore.list(self._store, prefix):
                old = [str(entry["path"]) for entry in batch if entry["last_modified"] < before]
                try:
                    await self.delete(old)
                    count += len(old)
                except Refused as error:
                    refused.append(error)
        except (exceptions.BaseError, OSError) as error:
            raise self._wrong(error) from error
        if refused:
            raise refused[0]
        return count

    async def delete(self, keys: list[str]) -> None:
        """Remove objects; missing objects count as removed."""
        try:
            if keys:
                await obstore.delete_async(self._store, keys)
        except (exceptions.BaseError, OSError) as error:
            raise self._wrong(error) from error

    def _wrong(self, error: Exception) -> Retryable | Refused:
        """Return the error for the caller, without obstore's own text, which has many lines."""
        detail = f"S3 bucket {self._bucket}: {type(error).__name__}"
        if isinstance(error, (*NEVER, FileNotFoundError)):
            return Refused(f"{detail}; check LPSTREAM_S3_BUCKET and the S3 keys")
        return Retryable(detail)

    async def _call(self, work: Callable[[], Answer]) -> Answer:
        """Run a call of boto3 in a thread."""
        try:
            return await asyncio.to_thread(work)
        except ClientError as error:
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            detail = f"S3 bucket {self._bucket}: {error.response['Error']['Code']}"
            raise (Retryable(detail) if status >= 500 or status == 429 else Refused(detail, status)) from error
        except (BotoCoreError, OSError) as error:
            raise Retryable(f"S3: {type(error).__name__}") from error


def _where(client: Any) -> dict[str, Any]:
    """Return the region for CreateBucket. S3 requires it except in us-east-1, where it forbids it."""
    region = client.meta.region_name
    return {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
