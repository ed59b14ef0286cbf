"""The bundle in the package is what the sources in ``web/`` give, and no more than it may be."""

from __future__ import annotations

import gzip
import itertools
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


def luminance(color: tuple[float, ...]) -> float:
    """Relative luminance of sRGB, as WCAG 2 defines it."""
    shares = [value / 255 for value in color]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return sum(w * value for w, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def best_contrast(*colors: tuple[float, ...]) -> float:
    """The greatest contrast of two neighbors, each laid on what comes before it."""
    lights = [luminance(color) + 0.05 for color in colors]
    return max(max(a, b) / min(a, b) for a, b in itertools.combinations(lights, 2))


def blended(share: float, color: tuple[float, ...], ground: tuple[float, ...]) -> tuple[float, ...]:
    """A color that covers its ground only in part."""
    return tuple(share * a + (1 - share) * b for a, b in zip(color, ground, strict=True))


def hexadecimal(text: str) -> tuple[float, ...]:
    return tuple(bytes.fromhex(text))


def test_marks_stand_out_from_any_ground_and_in_both_themes() -> None:
    """3 : 1, as WCAG 1.4.11 wants it: a mark is a color and the dark line around it."""
    overlay = (WEB / "src/map/overlay.js").read_text()
    style = (WEB / "src/viewer.css").read_text()
    stops = re.search(r"STOPS = (\[\[.*?\]\]);", (WEB / "src/map/level_colors.js").read_text())
    assert stops
    levels = [tuple(stop) for stop in json.loads(stops[1])]
    (casing,) = re.findall(r'CASING = "rgba\((\d+), (\d+), (\d+), ([\d.]+)\)"', overlay)
    *dark, opacity = map(float, casing)
    drawn = {hexadecimal(c) for c in re.findall(r'(?:REGION|TRUTH) = "#(\w{6})"', overlay)}
    drawn |= {hexadecimal(c) for c in re.findall(r'marked \? "#(\w{6})"', overlay)}
    assert len(drawn) == 3
    for color in (*drawn, *levels):
        for gray in range(256):
            ground = (float(gray),) * 3
            edge = blended(opacity, tuple(dark), ground)
            assert best_contrast(ground, edge, color) >= 3, (color, gray)
    panels = {hexadecimal(c) for c in re.findall(r"--(?:paper|panel): #(\w{6})", style)}
    assert len(panels) == 4
    (truth,) = re.findall(r"gf-truth-line .*dotted #(\w{6}); background: #(\w{6})", style)
    (shadow,) = re.findall(r"gf-swatch .*rgb\(0 0 0 / ([\d.]+)\)", style)
    for panel in panels:
        assert best_contrast(panel, *map(hexadecimal, truth)) >= 3
        for color in levels:
            edge = blended(float(shadow), (0.0, 0.0, 0.0), color)
            assert best_contrast(panel, color) >= 3 or best_contrast(panel, edge) >= 3
