"""The picture `docs/pages.png`: first views of the eight designs on a phone, by `python -m streams.proof.page_views`.

Needs the extra `screenshots` and a Chromium on PATH.
"""

import io
from pathlib import Path
from uuid import UUID

from PIL import Image

from infra.screenshots import ORIGIN, PageFiles, find_chromium, take
from processors.pages.brief import brief_of
from processors.pages.copywriting import assemble
from processors.pages.page import integrate, optimise, pictures
from schemas.errors import LpstreamError
from schemas.generation import Business, Facts, GenerationRequest, Price

TARGET = Path(__file__).parents[2] / "docs" / "pages.png"
PHONE, SHOWN, GAP, GROUND, COLOURS = (390, 844), (200, 433), 10, "#e8eaf1", 256
VIEWS = (
    ("麺屋 一", "飲食", "集客", ["ラーメン", "深夜営業"]),
    ("サロン 凪", "美容", "予約", ["髪質改善", "完全個室"]),
    ("みなと住まい", "不動産", "問い合わせ", ["賃貸", "駅近"]),
    ("あおば内科クリニック", "医療", "予約", ["内科", "発熱外来"]),
    ("まなびの森", "教育", "予約", ["中学受験", "個別指導"]),
    ("木と暮らす店", "EC", "販売", ["木の器", "ギフト"]),
    ("山野行政書士事務所", "士業", "問い合わせ", ["相続", "遺言"]),
    ("みどり造園", "造園", "問い合わせ", ["庭の手入れ", "剪定"]),
)


def view(name: str, industry: str, purpose: str, keywords: list[str], chromium: str) -> Image.Image:
    """Return the first view of a page with built-in copy."""
    request = GenerationRequest(
        request_id=UUID(int=0),
        tenant_id="demo",
        industry=industry,
        purpose=purpose,
        keywords=keywords,
        business=Business(
            name=name, phone="03-0000-0000", address="東京都港区芝1-2-3", form_url="https://example.com/form"
        ),
        facts=Facts(prices=[Price(label="はじめての方", yen=5_500)], hours="10:00〜19:00"),
    )
    brief = brief_of(request)
    html = optimise(integrate(request, brief, assemble(brief, {}), lp_id="demo-0", base_url=ORIGIN))
    files = {each.key: (each.body, each.content_type) for each in pictures(brief)}
    shot = Image.open(io.BytesIO(take(PageFiles(html, files), *PHONE, chromium)))
    return shot.crop((0, 0, *PHONE)).resize(SHOWN, Image.Resampling.LANCZOS)


def main() -> None:
    """Write the picture. Raise LpstreamError if there is no Chromium."""
    if (chromium := find_chromium("auto")) is None:
        raise LpstreamError("there is no chromium on PATH; install Debian's package chromium")
    width, height = SHOWN
    whole = Image.new("RGB", (len(VIEWS) * (width + GAP) + GAP, height + 2 * GAP), GROUND)
    for at, each in enumerate(VIEWS):
        whole.paste(view(*each, chromium), (GAP + at * (width + GAP), GAP))
    whole.quantize(COLOURS).save(TARGET, optimize=True)


if __name__ == "__main__":
    main()
