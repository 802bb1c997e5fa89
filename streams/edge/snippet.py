"""The tracking snippet's file, by its plain name and by the hash of its bytes."""

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Self


@dataclass(frozen=True, slots=True)
class Snippet:
    """`digest` is the name in the long-lived URL, `integrity` the value of the script tag's attribute."""

    body: bytes
    digest: str
    integrity: str

    @classmethod
    def load(cls) -> Self:
        """The file as it is installed."""
        body = files("streams.edge").joinpath("static", "t.js").read_bytes()
        digest = hashlib.sha384(body).digest()
        return cls(body, digest.hex()[:16], "sha384-" + base64.b64encode(digest).decode())
