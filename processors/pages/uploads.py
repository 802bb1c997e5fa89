"""Uploaded files: checked, decoded and encoded anew. Nothing of a file but its pixels reaches a page.

The bytes decide on the format, never the media type. Size and work are bounded before a pixel is decoded.
"""

import hashlib
import io
import warnings
from collections.abc import Iterator

from PIL import Image, ImageCms, ImageOps, ImageStat

from processors.pages.curated import ROLES, Asset
from schemas.errors import DecodeError
from schemas.uploads import PictureFile, Suffix, Upload

# a JPEG can be decoded at half of its size; other formats take eight bytes of memory a pixel
MOST_PIXELS = {"JPEG": 25_000_000, "PNG": 16_000_000, "WEBP": 16_000_000, "GIF": 16_000_000}
LEAST_SIDE, MOST_SIDE, MOST_RATIO = 32, 16_000, 10
LONGEST_SIDE = max(ROLES["hero"].widths)
LOGO = (480, 160)
QUALITY = {"avif": 58, "webp": 76}
MEGA = 1_000_000
# A progressive JPEG has about ten scans. Each scan may cost a pass over the whole picture, in a few bytes of the file.
SCAN, MOST_SCANS = b"\xff\xda", 100
# Pillow joins the parts of EXIF data one by one, in a time that grows with the square of their number.
METADATA, MOST_METADATA = b"\xff\xe1", 1_000
# A profile may be a chain of any number of steps, in eight bytes of the file each, and each may cost a second.
STEPS = b"mpet"
BEGINNINGS = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"GIF87a": "GIF", b"GIF89a": "GIF"}
BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC", b"msf1": "HEIC"}
CLEAR, LIGHT = 128, 160


def _wrong(detail: str) -> DecodeError:
    return DecodeError("file", detail)


def format_of(body: bytes) -> str:
    """Return the format of a file by its first bytes; raise DecodeError if uploads may not have it."""
    for beginning, name in BEGINNINGS.items():
        if body.startswith(beginning):
            return name
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        return "WEBP"
    if body[4:8] == b"ftyp":
        name = BRANDS.get(body[8:12], "a video, HEIC or AVIF")
        raise _wrong(f"is {name}, which is not accepted; save it as JPEG or PNG and upload that")
    raise _wrong("is not a JPEG, PNG, WebP or GIF picture; save it as one of these and upload that")


def prepare(tenant_id: str, body: bytes) -> tuple[Upload, list[Asset]]:
    """Return the upload of these bytes and its files; raise DecodeError if they are no picture for pages.

    Orientation and colour profile are applied. Metadata, further frames and everything behind the picture are left
    out.
    """
    image = _decoded(body)
    upload_id = hashlib.sha256(body).hexdigest()
    files: list[Asset] = []

    def store(role: str, picture: Image.Image, suffix: Suffix) -> PictureFile:
        asset = _named(tenant_id, upload_id, role, suffix, _encoded(picture, suffix, lossless=role == "logo"))
        files.append(asset)
        return PictureFile(key=asset.key, suffix=suffix, width=picture.width, height=picture.height)

    pictures = [store("picture", each, suffix) for each in _widths(image) for suffix in ("avif", "webp")]
    small = image.copy()
    small.thumbnail(LOGO, Image.Resampling.LANCZOS)
    logo = store("logo", small, "webp")
    upload = Upload(
        upload=upload_id,
        width=image.width,
        height=image.height,
        pictures=tuple(pictures),
        logo=logo,
        ground=_ground(small),
    )
    return upload, files


def files_prefix(tenant_id: str, upload_id: str = "") -> str:
    """Return the beginning of the keys of a tenant's files, or of an upload's files."""
    return f"assets/upload-{tenant_id}-" + (f"{upload_id[:32]}-" if upload_id else "")


def _named(tenant_id: str, upload_id: str, role: str, suffix: Suffix, body: bytes) -> Asset:
    """Return the file under its own hash, so that browsers may keep it for ever."""
    plain = Asset.of(body, suffix)
    name = plain.key.removeprefix("assets/")
    return Asset(f"{files_prefix(tenant_id, upload_id)}{role}-{name}", plain.body, plain.content_type)


def _decoded(body: bytes) -> Image.Image:
    """Return the first frame in sRGB, upright, with no side over LONGEST_SIDE, without any metadata.

    A large JPEG is decoded at half of its size or less (`draft`), which saves time and memory.
    """
    name = format_of(body)
    if name == "JPEG" and body.count(SCAN) > MOST_SCANS:
        raise _wrong(f"has over {MOST_SCANS} scans; save it again as an ordinary JPEG")
    if name == "JPEG" and body.count(METADATA) > MOST_METADATA:
        raise _wrong(f"has over {MOST_METADATA:,} parts of metadata; save it again without them")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = Image.open(io.BytesIO(body), formats=[name])
            _check_size(*file.size, MOST_PIXELS[name])
            scale = 1.5 * LONGEST_SIDE / max(file.size)
            file.draft(None, (round(file.width * scale), round(file.height * scale)))
            image = _in_srgb(_upright(_small(file)))  # the change of colours drops the orientation
    except DecodeError:
        raise
    except Image.DecompressionBombError as error:
        raise _wrong(f"has too many pixels; give at most {MOST_PIXELS[name] // MEGA} megapixels") from error
    except Exception as error:  # Pillow's decoders raise errors of many kinds for hostile bytes
        raise _wrong(f"is a damaged or incomplete {name} picture; save it again and upload that") from error
    return Image.frombytes(image.mode, image.size, image.tobytes())


def _check_size(width: int, height: int, most_pixels: int) -> None:
    """Raise DecodeError for sizes that cannot be shown, or whose pixels would need too much memory."""
    shown = f"is {width} x {height} pixels"
    if min(width, height) < LEAST_SIDE:
        raise _wrong(f"{shown}; each side needs at least {LEAST_SIDE}")
    if max(width, height) > MOST_SIDE:
        raise _wrong(f"{shown}; no side may have over {MOST_SIDE:,}")
    if width * height > most_pixels:
        raise _wrong(f"{shown}; at most {most_pixels // MEGA} megapixels are accepted: make it smaller")
    if max(width, height) > MOST_RATIO * min(width, height):
        raise _wrong(f"{shown}; one side may be at most {MOST_RATIO} times as long as the other")


def _small(image: Image.Image) -> Image.Image:
    """Return the picture in a mode that can be scaled, scaled down."""
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow's own conversion would clip
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    elif image.has_transparency_data:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
    elif image.mode not in ("RGB", "L", "CMYK"):
        image = image.convert("RGB")
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS, reducing_gap=None)
    return image


def _in_srgb(image: Image.Image) -> Image.Image:
    """Return the picture in sRGB, by its colour profile if that is usable and has no steps."""
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    profile = image.info.get("icc_profile")
    if profile and STEPS not in profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            changed = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode)
        except (ImageCms.PyCMSError, OSError, ValueError):
            changed = None
        if changed is not None:
            return changed
    return image.convert(mode)


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 - damaged metadata: the picture is shown as it is stored
        return image


def _widths(image: Image.Image) -> Iterator[Image.Image]:
    """Yield the picture in the widths of a hero that it has, and in its own width."""
    for width in ROLES["hero"].widths:
        if width < image.width:
            yield image.resize((width, max(1, round(image.height * width / image.width))), Image.Resampling.LANCZOS)
    yield image


def _encoded(image: Image.Image, suffix: Suffix, *, lossless: bool) -> bytes:
    target = io.BytesIO()
    if lossless:
        image.save(target, "WEBP", lossless=True, method=4)
    else:
        image.save(target, suffix.upper(), quality=QUALITY[suffix], speed=8, method=4)
    return target.getvalue()


def _ground(logo: Image.Image) -> str:
    """Return the ground on which a logo is seen: `none` if it brings its own."""
    if logo.mode != "RGBA":
        return "none"
    seen = logo.getchannel("A").point([0] * CLEAR + [255] * CLEAR)
    if seen.getextrema()[0]:
        return "none"
    return "dark" if seen.getbbox() and ImageStat.Stat(logo.convert("L"), seen).mean[0] > LIGHT else "light"
