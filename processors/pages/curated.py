"""The curated pictures of the designs: encoded in advance, with a hash of their content as key.

`make pictures` encodes them from `infra/artwork/` to the templates' folder `pictures`, as
`<design>-<role>-<width>.<format>`.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from processors.pages.words import kinds
from schemas.plan import Brief
from schemas.uploads import Upload

TYPES = {"avif": "image/avif", "webp": "image/webp", "svg": "image/svg+xml", "png": "image/png"}


@dataclass(frozen=True, slots=True)
class Role:
    """The role of a picture on a page: available widths, aspect ratio, and `sizes` for the browser."""

    widths: tuple[int, ...]
    ratio: tuple[int, int]
    sizes: str


ROLES = {
    "hero": Role((640, 1080, 1600), (8, 5), "(min-width:48rem) 70vw, 100vw"),
    "detail": Role((480, 960), (4, 3), "(min-width:48rem) 33rem, 92vw"),
}
FORMATS = ("avif", "webp")
UP = ".."  # from /lp/{lp_id} to the folder of /assets/


@dataclass(frozen=True, slots=True)
class Asset:
    """A file for the object store. Its key is its content's hash: it never changes and is stored once."""

    key: str
    body: bytes
    content_type: str

    @classmethod
    def of(cls, body: bytes, suffix: str) -> "Asset":
        """Return the asset of these bytes."""
        return cls(f"assets/{hashlib.sha256(body).hexdigest()[:16]}.{suffix}", body, TYPES[suffix])


@cache
def asset(design: str, role: str, width: int, suffix: str) -> Asset:
    """Return a packaged picture; raise FileNotFoundError if it does not exist."""
    name = f"{design}-{role}-{width}.{suffix}"
    return Asset.of(files("processors").joinpath("templates", "pictures", name).read_bytes(), suffix)


def drawing_of(design: str, kind: str | None, role: str) -> str:
    """Return the drawing that a page shows in a role: that of its kind, or its design's own."""
    known = kinds()
    return known[kind].drawings.get(role, design) if kind in known else design


def pictures(brief: Brief) -> list[Asset]:
    """Return the picture files that the page loads, in all widths and formats; most pages share them."""
    return [
        asset(drawing, role, width, suffix)
        for role, drawing in brief.drawings.items()
        for width in ROLES[role].widths
        for suffix in FORMATS
    ]


def assets_at(html: bytes, base: str) -> bytes:
    """Return a page with its pictures at the address `base`, to be read elsewhere than at /lp/{lp_id}."""
    return html.replace(f"{UP}/assets/".encode(), f"{base}/assets/".encode())


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture on a page: the addresses of its files, the size of the file in `src`, and its text.

    The addresses are relative, so they stay right when the page's host changes. `srcsets` has the value of the HTML
    attribute `srcset` by format, `sizes` the displayed width for browsers.
    """

    src: str
    width: int
    height: int
    srcsets: dict[str, str]
    sizes: str
    alt: str = ""

    def srcset(self, suffix: str) -> str:
        """Return the value of the HTML attribute `srcset` for a format: an address for each width."""
        return self.srcsets[suffix]


@cache
def drawn(drawing: str, role: str) -> Picture:
    """Return a packaged picture."""
    shape = ROLES[role]
    width = shape.widths[1]

    def url(width: int, suffix: str) -> str:
        return f"{UP}/{asset(drawing, role, width, suffix).key}"

    return Picture(
        src=url(width, "webp"),
        width=width,
        height=width * shape.ratio[1] // shape.ratio[0],
        srcsets={suffix: ", ".join(f"{url(each, suffix)} {each}w" for each in shape.widths) for suffix in FORMATS},
        sizes=shape.sizes,
    )


def uploaded(upload: Upload, role: str, alt: str) -> Picture:
    """Return a customer's own picture."""
    files = {suffix: [each for each in upload.pictures if each.suffix == suffix] for suffix in FORMATS}
    middle = files["webp"][min(1, len(files["webp"]) - 1)]
    return Picture(
        src=f"{UP}/{middle.key}",
        width=middle.width,
        height=middle.height,
        srcsets={suffix: ", ".join(f"{UP}/{each.key} {each.width}w" for each in files[suffix]) for suffix in FORMATS},
        sizes=ROLES[role].sizes,
        alt=alt,
    )
