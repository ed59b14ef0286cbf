"""The bundle in the package is what the sources in ``web/`` give, and no more than it may be."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from browser_toys import WEB, missing

from geofovea.pipeline import viewer

STATIC = Path(str(viewer.__file__)).parent / "static"
FILES = ("LICENSES.txt", "icon.svg", "index.html", "viewer.css", "viewer.js")


def installed_packages() -> dict[str, str]:
    """Versions below ``web/node_modules`` by path, as npm wrote them down."""
    path = WEB / "node_modules/.package-lock.json"
    if shutil.which("node") is None or not path.is_file():
        missing("the tools of the page are not installed: make web installs them")
    packages = json.loads(path.read_text())["packages"]
    return {name: package["version"] for name, package in packages.items()}


def test_the_sources_give_the_bundle_byte_for_byte(tmp_path: Path) -> None:
    locked = json.loads((WEB / "package-lock.json").read_text())["packages"]
    for name, version in installed_packages().items():
        assert locked[name]["version"] == version, f"{name}: run make web"
    subprocess.run(["node", "build.mjs", str(tmp_path)], cwd=WEB, check=True, timeout=120)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)
    for name in FILES:
        built = (tmp_path / name).read_bytes()
        assert built == (STATIC / name).read_bytes(), f"{name} is out of date: run make web"


def test_the_bundle_is_small() -> None:
    contents = [(STATIC / name).read_bytes() for name in FILES]
    assert sum(map(len, contents)) <= 600_000
    assert sum(len(gzip.compress(content, mtime=0)) for content in contents) <= 180_000


def test_the_license_of_every_part_is_shipped() -> None:
    text = (STATIC / "LICENSES.txt").read_text()
    names = re.findall(r"^(\S+) \d+\.\d+\.\d+ \((\S+)\)$", text, re.MULTILINE)
    assert dict(names) == {"ol": "BSD-2-Clause", "quickselect": "ISC", "rbush": "MIT"}
    # each brings its text: ISC and MIT demand the notice of copyright as well
    assert len(re.findall(r"^Copyright|^.*\(c\)", text, re.MULTILINE | re.IGNORECASE)) >= 3


def test_the_lock_names_no_addresses() -> None:
    locked = json.loads((WEB / "package-lock.json").read_text())["packages"]
    assert not any("resolved" in package for package in locked.values())
    assert all("integrity" in package for name, package in locked.items() if name)


@pytest.mark.parametrize("name", ["viewer.js", "viewer.css", "index.html"])
def test_the_page_loads_nothing_from_elsewhere(name: str) -> None:
    text = (STATIC / name).read_text()
    pattern = r"""(?:src|href)=["']?(?:https?:)?//|url\(["']?https?:|@import"""
    loads = re.findall(pattern, text)
    assert loads == []
