"""The demo's gallery: one HTML page with the landing pages and heatmaps."""

import asyncio
import re
from html import escape
from pathlib import Path

import aiohttp

ASSET = re.compile(r"(?:https?://[^/\s\"']+|\.\.)/assets/([A-Za-z0-9._-]+)")
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem;background:#f4f5f7;color:#222}"
    "main{display:flex;flex-wrap:wrap;gap:1rem}"
    "figure{margin:0;background:#fff;padding:.6rem;border-radius:8px}"
    "img{width:240px;height:auto;display:block}iframe{width:390px;height:700px;border:0}"
)


async def save_page(edge_url: str, page_url: str, target: Path) -> None:
    """Save a page that opens without the edge. Its assets go to `assets/` beside the target's folder."""
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        async with session.get(page_url) as answer:
            html = await answer.text()
        for name in sorted(set(ASSET.findall(html))):
            async with session.get(f"{edge_url}/assets/{name}") as answer:
                await asyncio.to_thread(_write, target.parent.parent / "assets" / name, await answer.read())
    await asyncio.to_thread(_write, target, ASSET.sub(r"../assets/\1", html).encode())


def _write(target: Path, body: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(body)


def write_gallery(target: Path) -> None:
    """Write `index.html` in the target folder, with its `pages/` and `heatmaps/`."""
    pages = "\n".join(
        f'<figure><iframe src="pages/{escape(page.name)}" title="{escape(page.stem)}" loading="lazy"></iframe>'
        f"<figcaption>{escape(page.stem)}</figcaption></figure>"
        for page in sorted((target / "pages").glob("*.html"))
    )
    maps = "\n".join(
        f'<figure><img src="heatmaps/{escape(picture.name)}" alt="{escape(picture.stem)}" loading="lazy">'
        f"<figcaption>{escape(picture.stem)}</figcaption></figure>"
        for picture in sorted((target / "heatmaps").glob("*.png"))
    )
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>lpstream demo</title><style>{STYLE}</style>'
        f"<h1>Results of the demo</h1><h2>Landing pages</h2><main>{pages}</main>"
        f"<h2>Heatmaps of their visitors</h2><main>{maps}</main></html>"
    )
    (target / "index.html").write_text(text, encoding="utf-8")
