"""Tables in several files: folders of parts, as Spark and Dask write them, and numbered shards."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from geofovea.errors import DataError

__all__ = ["TablePart", "missing_shards", "shards_of", "table_parts"]

_SHARD = re.compile(
    r"(?P<before>.*?)(?P<number>\d+)(?P<of>[-_.]of[-_.])(?P<total>\d+)(?P<after>.*)"
)
_NOTHING = "__HIVE_DEFAULT_PARTITION__"
_UNFINISHED = ("_temporary",)
_OTHER_FORMATS = {"_delta_log": "Delta Lake", "metadata/*.metadata.json": "Iceberg"}


@dataclass(frozen=True, slots=True)
class TablePart:
    """One file of a table.

    Attributes:
        path: The file.
        columns: Columns whose one value stands in the names of its folders (``year=2024``); None
            stands for no value.
    """

    path: Path
    columns: Mapping[str, str | None] = field(default_factory=dict)


def table_parts(table: Path, suffixes: Collection[str]) -> list[TablePart]:
    """The files of a table in their order: the file itself, or those of a folder and below.

    Args:
        table: A file or a folder.
        suffixes: How names of parts end, in lower case.

    Raises:
        DataError: If a folder holds no part or parts of several kinds, was not written to its end,
            is a table of a format of its own, or lacks a part that the names of the others count.
    """
    if not table.is_dir():
        return [TablePart(table)]
    _check_folder(table)
    parts = [path for path in table.rglob("*") if _is_part(path, table, suffixes)]
    kinds = sorted({path.suffix.lower() for path in parts})
    if len(kinds) != 1:
        what = f"parts of several kinds ({', '.join(kinds)})" if kinds else "no part of a table"
        raise DataError(f"the folder {table} holds {what}: give one file, or a folder of one kind")
    parts.sort(key=lambda path: _natural(path.relative_to(table)))
    for path in parts:
        if absent := missing_shards(path):
            raise DataError(
                f"{', '.join(absent)} of {table} {'is' if len(absent) == 1 else 'are'} missing: "
                "the names of the other parts count them; copy or write the table again"
            )
    return [TablePart(path, _columns(path.relative_to(table))) for path in parts]


def _check_folder(table: Path) -> None:
    """Refuse a folder that was not written to its end, or is a table of a format of its own."""
    for name in _UNFINISHED:
        if (table / name).exists():
            raise DataError(f"{table} was not written to its end: it holds {name}; write it again")
    for pattern, title in _OTHER_FORMATS.items():
        if any(table.glob(pattern)):
            raise DataError(
                f"{table} is a table of {title}, whose files alone do not say which rows are "
                "current: export it to one Parquet file"
            )


def shards_of(file: Path) -> list[Path]:
    """The file with its siblings in order, if it is one of ``name-00000-of-00003`` files."""
    numbered = _numbered(file)
    return [path for _, path in sorted(numbered.items())] if numbered else [file]


def missing_shards(file: Path) -> tuple[str, ...]:
    """Names of the shards that should stand beside a file and do not, by what its name counts."""
    numbered, shard = _numbered(file), _SHARD.fullmatch(file.name)
    if not numbered or shard is None:
        return ()
    total = int(shard["total"])
    # most count from 0, some from 1
    first = 1 if total in numbered and 0 not in numbered else 0
    absent = [number for number in range(first, first + total) if number not in numbered]
    width = len(shard["number"])
    suffix = file.suffix
    return tuple(
        f"{shard['before']}{number:0{width}}{shard['of']}{shard['total']}{suffix}"
        for number in absent
    )


def _numbered(file: Path) -> dict[int, Path]:
    """The shards of a file's table beside it, itself included, by number; empty if it is none."""
    shard = _SHARD.fullmatch(file.name)
    # a name such as map-1-of-100000000000 counts nothing that could be listed
    if shard is None or not 0 < int(shard["total"]) <= 100_000:
        return {}
    by_number = {}
    for sibling in file.parent.iterdir():
        other = _SHARD.fullmatch(sibling.name)
        if (
            other is not None
            and sibling.suffix == file.suffix
            and all(other[group] == shard[group] for group in ("before", "of", "total"))
        ):
            by_number[int(other["number"])] = sibling
    return by_number


def _is_part(path: Path, table: Path, suffixes: Collection[str]) -> bool:
    names = path.relative_to(table).parts
    is_hidden = any(name.startswith((".", "_")) for name in names)
    return path.suffix.lower() in suffixes and not is_hidden and path.is_file()


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Numbers in names in the order of numbers: part.2 before part.10."""
    pieces = re.split(r"(\d+)", path.as_posix())
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in pieces if p]


def _columns(path: Path) -> dict[str, str | None]:
    pairs = (name.split("=", 1) for name in path.parts[:-1] if "=" in name)
    return {key: None if value == _NOTHING else unquote(value) for key, value in pairs}
