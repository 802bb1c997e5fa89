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
    """A picture on a page. Its address is relative, so it stays right when the page's host changes."""

    drawing: str
    role: str

    def srcset(self, suffix: str) -> str:
        """Return the value of the HTML attribute `srcset`: an address for each width."""
        return ", ".join(f"{self._url(width, suffix)} {width}w" for width in ROLES[self.role].widths)

    @property
    def src(self) -> str:
        """The address for browsers that use no `source`."""
        return self._url(ROLES[self.role].widths[1], "webp")

    @property
    def sizes(self) -> str:
        """The displayed width, for `sizes`."""
        return ROLES[self.role].sizes

    @property
    def width(self) -> int:
        """The width of the picture in `src`, pixels."""
        return ROLES[self.role].widths[1]

    @property
    def height(self) -> int:
        """The height of the picture in `src`, pixels."""
        wide, high = ROLES[self.role].ratio
        return self.width * high // wide

    def _url(self, width: int, suffix: str) -> str:
        return f"{UP}/{asset(self.drawing, self.role, width, suffix).key}"
