"""The fetch of a Chromium: once, whole, checked by its hash, and never against the setting."""

import base64
import hashlib
import io
import os
import subprocess
import tarfile
from pathlib import Path

import brotli
import pytest

from infra import screenshots
from infra.embedded import browser


def archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, body in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            tar.addfile(entry, io.BytesIO(body))
    return out.getvalue()


def package() -> bytes:
    program = b'#!/bin/sh\necho "$LD_LIBRARY_PATH $*"\n'
    parts = {"al2023": archive({"lib/libnss3.so": b"x"}), "fonts": archive({"fonts/Sans.ttf": b"x"})}
    packed = {f"package/bin/{name}.tar.br": brotli.compress(body) for name, body in parts.items()}
    return archive({"package/bin/chromium.br": brotli.compress(program), **packed})


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without Chromium, whose npm gives the package."""
    place = tmp_path / "chromium" / "chromium"
    monkeypatch.setenv("PATH", "")
    for module in (browser, screenshots):
        monkeypatch.setattr(module, "FETCHED", place)
    monkeypatch.setattr(browser, "_packed", lambda _: package())
    monkeypatch.setattr(browser, "SHA512", base64.b64encode(hashlib.sha512(package()).digest()).decode())
    return place


def test_a_missing_browser_is_fetched_once_and_found(place: Path) -> None:
    said: list[str] = []
    for _ in range(2):
        browser.ensure_chromium("auto", said.append)
    assert len(said) == 1 and "LPSTREAM_CHROMIUM=off" in said[0]
    assert screenshots.find_chromium("auto") == str(place) and screenshots.find_chromium("off") is None
    done = subprocess.run([str(place), "--headless"], capture_output=True, text=True, env={"PATH": os.defpath})
    assert done.stdout == f"{place.parent / 'lib'} --headless\n"


def test_another_hash_leaves_nothing_and_stops_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "SHA512", "other")
    said: list[str] = []
    browser.ensure_chromium("auto", said.append)
    assert "another hash" in said[-1] and "install Debian's package chromium" in said[-1]
    assert not place.parent.exists() and list(place.parent.parent.glob("partial-*")) == []


@pytest.mark.parametrize("setting", ["off", "/usr/bin/my-chromium"])
def test_a_setting_other_than_auto_fetches_nothing(place: Path, setting: str) -> None:
    said: list[str] = []
    browser.ensure_chromium(setting, said.append)
    assert said == [] and not place.exists()


@pytest.mark.parametrize(("value", "sandboxed"), [("0", True), ("1", False)])
def test_a_fetched_browser_starts_where_users_have_no_namespaces(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, sandboxed: bool
) -> None:
    setting = tmp_path / "apparmor_restrict_unprivileged_userns"
    setting.write_text(f"{value}\n")
    monkeypatch.setattr(screenshots, "NO_NAMESPACES", {setting: "1", tmp_path / "missing": "0"})
    monkeypatch.setattr(os, "getuid", lambda: 1_000)
    assert screenshots._sandboxed(str(place)) is sandboxed
    assert screenshots._sandboxed("/usr/bin/chromium"), "Debian's has a setuid helper"
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert not screenshots._sandboxed("/usr/bin/chromium")
