"""Picture files for tests of uploads: ordinary, odd and hostile ones."""

import io
import struct
import zlib
from typing import Any

from PIL import Image, ImageCms, ImageDraw


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return an image as a file."""
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def photo(width: int = 1_800, height: int = 1_200, mode: str = "RGB") -> Image.Image:
    """Return a picture whose top left quarter is red and whose rest is blue."""
    image = Image.new("RGB", (width, height), (20, 60, 200))
    ImageDraw.Draw(image).rectangle((0, 0, width // 2, height // 2), fill=(220, 20, 20))
    return image.convert(mode)


def logo(width: int, height: int, ink: str = "black") -> Image.Image:
    """Return a transparent logo with a frame of `ink`."""
    image = Image.new("RGBA", (width, height))
    edge = max(2, min(width, height) // 8)
    ImageDraw.Draw(image).rectangle((0, 0, width - 1, height - 1), outline=ink, width=edge)
    return image


def turned(image: Image.Image, orientation: int, kind: str = "JPEG", **options: Any) -> bytes:
    """Return a file with an orientation, a camera and a place in its EXIF data."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "SECRETCAMERA"
    exif.get_ifd(0x8825)[2] = (35.0, 39.0, 29.0)
    return encoded(image, kind, exif=exif, comment=b"SECRETCOMMENT", **options)


def chunk(name: bytes, body: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, rows: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """Return a PNG with these sizes in its head, whatever its rows say."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def grey_16(width: int, height: int, value: int) -> bytes:
    """Return a PNG with 16 bits of grey."""
    row = b"\x00" + struct.pack(">H", value) * width
    return png(width, height, row * height, depth=16, colour=0)


def with_steps(image: Image.Image, steps: int) -> bytes:
    """Return a JPEG whose profile has this many steps (`mpet`), each the same matrix of 15 x 15."""

    def matrix(inputs: int, outputs: int) -> bytes:
        numbers = [0.01] * (inputs * outputs + outputs)
        return b"matf" + bytes(4) + struct.pack(f">HH{len(numbers)}f", inputs, outputs, *numbers)

    places, body = [], b""
    for each in (matrix(3, 15), matrix(15, 15), matrix(15, 3)):
        places.append((16 + 8 * (steps + 2) + len(body), len(each)))
        body += each
    order = [places[0], *[places[1]] * steps, places[2]]
    chain = b"mpet" + bytes(4) + struct.pack(">HHI", 3, 3, len(order))
    chain += b"".join(struct.pack(">II", *place) for place in order) + body
    white = struct.pack(">3I", 0xF6D6, 0x10000, 0xD32D)
    tags, at, parts = b"", 132 + 12 * 2, b""
    for name, tag in ((b"wtpt", b"XYZ " + bytes(4) + white), (b"D2B0", chain)):
        tags += name + struct.pack(">II", at + len(parts), len(tag))
        parts += tag
    size = at + len(parts)
    head = struct.pack(">I4xI", size, 0x04300000) + b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28) + white
    return encoded(image, "JPEG", icc_profile=head.ljust(128, b"\0") + struct.pack(">I", 2) + tags + parts)


def with_profile(image: Image.Image) -> bytes:
    """Return a JPEG with the profile of sRGB."""
    return encoded(image, "JPEG", quality=95, icc_profile=srgb())


def srgb() -> bytes:
    """Return the colour profile of sRGB."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def many_scans(count: int) -> bytes:
    """Return a JPEG with more scans than any camera writes."""
    return encoded(photo(400, 300), "JPEG", progressive=True) + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" * count


def scripted(kind: str) -> bytes:
    """Return a picture that is a web page, too."""
    script = b"<html><script>alert(document.domain)</script><svg onload=alert(1)></svg></html>"
    if kind == "PNG":
        whole = encoded(photo(400, 300), "PNG")
        return whole[:33] + chunk(b"tEXt", b"Comment\x00" + script) + whole[33:] + script
    return encoded(photo(400, 300), kind) + script


HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + b"\x00" * 200
AVIF = encoded(photo(64, 64), "AVIF")
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="400" height="400"><script>alert(1)</script></svg>'
