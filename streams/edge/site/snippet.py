"""The tracking snippet's files, by plain name and by the hash of the script's bytes."""

import base64
import hashlib
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Self


@dataclass(frozen=True, slots=True)
class Snippet:
    """The files. `digest` is the name in the long-lived URL, `integrity` the script tag's attribute."""

    body: bytes
    source_map: bytes
    digest: str
    integrity: str

    @classmethod
    def load(cls) -> Self:
        """Return the installed files."""
        static = files("streams.edge").joinpath("static")
        body = static.joinpath("t.js").read_bytes()
        digest = hashlib.sha384(body).digest()
        integrity = "sha384-" + base64.b64encode(digest).decode()
        return cls(body, static.joinpath("t.js.map").read_bytes(), digest.hex()[:16], integrity)

    def tag(self, base_url: str, lp_id: str) -> str:
        """Return a page's script tag. Browsers cache the script for long, and refuse changed bytes."""
        return (
            f'<script async src="{escape(base_url)}/t.{self.digest}.js" integrity="{self.integrity}"'
            f' crossorigin="anonymous" data-lp-id="{escape(lp_id)}"></script>'
        )
