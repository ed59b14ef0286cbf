"""``geofovea cache``: level files of scenes without overviews, findings, and encoded tiles."""

from __future__ import annotations

import json
import re
import sys
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geofovea._plurals import counted
from geofovea.pipeline.cli.options.grouped import CommandWithExamples
from geofovea.pipeline.cli.options.shared import json_option
from geofovea.pipeline.system.terminal import echo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from geofovea.pipeline.engine.token_store_upkeep import TokenFolder
    from geofovea.tiling.cache.upkeep import CacheEntry

    Clear = Callable[[str | None, float | None], tuple[int, int]]

__all__ = ["cache"]

_WORDS = {
    "levels": "level files",
    "findings": "findings",
    "tokens": "encoded tiles",
    "memory": "keys and values of tiles",
}
_KINDS = tuple(_WORDS)
_SECONDS = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_AGE = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)([mhdw])")
_MOST_NAMES = 5


def _seconds(_ctx: click.Context, _option: click.Parameter, text: str | None) -> float | None:
    """A time span such as ``30d``, in seconds."""
    if text is None:
        return None
    match = _AGE.fullmatch(text)
    if match is None:
        raise click.BadParameter(
            f"{text!r} is not an age; give a number with m, h, d or w, such as 30d"
        )
    return float(match[1]) * _SECONDS[match[2]]


@click.group()
def cache() -> None:
    """List or clear what is kept of scenes on disk."""


@cache.command(
    "list",
    cls=CommandWithExamples,
    examples=[
        "geofovea cache list",
    ],
)
@json_option
def list_command(as_json: bool) -> None:
    """Show what is kept of which scene, largest first."""
    contents = _cache_contents()
    if as_json:
        echo(json.dumps(contents.to_json()))
        return
    _print_levels(contents)
    findings, megabytes = counted(contents.findings, "finding"), contents.findings_bytes / 1e6
    echo(f"{findings} of contrast and borders, {megabytes:.1f} MB")
    _print_tokens(contents)


@dataclass(frozen=True, slots=True)
class _CacheContents:
    """What is on disk, by kind: sizes in bytes, scenes largest first."""

    folder: Path
    levels: Sequence[CacheEntry]
    levels_limit: int
    leftover: int
    findings: int
    findings_bytes: int
    tokens: Sequence[TokenFolder]
    tokens_limit: int

    @property
    def levels_bytes(self) -> int:
        return sum(entry.bytes for entry in self.levels) + self.leftover

    @property
    def tokens_bytes(self) -> int:
        return sum(entry.bytes for entry in self.tokens)

    def to_json(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "bytes": self.levels_bytes,
            "limit_bytes": self.levels_limit,
            "leftover_bytes": self.leftover,
            "tokens_bytes": self.tokens_bytes,
            "tokens_limit_bytes": self.tokens_limit,
            "findings": self.findings,
            "findings_bytes": self.findings_bytes,
            "scenes": [asdict(entry) | {"levels": list(entry.levels)} for entry in self.levels],
            "tokens": [asdict(entry) for entry in self.tokens],
        }


def _cache_contents() -> _CacheContents:
    from geofovea.pipeline.engine.token_store_upkeep import list_tokens, tokens_limit_bytes
    from geofovea.tiling.cache.findings import count_findings
    from geofovea.tiling.cache.folder import cache_limit_bytes, levels_folder
    from geofovea.tiling.cache.upkeep import leftover_bytes, list_cache

    return _CacheContents(
        levels_folder().parent,
        list_cache(),
        cache_limit_bytes(),
        leftover_bytes(),
        *count_findings(),
        list_tokens(),
        tokens_limit_bytes(),
    )


def _print_levels(contents: _CacheContents) -> None:
    for entry in contents.levels:
        levels = f"{entry.levels[0]}-{entry.levels[-1]}"
        facts = f"levels {levels} by {entry.builder}, {entry.state}"
        _print_entry(entry.scene, entry.bytes, facts, entry.used)
    scenes = counted(len(contents.levels), "scene")
    echo(
        f"levels of {scenes}, {contents.levels_bytes / 1e6:.1f} MB of at most "
        f"{contents.levels_limit / 1e9:g} GB in {contents.folder}"
    )
    if contents.leftover:
        echo(f"{contents.leftover / 1e6:.1f} MB of these are of builds under way or given up")


def _print_tokens(contents: _CacheContents) -> None:
    for kept in contents.tokens:
        facts = f"{kept.kind} of {counted(kept.tiles, 'tile')}, encoded by {kept.model}"
        _print_entry(kept.scene, kept.bytes, facts, kept.used)
    echo(
        f"{counted(sum(k.tiles for k in contents.tokens), 'encoded tile')}, "
        f"{contents.tokens_bytes / 1e6:.1f} MB of at most {contents.tokens_limit / 1e9:g} GB"
    )


def _print_entry(scene: str, size_bytes: int, facts: str, used_s: float) -> None:
    """Print what is kept of one scene: its path alone on a line, so that it can be copied whole."""
    echo(scene)
    echo(f"  {size_bytes / 1e6:.1f} MB, {facts}, last used {_day(used_s)}")


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


@cache.command(
    "clear",
    cls=CommandWithExamples,
    examples=[
        "geofovea cache clear --older-than 30d --yes",
    ],
)
@click.argument("scenes", metavar="[SCENE]...", nargs=-1)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(_KINDS),
    help=(
        "Only level files, findings, encoded tiles (tokens), or keys and values of a scene memory; "
        "repeat it for several."
    ),
)
@click.option(
    "--older-than",
    "age",
    metavar="AGE",
    callback=_seconds,
    help="Only what has not been used for this long: 45m, 12h, 30d, 2w.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def clear_command(
    scenes: tuple[str, ...], kinds: tuple[str, ...], age: float | None, yes: bool, as_json: bool
) -> None:
    """Remove what is kept of all or some scenes.

    What is removed is made again when it is needed. Files of other programs stay.
    """
    from geofovea.tiling.cache.folder import levels_folder

    folder = levels_folder().parent
    selection = [kind for kind in _KINDS if kind in (kinds or _KINDS)]
    if not yes:
        _confirm(selection, scenes, age, folder)
    before = None if age is None else time.time() - age
    places: list[str | None] = [str(Path(scene).absolute()) for scene in scenes]
    removed = dict.fromkeys(("scenes", "findings", "tiles"), 0)
    size = 0
    for kind in selection:
        name, clear = _clearing(kind)
        for place in places or [None]:
            count, freed = clear(place, before)
            removed[name] += count
            size += freed
    foreign = _foreign_files(selection)
    if as_json:
        record = {"folder": str(folder), **removed, "bytes": size, "left_alone": foreign}
        echo(json.dumps(record))
        return
    echo(
        f"removed levels of {counted(removed['scenes'], 'scene')}, "
        f"{counted(removed['findings'], 'finding')} and "
        f"{counted(removed['tiles'], 'encoded tile')}, {size / 1e6:.1f} MB from {folder}"
    )
    if foreign:
        names = ", ".join(map(ascii, foreign[:_MOST_NAMES]))
        more = f" and {len(foreign) - _MOST_NAMES} more" if len(foreign) > _MOST_NAMES else ""
        echo(f"left alone, because GeoFovea did not write it: {names}{more}")


def _confirm(kinds: list[str], scenes: tuple[str, ...], age: float | None, folder: Path) -> None:
    """Ask whether this is meant; refuse where nobody can be asked."""
    if not sys.stdin.isatty():
        raise click.UsageError(
            "without a terminal, nothing is removed unasked: pass --yes to remove it; geofovea "
            "cache list shows what there is"
        )
    what = " and ".join(_WORDS[kind] for kind in kinds)
    of = f" of {', '.join(map(ascii, scenes))}" if scenes else " of all scenes"
    old = "" if age is None else f" that were not used for {age / 3600:g} hours"
    click.confirm(f"Remove {what}{of}{old} from {folder}?", abort=True)


def _clearing(kind: str) -> tuple[str, Clear]:
    """What removes things of a kind, and how they are counted."""
    from geofovea.pipeline.engine.token_store_upkeep import clear_tokens
    from geofovea.tiling.cache.findings import clear_findings
    from geofovea.tiling.cache.upkeep import clear_cache

    clearing: dict[str, tuple[str, Clear]] = {
        "levels": ("scenes", clear_cache),
        "findings": ("findings", clear_findings),
        "tokens": ("tiles", partial(clear_tokens, kinds=("tokens",))),
        "memory": ("tiles", partial(clear_tokens, kinds=("memory",))),
    }
    return clearing[kind]


def _foreign_files(kinds: Iterable[str]) -> list[str]:
    """What lies among things of some kinds and was not written here, with their folders."""
    from geofovea.pipeline.engine.token_store_upkeep import strangers_among_tokens
    from geofovea.tiling.cache.findings import strangers_among_findings
    from geofovea.tiling.cache.upkeep import strangers_among_levels

    listings = {
        "levels": strangers_among_levels,
        "findings": strangers_among_findings,
        "tokens": strangers_among_tokens,
    }
    # a memory lies among the encoded tiles
    folders = dict.fromkeys("tokens" if kind == "memory" else kind for kind in kinds)
    return [f"{folder}/{name}" for folder in folders for name in listings[folder]()]
