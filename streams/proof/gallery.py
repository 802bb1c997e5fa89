"""The demo's gallery: an HTML page with landing pages, heatmaps and the page that improves itself."""

import asyncio
import re
from html import escape
from pathlib import Path

import aiohttp

import processors
from streams.proof.loop import Loop
from streams.proof.loop_picture import differs, drawn

FONT = Path(processors.__file__).parent / "templates" / "fonts" / "NotoSansJP-Bold.woff2"
MOST_FINDINGS = 3
KINDS = ("click", "attention", "scroll")
ASSET = re.compile(r"(?:https?://[^/\s\"']+|\.\.)/assets/([A-Za-z0-9._-]+)")
# the copies post nothing
SNIPPET = re.compile(r"<script[^>]*data-lp-id[^>]*></script>")
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem;background:#f4f5f7;color:#222}"
    "main{display:flex;flex-wrap:wrap;align-items:flex-start;gap:1rem}"
    "figure{margin:0;background:#fff;padding:.6rem;border-radius:8px;max-width:100%;box-sizing:border-box}"
    "img{width:240px;height:auto;display:block}iframe{width:390px;max-width:100%;height:700px;border:0}"
    ".loop{background:#fff;padding:1rem 1.5rem;border-radius:8px;max-width:1000px}.loop svg{width:100%;height:auto}"
    '@font-face{font-family:"Noto Sans JP";src:local("Noto Sans JP"),local("Noto Sans CJK JP"),'
    'url("loop/NotoSansJP-Bold.woff2")}.loop,[lang=ja]{font-family:"Noto Sans JP",system-ui,sans-serif}'
)


async def save_page(edge_url: str, page_url: str, target: Path) -> None:
    """Save a page that opens without the edge. Its assets go to `assets/` beside the target's folder."""
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        async with session.get(page_url) as answer:
            html = await answer.text()
        for name in sorted(set(ASSET.findall(html))):
            async with session.get(f"{edge_url}/assets/{name}") as answer:
                await asyncio.to_thread(_write, target.parent.parent / "assets" / name, await answer.read())
    await asyncio.to_thread(_write, target, ASSET.sub(r"../assets/\1", SNIPPET.sub("", html)).encode())


def _write(target: Path, body: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(body)


def write_gallery(target: Path, improved: Loop) -> None:
    """Write `index.html` in the target folder, from its `pages/` and `heatmaps/` and the loop."""
    pages = "\n".join(
        f'<figure><iframe src="pages/{escape(page.name)}" title="{escape(page.stem)}" loading="lazy"></iframe>'
        f"<figcaption>{escape(page.stem)}</figcaption></figure>"
        for page in sorted((target / "pages").glob("*.html"))
    )
    maps = "\n".join(
        f'<figure><img src="heatmaps/{escape(picture.name)}" alt="{escape(picture.stem)}" loading="lazy">'
        f"<figcaption>{escape(picture.stem)}</figcaption></figure>"
        for picture in sorted((target / "heatmaps").glob("*.png"), key=_place)
    )
    picture = drawn(improved)
    _write(target / "loop" / "loop.svg", picture.encode())
    _write(target / "loop" / FONT.name, FONT.read_bytes())
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>lpstream demo</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
        f"<h1>Results of the demo</h1>"
        f'<h2>A page that improves itself <span lang="ja">自ら良くなるページ</span></h2>'
        f'<section class="loop">{_steps(improved)}{picture}</section>'
        f"<h2>Landing pages</h2><main>{pages}</main>"
        f"<h2>Heatmaps of their visitors</h2><main>{maps}</main></html>"
    )
    (target / "index.html").write_text(text, encoding="utf-8")


def _place(picture: Path) -> tuple[str, str, int]:
    """Return the place of a map in the gallery: by page and device, clicks first."""
    page, kind, device = picture.stem.rsplit("-", 2)
    return page, device, KINDS.index(kind) if kind in KINDS else len(KINDS)


def _steps(improved: Loop) -> str:
    """Return the findings and the variant as HTML."""
    english, japanese = (improved.findings[language] for language in ("en", "ja"))
    change, changed = differs(improved)
    pairs = zip(english["findings"], japanese["findings"], strict=True)
    rows = [
        f"<li>{escape(one['text'])} <i>{escape(one['suggestion']['text'])}</i>"
        f'<br><span lang="ja">{escape(other["text"])}{escape(other["suggestion"]["text"])}</span></li>'
        for one, other in pairs
    ]
    found = f"<ol>{''.join(rows[:MOST_FINDINGS])}</ol>" if rows else ""
    return (
        f'<h3>1. Findings <span lang="ja">気になる点</span></h3><p>{escape(english["text"])} '
        f'<span lang="ja">{escape(japanese["text"])}</span></p>{found}'
        f'<h3>2. A variant <span lang="ja">別案</span></h3><p>{escape(change)} '
        f'<span lang="ja">{escape(changed)}</span></p>'
        f'<h3>3. An experiment <span lang="ja">実験</span></h3>'
        f"<p>{len(improved.seen):,} visits over HTTP. The true rates are known to the visitors alone; the weights "
        f"follow from the counts. For the demo, the optimizer looks every 5 seconds, not each minute. "
        f'<span lang="ja">HTTPで{len(improved.seen):,}回の訪問を再現しました。真の成果率を知っているのは訪問者だけで、'
        f"配分は集計だけから決まります。デモでは1分ごとではなく5秒ごとに判断します。</span></p>"
    )
