"""The curated pictures of the designs: encoded beforehand, named by their bytes.

`make pictures` encodes them from `infra/artwork/`; they lie among the templates as
`<design>-<role>-<width>.<format>`.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from processors.text import folded
from schemas.generation import GenerationRequest

TYPES = {"avif": "image/avif", "webp": "image/webp", "svg": "image/svg+xml", "png": "image/png"}


@dataclass(frozen=True, slots=True)
class Role:
    """What a picture is for: widths it comes in, its shape, and how wide a page shows it."""

    widths: tuple[int, ...]
    ratio: tuple[int, int]
    sizes: str


ROLES = {
    "hero": Role((640, 1080, 1600), (8, 5), "(min-width:48rem) 70vw, 100vw"),
    "detail": Role((480, 960), (4, 3), "(min-width:48rem) 33rem, 92vw"),
}
FORMATS = ("avif", "webp")
NOODLES = ("ラーメン", "らーめん", "らぁめん", "拉麺", "中華そば", "麺屋", "つけ麺")


@dataclass(frozen=True, slots=True)
class Asset:
    """A file for the object store; its key is its content's hash, so it never changes and is stored once."""

    key: str
    body: bytes
    content_type: str

    @classmethod
    def of(cls, body: bytes, suffix: str) -> "Asset":
        """The asset of these bytes."""
        return cls(f"assets/{hashlib.sha256(body).hexdigest()[:16]}.{suffix}", body, TYPES[suffix])


@cache
def asset(design: str, role: str, width: int, suffix: str) -> Asset:
    """One packaged picture; FileNotFoundError when there is none."""
    name = f"{design}-{role}-{width}.{suffix}"
    return Asset.of(files("processors").joinpath("templates", "pictures", name).read_bytes(), suffix)


def drawing_of(request: GenerationRequest, design: str, role: str) -> str:
    """Whose picture a page shows in a role: its design's, but only who names noodles is shown with noodles."""
    named = folded(" ".join((request.industry, *request.keywords)))
    noodles = design == "restaurant" and role == "hero" and any(word in named for word in NOODLES)
    return "noodles" if noodles else design


def all_of(request: GenerationRequest, design: str) -> list[Asset]:
    """Every file that the request's page may ask for."""
    return [
        asset(drawing_of(request, design, role), role, width, suffix)
        for role, wanted in ROLES.items()
        for width in wanted.widths
        for suffix in FORMATS
    ]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as a page names it. `base_url` is where `/assets/` is served from."""

    drawing: str
    role: str
    base_url: str

    def srcset(self, suffix: str) -> str:
        """Addresses by width, for `srcset`."""
        return ", ".join(f"{self._url(width, suffix)} {width}w" for width in ROLES[self.role].widths)

    @property
    def src(self) -> str:
        """The address for a browser that takes no `source`."""
        return self._url(ROLES[self.role].widths[1], "webp")

    @property
    def sizes(self) -> str:
        """How wide the page shows it, for `sizes`."""
        return ROLES[self.role].sizes

    @property
    def width(self) -> int:
        """Pixels of the address in `src`."""
        return ROLES[self.role].widths[1]

    @property
    def height(self) -> int:
        """Pixels of the address in `src`."""
        wide, high = ROLES[self.role].ratio
        return self.width * high // wide

    def _url(self, width: int, suffix: str) -> str:
        return f"{self.base_url}/{asset(self.drawing, self.role, width, suffix).key}"
