"""The parents of variants: a variant's request is completed from the stored source of its parent."""

import asyncio

from infra.s3.objects import Objects
from schemas.errors import DecodeError
from schemas.generation import GenerationRequest, VariantRequest, decode_model
from schemas.plan import Brief, Source
from streams.pictures.stored import source_of


async def varied_from(objects: Objects, asked: VariantRequest) -> tuple[GenerationRequest, Brief, Source]:
    """Return the request and the brief of a variant, and the source of its parent.

    Raise DecodeError with the field that cannot be carried out, and Retryable while S3 does not answer.
    """
    of = asked.variant.of
    stored = await source_of(objects, of)
    try:
        source = None if stored is None else decode_model(Source, stored.body)
    except DecodeError as error:
        raise DecodeError("variant.of", f"the stored source of {of} cannot be read: {error}") from error
    if source is None or source.request.tenant_id != asked.tenant_id:
        raise DecodeError("variant.of", f"tenant {asked.tenant_id} has no page {of} that was made here")
    request, brief = await asyncio.to_thread(_varied, asked, source)
    return request, brief, source


def _varied(asked: VariantRequest, source: Source) -> tuple[GenerationRequest, Brief]:
    """Return the request and the brief of a variant.

    The first call in a process imports the rules for copy. That takes a while, so it runs in a thread.
    """
    from processors.pages.variants import varied

    return varied(asked, source)
