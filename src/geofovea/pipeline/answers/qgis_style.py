"""A style that colors evidence by its attention in QGIS: pale below the average, deep above."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from itertools import pairwise

__all__ = ["qgis_style"]

_HEAD = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
_CLASSES = 5
# from paper to amber to brown: the fill of each class, red, green, blue, opacity
_FILLS = (
    (255, 243, 214, 40), (255, 224, 160, 60), (255, 200, 97, 80), (255, 176, 32, 105),
    (214, 120, 16, 130),
)  # fmt: skip
_LINES = ((150, 140, 120), (170, 145, 95), (190, 140, 60), (200, 120, 20), (130, 65, 5))


def qgis_style(values: Sequence[float | None], column: str = "attention") -> str:
    """A QML document for polygons that a number colors.

    Args:
        values: Of the features; they set the bounds of the classes, which are even on a
            logarithmic scale, for attention at native resolution can be thousands of times the
            average.
        column: What the number is called.
    """
    bounds = _bounds([value for value in values if value and math.isfinite(value)])
    unit = " times the average" if column == "attention" else ""
    root = ET.Element("qgis", version="3.28.0", styleCategories="Symbology")
    renderer = ET.SubElement(
        root,
        "renderer-v2",
        {
            "type": "graduatedSymbol",
            "attr": column,
            "graduatedMethod": "GraduatedColor",
            "symbollevels": "0",
            "enableorderby": "1",
            "forceraster": "0",
        },
    )
    renderer.append(_classes(bounds, unit))
    symbols = ET.SubElement(renderer, "symbols")
    for number, (fill, line) in enumerate(zip(_FILLS, _LINES, strict=True)):
        symbols.append(_symbol(str(number), fill, line))
    order = ET.SubElement(renderer, "orderby")
    # large tiles first, so that the small ones lie on top
    clause = ET.SubElement(order, "orderByClause", asc="0", nullsFirst="1")
    clause.text = '"level"'
    ET.SubElement(root, "layerGeometryType").text = "2"
    ET.indent(root, " ")
    return _HEAD + ET.tostring(root, encoding="unicode")


def _classes(bounds: Sequence[float], unit: str) -> ET.Element:
    """The classes between bounds, each with the symbol of its number."""
    ranges = ET.Element("ranges")
    for number, (low, high) in enumerate(pairwise(bounds)):
        ET.SubElement(
            ranges,
            "range",
            {
                "symbol": str(number),
                "lower": f"{low:.15f}",
                "upper": f"{high:.15f}",
                "label": f"{low:.3g} to {high:.3g}{unit}",
                "render": "true",
            },
        )
    return ranges


def _bounds(values: Sequence[float]) -> list[float]:
    """The bounds of the classes; the first is 0, so that every value has a class."""
    low, high = (min(values), max(values)) if values else (1.0, 1.0)
    high = max(high * (1 + 1e-9), 1e-9)
    low = min(max(low, high / 1e6), high / 2)
    step = (high / low) ** (1 / (_CLASSES - 1))
    return [0.0, *(low * step**n for n in range(_CLASSES - 1)), high]


def _symbol(name: str, fill: tuple[int, int, int, int], line: tuple[int, int, int]) -> ET.Element:
    symbol = ET.Element(
        "symbol", {"name": name, "type": "fill", "alpha": "1", "clip_to_extent": "1"}
    )
    layer = ET.SubElement(
        symbol, "layer", {"class": "SimpleFill", "enabled": "1", "locked": "0", "pass": "0"}
    )
    options = ET.SubElement(layer, "Option", type="Map")
    values = {
        "color": ",".join(map(str, fill)),
        "style": "solid",
        "outline_color": ",".join(map(str, (*line, 255))),
        "outline_style": "solid",
        "outline_width": "0.3",
        "outline_width_unit": "MM",
        "joinstyle": "miter",
    }
    for key, value in values.items():
        ET.SubElement(options, "Option", name=key, type="QString", value=value)
        # as QGIS before 3.26 reads it
        ET.SubElement(layer, "prop", k=key, v=value)
    return symbol
