"""Uploads: a customer's own pictures and logos, encoded anew, with the files that pages load."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.generation import Model, UploadId

Suffix = Literal["avif", "webp"]


class PictureFile(Model):
    """A file of an upload in the object store. Its key is its path on the public listener, too."""

    key: Annotated[str, Field(max_length=200)]
    suffix: Suffix
    width: int
    height: int


class Upload(Model):
    """An uploaded file as pages may show it: as a picture in several widths, and as a logo.

    `upload` is the SHA-256 of the posted bytes. `width` and `height` are those of the largest picture. `ground` is the
    ground that a transparent logo needs so that it is seen.
    """

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    upload: UploadId
    width: int
    height: int
    pictures: Annotated[tuple[PictureFile, ...], Field(min_length=1, max_length=20)]
    logo: PictureFile
    ground: Literal["none", "light", "dark"] = "none"


class Uploads(Model):
    """The uploads that a request names."""

    picture: Upload | None = None
    logo: Upload | None = None
