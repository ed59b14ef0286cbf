"""What all vectors of an index have in common: the encoder, the tiles, how scenes are shown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from geofovea._arguments import is_whole, shown
from geofovea.errors import DataError

__all__ = ["FORMAT", "NUMBER_FORMATS", "IndexSettings", "NumberFormat"]

FORMAT = 1
"""Counts up when the files of an index change their form."""

NumberFormat = Literal["int8", "float16"]
NUMBER_FORMATS: tuple[str, ...] = get_args(NumberFormat)
_LARGEST_DIMENSION = 1 << 14
_LARGEST_TILE = 1 << 13


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """What makes two vectors of one index comparable.

    Attributes:
        encoder: Folder or hub id of the dual encoder.
        fingerprint: Hash of its weights and of how it prepares pictures.
        dimension: Length of a vector.
        tile_size: Side of a tile in level pixels.
        number_format: How a vector is stored.
        bands: Bands that are shown, counted from 1; empty for the usual ones.
        composite: A named composite in their place; empty for none.
        band_map: Bands of its roles.
        nodata: The declared value of missing pixels, or ``auto``; empty for the file's own.

    Raises:
        DataError: If a value is impossible.
    """

    encoder: str
    fingerprint: str
    dimension: int
    tile_size: int
    number_format: NumberFormat = "int8"
    bands: tuple[int, ...] = ()
    composite: str = ""
    band_map: tuple[tuple[str, int], ...] = ()
    nodata: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.dimension <= _LARGEST_DIMENSION:
            raise DataError(f"vectors of {self.dimension} numbers are not possible")
        if not is_whole(self.tile_size, 16, _LARGEST_TILE):
            raise DataError(
                f"tile_size={shown(self.tile_size)} is not possible; choose one from 16 to "
                f"{_LARGEST_TILE}"
            )
        if self.number_format not in NUMBER_FORMATS:
            raise DataError(
                f"number_format={self.number_format!r} is unknown; choose one of "
                f"{', '.join(NUMBER_FORMATS)}"
            )

    def to_record(self) -> dict[str, Any]:
        """As JSON can say it."""
        return asdict(self)

    @property
    def digest(self) -> str:
        """What tells the vectors of this index from those of another: SHA-256, hexadecimal."""
        record = {name: value for name, value in self.to_record().items() if name != "encoder"}
        return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()

    @staticmethod
    def from_record(record: Mapping[str, Any]) -> IndexSettings:
        """What ``to_record`` wrote.

        Raises:
            DataError: If it is something else.
        """
        names = {field.name for field in fields(IndexSettings)}
        texts = ("encoder", "fingerprint", "number_format", "composite", "nodata")
        numbers = ("dimension", "tile_size")
        try:
            if record.keys() != names:
                raise DataError("the settings have other names")
            if not all(isinstance(record[name], str) for name in texts):
                raise DataError("a setting is not text")
            if not all(type(record[name]) is int for name in numbers):
                raise DataError("a setting is not a number")
            return IndexSettings(
                **{name: record[name] for name in (*texts, *numbers)},
                bands=tuple(int(band) for band in record["bands"]),
                band_map=tuple((str(role), int(band)) for role, band in record["band_map"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"the settings cannot be read: {error}") from error

    def differences(self, other: IndexSettings) -> tuple[str, ...]:
        """Names of the settings that another one has differently, besides the encoder."""
        return tuple(
            field.name
            for field in fields(self)
            if field.name not in ("encoder", "fingerprint")
            and getattr(self, field.name) != getattr(other, field.name)
        )
