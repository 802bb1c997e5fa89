"""Uploaded files: what is accepted is encoded anew, and everything else is refused with a reason."""

import io
import time
import zlib
from collections.abc import Callable

import pytest
from picture_files import (
    AVIF,
    HEIC,
    SVG,
    chunk,
    encoded,
    grey_16,
    logo,
    many_scans,
    photo,
    png,
    scripted,
    srgb,
    turned,
    with_profile,
    with_steps,
)
from PIL import Image

from processors.pages.uploads import prepare
from schemas.errors import DecodeError
from schemas.uploads import PictureFile, Upload


def opened(body: bytes) -> tuple[Upload, dict[str, bytes]]:
    upload, files = prepare("t1", body)
    return upload, {file.key: file.body for file in files}


def picture_of(body: bytes) -> Image.Image:
    """Return the largest picture of an upload, as a browser decodes it."""
    upload, files = opened(body)
    return Image.open(io.BytesIO(files[upload.pictures[-1].key]))


def logo_of(body: bytes) -> Image.Image:
    upload, files = opened(body)
    return Image.open(io.BytesIO(files[upload.logo.key]))


def near(pixel: object, wanted: tuple[int, ...], by: int = 40) -> bool:
    assert isinstance(pixel, tuple)
    return all(abs(one - other) <= by for one, other in zip(pixel, wanted, strict=False))


def test_a_picture_has_the_widths_of_a_hero_in_both_formats() -> None:
    upload, files = opened(encoded(photo(), "JPEG"))
    assert [(each.width, each.height, each.suffix) for each in upload.pictures] == [
        (width, round(width * 2 / 3), suffix) for width in (640, 1_080, 1_600) for suffix in ("avif", "webp")
    ]
    assert (upload.width, upload.height) == (1_600, 1_067) and set(files) == keys(upload)
    for each in (*upload.pictures, upload.logo):
        image = Image.open(io.BytesIO(files[each.key]))
        assert (image.size, image.format) == ((each.width, each.height), each.suffix.upper())


def keys(upload: Upload) -> set[str]:
    every: tuple[PictureFile, ...] = (*upload.pictures, upload.logo)
    return {each.key for each in every}


def test_a_small_picture_is_not_enlarged() -> None:
    upload, _ = opened(encoded(photo(900, 600), "PNG"))
    assert [each.width for each in upload.pictures] == [640, 640, 900, 900]


def test_names_hold_the_tenant_and_hashes_and_repeat() -> None:
    body = encoded(photo(400, 300), "PNG")
    upload, files = opened(body)
    assert (upload, files) == opened(body)
    assert all(key.startswith(f"assets/upload-t1-{upload.upload[:32]}-") for key in files)
    assert not set(files) & {file.key for file in prepare("t2", body)[1]}


@pytest.mark.parametrize("profile", [None, srgb()], ids=["plain", "with a profile"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_and_metadata_is_gone(orientation: int, kind: str, profile: bytes | None) -> None:
    body = turned(photo(600, 400), orientation, kind, icc_profile=profile)
    upload, files = opened(body)
    assert (upload.width < upload.height) == (orientation > 4)
    whole = b"".join(files.values())
    assert b"SECRET" not in whole and b"Exif" not in whole and b"EXIF" not in whole
    red = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}[orientation]
    image = picture_of(body).convert("RGB")
    assert "icc_profile" not in image.info
    place = tuple(round((0.2, 0.8)[at] * side) for at, side in zip(red, image.size, strict=True))
    assert near(image.getpixel(place), (220, 20, 20))


def test_a_colour_profile_is_applied_and_not_kept() -> None:
    image = picture_of(with_profile(photo(600, 400)))
    assert "icc_profile" not in image.info and near(image.convert("RGB").getpixel((60, 60)), (220, 20, 20))


def test_a_broken_colour_profile_is_left_out() -> None:
    body = encoded(photo(600, 400), "JPEG", icc_profile=b"\x00" * 60_000)
    assert near(picture_of(body).convert("RGB").getpixel((60, 60)), (220, 20, 20))


def test_a_colour_profile_of_many_steps_is_left_out() -> None:
    began = time.process_time()
    assert near(picture_of(with_steps(photo(600, 400), 1_000)).convert("RGB").getpixel((60, 60)), (220, 20, 20))
    assert time.process_time() - began < 10


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_a_picture_that_is_a_web_page_too_loses_the_web_page(kind: str) -> None:
    _, files = opened(scripted(kind))
    assert not any(word in body for body in files.values() for word in (b"<script", b"<svg", b"<html"))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_becomes_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (200, 100), colour) for colour in ("red", "lime", "blue")]
    image = picture_of(encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=100))
    assert getattr(image, "n_frames", 1) == 1 and near(image.convert("RGB").getpixel((99, 50)), (255, 0, 0))


def test_cmyk_becomes_rgb() -> None:
    image = picture_of(encoded(photo(600, 400, "CMYK"), "JPEG"))
    assert image.mode == "RGB" and near(image.getpixel((60, 60)), (220, 20, 20))


@pytest.mark.parametrize(("value", "grey"), [(0, 0), (0x4000, 64), (0x8000, 128), (0xFFFF, 255)])
def test_sixteen_bits_of_grey_keep_their_brightness(value: int, grey: int) -> None:
    assert near(picture_of(grey_16(100, 80, value)).convert("RGB").getpixel((50, 40)), (grey,) * 3, by=3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_mode_of_a_png_is_accepted(mode: str) -> None:
    assert picture_of(encoded(photo(400, 300, mode), "PNG")).size == (400, 300)


def test_a_palette_with_transparency_stays_transparent() -> None:
    image = logo(200, 100).quantize(8)
    kept = logo_of(encoded(image, "PNG")).convert("RGBA")
    assert kept.getpixel((100, 50))[3] == 0 and kept.getpixel((1, 1))[3] == 255  # type: ignore[index]


@pytest.mark.parametrize(
    ("body", "ground"),
    [
        (encoded(logo(200, 100, "black"), "PNG"), "light"),
        (encoded(logo(200, 100, "white"), "PNG"), "dark"),
        (encoded(logo(200, 100, "#ffe9a0"), "WEBP", lossless=True), "dark"),
        (encoded(photo(200, 100), "PNG"), "none"),
        (encoded(photo(200, 100, "RGBA"), "PNG"), "none"),
        (encoded(Image.new("RGBA", (200, 100)), "PNG"), "light"),
    ],
)
def test_a_transparent_logo_names_the_ground_it_needs(body: bytes, ground: str) -> None:
    assert opened(body)[0].ground == ground


@pytest.mark.parametrize("size", [(2_000, 200), (200, 2_000), (480, 160), (40, 40)])
def test_a_logo_fits_the_header(size: tuple[int, int]) -> None:
    small = logo_of(encoded(logo(*size), "PNG"))
    assert small.width <= 480 and small.height <= 160
    assert abs(small.width / small.height - size[0] / size[1]) < 0.1 * size[0] / size[1]


JPEG = encoded(photo(400, 300), "JPEG")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "is not a JPEG, PNG, WebP or GIF"),
        (b"\xff\xd8\xff", "damaged"),
        (SVG, "is not a JPEG, PNG, WebP or GIF"),
        (b"<?xml version='1.0'?>" + SVG, "is not a JPEG, PNG, WebP or GIF"),
        (b"%PDF-1.7 ...", "is not a JPEG, PNG, WebP or GIF"),
        (b"BM" + b"\x00" * 100, "is not a JPEG, PNG, WebP or GIF"),
        (encoded(photo(64, 64), "TIFF"), "is not a JPEG, PNG, WebP or GIF"),
        (HEIC, "is HEIC, which is not accepted; save it as JPEG"),
        (AVIF, "is AVIF, which is not accepted"),
        (encoded(photo(1, 1), "PNG"), "is 1 x 1 pixels; each side needs at least 32"),
        (png(100_000, 1, b"\x00" * 1_000), "is 100000 x 1 pixels; each side needs at least 32"),
        (png(16_001, 40, b""), "no side may have over 16,000"),
        (png(60_000, 60_000, b""), "has too many pixels; give at most 16 megapixels"),
        (png(5_000, 5_000, b"\x00" * 75_005_000), "at most 16 megapixels"),
        (encoded(Image.new("L", (6_000, 5_000)), "JPEG"), "at most 25 megapixels"),
        (encoded(photo(400, 39), "PNG"), "at most 10 times"),
        (JPEG[: len(JPEG) // 2], "damaged or incomplete JPEG"),
        (encoded(photo(400, 300), "PNG")[:-40], "damaged or incomplete PNG"),
        (png(400, 300, b"\x00" * 100), "damaged or incomplete PNG"),
        (encoded(photo(400, 300), "WEBP")[:-200], "damaged or incomplete WEBP"),
        (many_scans(200), "has over 100 scans"),
        (JPEG[:2] + (b"\xff\xe1\x00\x0aExif\x00\x00II" * 200_000) + JPEG[2:], "has over 1,000 parts of metadata"),
    ],
    ids=range(22),
)
def test_other_files_are_refused_with_a_reason(body: bytes, words: str) -> None:
    began = time.process_time()
    with pytest.raises(DecodeError) as refused:
        prepare("t1", body)
    assert refused.value.field == "file" and words in str(refused.value), str(refused.value)
    assert time.process_time() - began < 10


def test_a_bomb_of_text_or_of_a_profile_is_refused() -> None:
    whole, bomb = encoded(photo(400, 300), "PNG"), zlib.compress(b"\x00" * 200_000_000, 9)
    for name, body in {b"zTXt": b"x\x00\x00" + bomb, b"iCCP": b"x\x00\x00" + bomb}.items():
        began = time.process_time()
        try:
            prepare("t1", whole[:33] + chunk(name, body) + whole[33:])
        except DecodeError as error:
            assert "damaged" in str(error)
        assert time.process_time() - began < 10


def every_cut(body: bytes) -> list[bytes]:
    return [body[: len(body) * part // 40] for part in range(40)]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_no_cut_or_changed_byte_raises_anything_else(kind: str) -> None:
    body = encoded(photo(80, 60), kind)
    changed: list[Callable[[int], bytes]] = [
        lambda at: body[:at] + b"\xff" + body[at + 1 :],
        lambda at: body[:at] + b"\x00" * 4 + body[at + 4 :],
    ]
    bodies = every_cut(body) + [change(at) for change in changed for at in range(0, len(body), max(1, len(body) // 60))]
    for each in bodies:
        try:
            prepare("t1", each)
        except DecodeError as error:
            assert error.field == "file"
