"""Chooses the bands to show: as asked, by a named composite, by the file, or as a guess.

Nothing here reads a pixel. Whatever is chosen comes with its reason, and a guess with a warning.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

from geofovea._arguments import is_whole, shown
from geofovea.errors import SceneError
from geofovea.tiling.files.gdal_settings import gdal_settings
from geofovea.tiling.files.handles import open_dataset, read_errors
from geofovea.tiling.pixels.composites import ROLES, Composite, composite_named
from geofovea.tiling.scene import Scene

__all__ = [
    "BandChoice",
    "BandRoles",
    "band_descriptions",
    "band_numbers",
    "choose_bands",
    "find_roles",
]

_RGB = ("red", "green", "blue")

# The words that writers put into band descriptions, alone or before a bracket or comma.
_WORDS = {
    "coastal": "coastal", "coastal aerosol": "coastal",
    "blue": "blue", "green": "green", "red": "red",
    "rededge": "rededge", "red edge": "rededge", "red edge 1": "rededge", "re1": "rededge",
    "nir": "nir", "nir1": "nir", "near infrared": "nir", "near infra red": "nir",
    "swir1": "swir1", "swir 1": "swir1", "swir16": "swir1",
    "swir2": "swir2", "swir 2": "swir2", "swir22": "swir2",
}  # fmt: skip
_SENTINEL2 = {
    "1": "coastal", "2": "blue", "3": "green", "4": "red", "5": "rededge", "8": "nir",
    "11": "swir1", "12": "swir2",
}  # fmt: skip
_LANDSAT8 = {
    "1": "coastal", "2": "blue", "3": "green", "4": "red", "5": "nir", "6": "swir1", "7": "swir2",
}  # fmt: skip
_NUMBERED = re.compile(r"(?P<sr>sr_)?b(?:and[ _]?)?0?(?P<number>\d{1,2})(?P<a>a?)", re.IGNORECASE)
_COLORS = {"red": "red", "green": "green", "blue": "blue", "nir": "nir", "rededge": "rededge",
           "coastal": "coastal"}  # fmt: skip
_NANOMETERS_FROM = 50.0


@dataclass(frozen=True, slots=True)
class BandRoles:
    """Which band plays which role in one file.

    Attributes:
        bands: Band index, counted from 1, of each role that was found.
        origin: What the roles were read from, in plain words.
        guessed: The roles that are guesses, because the file does not state them.
        warning: Why those guesses may be wrong.
    """

    bands: Mapping[str, int]
    origin: str = ""
    guessed: frozenset[str] = frozenset()
    warning: str = ""


@dataclass(frozen=True, slots=True)
class BandChoice:
    """The bands to show, and why.

    Attributes:
        bands: One band (gray), three (red, green, blue), or the two of an index.
        reason: Why these bands, in plain words.
        composite: The named composite, if one was asked for.
        warnings: What a reader of the results should know; a guess is one.
    """

    bands: tuple[int, ...]
    reason: str
    composite: Composite | None = None
    warnings: tuple[str, ...] = ()

    @property
    def composite_name(self) -> str | None:
        """Name of the composite, or None."""
        return None if self.composite is None else self.composite.name


def choose_bands(
    scene: Scene,
    bands: tuple[int, ...] | None = None,
    composite: str | None = None,
    band_map: Mapping[str, int] | None = None,
) -> BandChoice:
    """Choose the bands of a scene; reads no pixels.

    Args:
        scene: What to show.
        bands: One or three band indexes, counted from 1.
        composite: A name of ``COMPOSITES``, instead of ``bands``.
        band_map: Which band plays which role, for a composite; what it leaves out is looked up in
            the file. Alone it means the true colors, as far as it names them.

    Returns:
        By default the red, green and blue bands by their color interpretation, else the first
        three (with a warning), else the first.

    Raises:
        SceneError: If a band or a role does not exist, a role has no band, or both bands and a
            composite are given.
        SceneReadError: If the file cannot be opened.
    """
    if bands is not None and (composite is not None or band_map is not None):
        raise SceneError("give bands= or composite= with band_map=, not both")
    if bands is not None:
        return _bands_as_asked(scene, bands)
    if composite is not None or band_map is not None:
        return _compose(
            scene,
            composite_named("true-color" if composite is None else composite),
            {} if band_map is None else band_map,
        )
    return _bands_by_default(scene)


def _bands_as_asked(scene: Scene, bands: tuple[int, ...]) -> BandChoice:
    chosen = band_numbers(bands, scene.count)
    if chosen is None:
        raise SceneError(
            f"bands={shown(bands)} cannot be shown; give one or three numbers from 1 to "
            f"{scene.count}, such as bands=(1,)"
        )
    return BandChoice(chosen, f"bands {_listed(chosen)} as asked")


def band_numbers(bands: object, most: int = sys.maxsize) -> tuple[int, ...] | None:
    """One or three bands that can be shown; None where something else was given.

    Args:
        bands: Numbers from 1; a text has none, and a single number is not a list.
        most: The greatest of them, where it is known how many bands there are.
    """
    given = tuple(bands) if isinstance(bands, Iterable) and not isinstance(bands, str) else ()
    if len(given) not in (1, 3) or not all(is_whole(band, 1, most) for band in given):
        return None
    return tuple(int(band) for band in given)


def _bands_by_default(scene: Scene) -> BandChoice:
    names = scene.colorinterp
    if set(_RGB) <= set(names):
        rgb = tuple(names.index(name) + 1 for name in _RGB)
        return BandChoice(rgb, "red, green and blue by color interpretation")
    color_bands = [band for band, name in enumerate(names, start=1) if name != "alpha"]
    is_palette = bool(color_bands) and names[color_bands[0] - 1] == "palette"
    if len(color_bands) >= 3 and not is_palette:
        return _rgb_or_first_three(scene, tuple(color_bands[:3]))
    first = color_bands[0] if color_bands else 1
    return BandChoice((first,), f"band {first}" if is_palette else f"band {first} as gray")


def _rgb_or_first_three(scene: Scene, first: tuple[int, ...]) -> BandChoice:
    roles = find_roles(scene)
    if set(_RGB) <= set(roles.bands):
        rgb = tuple(roles.bands[role] for role in _RGB)
        reason = f"red, green and blue are bands {_listed(rgb)} by {roles.origin}"
        if not roles.guessed & set(_RGB):
            return BandChoice(rgb, reason)
        if rgb != first:
            return BandChoice(rgb, reason, warnings=(roles.warning,))
    warning = (
        f"the file does not say which bands are red, green and blue; bands {_listed(first)} are a "
        "guess (choose with bands=)"
    )
    return BandChoice(first, f"the first three bands {_listed(first)}", warnings=(warning,))


def find_roles(scene: Scene) -> BandRoles:
    """Which band of a scene plays which role, by the best evidence in the file.

    In this order: central wavelengths (GDAL's IMAGERY metadata, or ENVI's ``wavelength``), color
    interpretation, words in band descriptions. Where all are silent, as guesses: the band numbers
    of Sentinel-2 or Landsat in descriptions, or red, green, blue, near infrared for four bands.

    Raises:
        SceneReadError: If the file cannot be opened.
    """
    # a handle of one image shows no descriptions
    with gdal_settings(), read_errors(scene.source), open_dataset(scene.source) as dataset:
        waves = {b: wave for b in range(1, scene.count + 1) if (wave := _wavelength_um(dataset, b))}
        descriptions = _descriptions(dataset)
    by_wave = _roles_by_wavelength(waves)
    by_color = _firsts((_COLORS.get(name), b) for b, name in enumerate(scene.colorinterp, 1))
    by_word = _firsts((_word(text), b) for b, text in enumerate(descriptions, 1))
    sources = {
        "wavelength metadata": by_wave,
        "color interpretation": by_color,
        "band descriptions": by_word,
    }
    certain = BandRoles(
        by_word | by_color | by_wave, " and ".join(name for name, bands in sources.items() if bands)
    )
    if not certain.bands and (numbered := _by_number(descriptions)):
        return numbered
    return _with_fourth(scene, certain)


def band_descriptions(scene: Scene) -> tuple[str, ...]:
    """What the file calls each band, from the first to the last; empty for a band without a name.

    Raises:
        SceneReadError: If the file cannot be opened.
    """
    with gdal_settings(), read_errors(scene.source), open_dataset(scene.source) as dataset:
        return tuple(_descriptions(dataset))


def _descriptions(dataset: Any) -> list[str]:
    return [(text or "").strip() for text in dataset.descriptions]


def _roles_by_wavelength(waves: Mapping[int, float]) -> dict[str, int]:
    """The band of each role whose central wavelength, in micrometers, is nearest to the role's."""
    by_role = {}
    for role in ROLES.values():
        within = [band for band, wave in waves.items() if role.low_um <= wave < role.high_um]
        if within:
            by_role[role.name] = min(within, key=lambda band: abs(waves[band] - role.center_um))
    return by_role


def _compose(scene: Scene, composite: Composite, band_map: Mapping[str, int]) -> BandChoice:
    """The bands that play the roles of a composite: those that the map names, else found ones."""
    _check_band_map(scene, band_map)
    mapped = set(composite.roles) & set(band_map)
    looked_up = set(composite.roles) - mapped
    roles = find_roles(scene) if looked_up else BandRoles({})
    band_of_role = {**roles.bands, **band_map}
    missing = [role for role in composite.roles if role not in band_of_role]
    if missing:
        found = ", ".join(f"{role}={band}" for role, band in sorted(band_of_role.items()))
        example = "{" + ", ".join(f"{role!r}: N" for role in missing) + "}"
        raise SceneError(
            f"{composite.name} needs the band of {' and '.join(missing)}, and the file does not "
            f"say which it is (found: {found or 'none'}); name it, for example with "
            f"band_map={example}"
        )
    bands = tuple(band_of_role[role] for role in composite.roles)
    origins = ("the given band map" if mapped else "", roles.origin if looked_up else "")
    origin = " and ".join(filter(None, origins))
    plays = ", ".join(f"{role}={b}" for role, b in zip(composite.roles, bands, strict=True))
    return BandChoice(
        bands,
        f"{composite.name} ({composite.shows}) with {plays} by {origin}",
        composite,
        (roles.warning,) if looked_up & roles.guessed else (),
    )


def _check_band_map(scene: Scene, band_map: Mapping[str, int]) -> None:
    given: object = band_map
    if not isinstance(given, Mapping):
        raise SceneError(
            f"band_map={shown(given)} is not a band map; give a dictionary such as "
            "{'red': 3, 'nir': 4}"
        )
    for role, band in band_map.items():
        if role not in ROLES or not is_whole(band, 1, scene.count):
            raise SceneError(
                f"{role}={shown(band)} is not an entry of a band map; roles are {', '.join(ROLES)} "
                f"and bands go from 1 to {scene.count}"
            )


def _wavelength_um(dataset: Any, band: int) -> float | None:
    imagery = dataset.tags(band, ns="IMAGERY").get("CENTRAL_WAVELENGTH_UM")
    if imagery is not None:
        return _number(imagery)
    tags = {key.lower(): value for key, value in dataset.tags(band).items()}
    wave = _number(tags.get("wavelength", ""))
    if wave is None:
        return None
    units = tags.get("wavelength_units", "").lower()
    # a file without units cannot mean 400 micrometers, nor 0.4 nanometers
    is_nanometers = units.startswith("nano") or units == "nm"
    is_unclear = not units or units == "unknown"
    return wave / 1000 if is_nanometers or (is_unclear and wave > _NANOMETERS_FROM) else wave


def _number(text: str) -> float | None:
    try:
        number = float(text.split()[0])
    except (ValueError, IndexError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _firsts(pairs: Iterator[tuple[str | None, int]]) -> dict[str, int]:
    firsts: dict[str, int] = {}
    for role, band in pairs:
        if role is not None:
            firsts.setdefault(role, band)
    return firsts


def _word(description: str) -> str | None:
    plain = re.split(r"[(\[,;:]", description.lower())[0]
    plain = " ".join(re.sub(r"[-_]", " ", plain).split())
    return _WORDS.get(plain)


def _by_number(descriptions: list[str]) -> BandRoles | None:
    """Read ``B04``, ``B8A``, ``SR_B5`` as the numbering of a sensor; a guess, as none is named."""
    matches = [_NUMBERED.match(text) for text in descriptions]
    numbers = {m["number"] + m["a"].lower(): b for b, m in enumerate(matches, 1) if m}
    if not numbers:
        return None
    is_landsat = any(m["sr"] for m in matches if m)
    table = _LANDSAT8 if is_landsat else _SENTINEL2
    bands = {role: numbers[number] for number, role in table.items() if number in numbers}
    if not is_landsat and "nir" not in bands and "8a" in numbers:
        bands["nir"] = numbers["8a"]
    sensor = "Landsat 8" if is_landsat else "Sentinel-2"
    texts = shorten(", ".join(text for text in descriptions if text), 80, placeholder=" …")
    return BandRoles(
        bands,
        f"the band numbers of {sensor}",
        frozenset(bands),
        f"the band descriptions ({texts}) were read as the numbers of {sensor}, which is a guess "
        "(choose with bands= or band_map=)",
    )


def _with_fourth(scene: Scene, certain: BandRoles) -> BandRoles:
    """Add the usual near infrared of four-band pictures, as a guess with a warning."""
    names = scene.colorinterp
    if len(names) != 4 or names[3] != "undefined":
        return certain
    if set(certain.bands) == set(_RGB) and 4 not in certain.bands.values():
        return BandRoles(
            {**certain.bands, "nir": 4},
            f"{certain.origin}, and band 4 as near infrared",
            frozenset({"nir"}),
            "the file does not say what band 4 is; near infrared is a guess (choose with "
            "band_map=)",
        )
    if not certain.bands and set(names) <= {"undefined", "gray"}:
        usual = {"red": 1, "green": 2, "blue": 3, "nir": 4}
        return BandRoles(
            usual,
            "the usual order of four bands",
            frozenset(usual),
            "the file does not say which band is which; red, green, blue, near infrared is a guess "
            "(choose with bands= or band_map=)",
        )
    return certain


def _listed(bands: tuple[int, ...]) -> str:
    return ", ".join(map(str, bands))
