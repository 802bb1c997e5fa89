"""`lpstream request`: request one landing page and follow it until it is finished."""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import uuid4

import aiohttp
import typer
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from processors.pages.curated import assets_at
from schemas.errors import LpstreamError, Retryable
from schemas.generation import LONGEST_BRIEF, Change, GenerationRequest, Result, VariantRequest, model_from_object
from streams.cli.upload import read
from streams.client import over_http
from streams.local.console import DEFAULT_DATA, AsJson, Data, err, json_file, out, private_api, writable_file

# options that describe a page; a variant has them from its parent
OF_PAGES = ("industry", "purpose", "keyword", "name", "phone", "tone", "quality", "picture", "logo", "file")


def request(
    context: typer.Context,
    industry: Annotated[str, typer.Option(help="Industry of the business.")] = "飲食",
    purpose: Annotated[str, typer.Option(help="Purpose of the page.")] = "集客",
    keyword: Annotated[list[str] | None, typer.Option(help="A keyword; may be given several times.")] = None,
    name: Annotated[str, typer.Option(help="Name of the business.")] = "麺屋 一",
    phone: Annotated[str | None, typer.Option(help="Phone number of the business.")] = None,
    tone: Annotated[Literal["friendly", "formal", "premium"], typer.Option(help="Tone of the copy.")] = "friendly",
    quality: Annotated[Literal["fast", "high"], typer.Option(help="Tier of the model.")] = "fast",
    tenant: Annotated[str, typer.Option(help="Tenant that the token belongs to.")] = "demo",
    picture: Annotated[Path | None, typer.Option(help="Picture of the business, shown first; it is uploaded.")] = None,
    logo: Annotated[Path | None, typer.Option(help="Logo of the business; it is uploaded.")] = None,
    variant_of: Annotated[
        str, typer.Option("--variant-of", help="A page's id: make a variant of it, which keeps its facts.")
    ] = "",
    change: Annotated[Change, typer.Option(help="What differs in the variant.")] = "copy",
    section: Annotated[
        list[str] | None, typer.Option(help="A section that changes in the variant; may be given several times.")
    ] = None,
    brief: Annotated[str, typer.Option(help=f"Why the variant is made, in at most {LONGEST_BRIEF} characters.")] = "",
    file: Annotated[
        Path | None, typer.Option("--file", help="Whole request as JSON instead; - reads standard input.")
    ] = None,
    save: Annotated[Path | None, typer.Option("--out", help="Save the page's HTML here.")] = None,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Request one landing page or a variant of a page, follow its progress, print its result."""
    usual = {"industry": industry, "purpose": purpose, "keywords": keyword or [], "tone": tone, "quality": quality}
    body: dict[str, Any] = usual | {"business": {"name": name, "phone": phone}}
    if variant_of:
        _check_alone(context)
        body = {"variant": {"of": variant_of, "change": change, "sections": section or [], "brief": brief}}
    elif section or brief:
        raise LpstreamError("--section, --brief: give --variant-of too, the page that the variant is made of")
    elif {"industry", "name"} & _given(context) == {"industry"}:
        raise LpstreamError("--industry: give --name too, the name of the business")
    body = {"request_id": str(uuid4()), "tenant_id": tenant, "door": "command"} | (_read(file) if file else body)
    if save is not None:
        writable_file("--out", save)
    own = {name: read(path, f"--{name}") for name, path in (("picture", picture), ("logo", logo)) if path is not None}
    model: type[GenerationRequest | VariantRequest] = VariantRequest if body.get("variant") else GenerationRequest
    asked = model_from_object(model, body)
    answer, page = asyncio.run(_ask(*private_api(data), asked, own))
    result = answer.model_dump(mode="json")
    if save is not None and page is not None:
        save.write_bytes(page)
    _print(result, as_json)


def _print(result: dict[str, Any], as_json: bool) -> None:
    """Print the result. Raise LpstreamError if there is no page."""
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
    else:
        _show(result)
    if result["status"] in ("rejected", "failed"):
        error = result["error"] or {}
        raise LpstreamError(f"{result['status']}: {error.get('field') or error.get('code')}: {error.get('detail')}")


def _check_alone(context: typer.Context) -> None:
    """Raise LpstreamError for an option that a variant cannot have, because it keeps the page's own."""
    given = _given(context)
    if wrong := next((name for name in OF_PAGES if name in given), None):
        raise LpstreamError(f"--{wrong}: leave it out with --variant-of; a variant keeps what its page has")


def _given(context: typer.Context) -> set[str]:
    """Return the options of pages that the command line has."""
    sources = {name: context.get_parameter_source(name) for name in OF_PAGES}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}


def _read(file: Path) -> dict[str, Any]:
    content = json_file("--file", file)
    if not isinstance(content, dict):
        raise LpstreamError(f"--file {file}: is not a JSON object; give one request")
    return content


async def _ask(
    api: str, token: str, body: GenerationRequest | VariantRequest, own: dict[str, bytes]
) -> tuple[Result, bytes | None]:
    """Upload the pictures and send the request; return its result, and the page if there is one."""
    async with over_http(api, token) as pages:
        if isinstance(body, GenerationRequest):
            ids = {name: (await pages.upload(content)).upload for name, content in own.items()}
            body = body.model_copy(update={"assets": body.assets.model_copy(update=ids)})
        request_id = await pages.request(body)
        with Progress(console=err) as bar:
            task = bar.add_task("queued", total=100)
            with contextlib.suppress(Retryable):  # progress is optional; the result is awaited in any case
                async for now in pages.progress(request_id):
                    bar.update(task, completed=now.percent, description=escape(now.section or now.stage))
        result = await pages.result(request_id)
    if result.page_url is not None:  # sent without the token: the public listener must not see it
        return result, await _page(result.page_url, {})
    if result.preview_url is not None:
        return result, await _page(result.preview_url, {"Authorization": f"Bearer {token}"})
    return result, None


async def _page(url: str, headers: dict[str, str]) -> bytes:
    """Return a page or the preview of a variant, for a file: its pictures have absolute addresses."""
    try:
        async with (
            aiohttp.ClientSession(raise_for_status=True, headers=headers) as session,
            session.get(url) as answer,
        ):
            return assets_at(await answer.read(), url.rpartition("/lp/")[0])
    except (aiohttp.ClientError, TimeoutError) as error:
        raise LpstreamError(f"{url}: {str(error) or type(error).__name__}") from error


def _show(result: dict[str, Any]) -> None:
    table = Table("", "", show_header=False)
    for name in ("status", "request_id", "lp_id", "page_url", "preview_url", "cache", "cost_micro_jpy"):
        table.add_row(name, str(result[name]))
    if (variant := result["variant"]) is not None:
        table.add_row("differs", f"{variant['differs']} (variant of {variant['of']})")
    timings = {name: value for name, value in result["timings_ms"].items() if value is not None}
    table.add_row("timings, ms", ", ".join(f"{name} {value}" for name, value in timings.items()))
    for warning in result["warnings"]:
        table.add_row("warning", f"{warning['code']}: {warning['detail']}")
    out.print(table)
