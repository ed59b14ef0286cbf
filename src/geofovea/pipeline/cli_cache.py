"""``geofovea cache``: level files of scenes without overviews, findings, and encoded tiles."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime

import click

from geofovea.pipeline.terminal import echo

__all__ = ["cache"]

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group()
def cache() -> None:
    """List or clear what is kept of scenes: level files, findings and encoded tiles."""


@cache.command("list")
@_json
def list_command(as_json: bool) -> None:
    """Show what is kept of which scene, largest first."""
    from geofovea.pipeline.token_folder import list_tokens, tokens_limit_bytes
    from geofovea.tiling.cache_folder import cache_folder, cache_limit_bytes
    from geofovea.tiling.cache_upkeep import list_cache
    from geofovea.tiling.findings import count_findings

    entries, limit = list_cache(), cache_limit_bytes()
    kept, tokens_limit = list_tokens(), tokens_limit_bytes()
    findings, findings_bytes = count_findings()
    tokens_total = sum(entry.bytes for entry in kept)
    total = sum(entry.bytes for entry in entries)
    if as_json:
        shown = [asdict(entry) | {"levels": list(entry.levels)} for entry in entries]
        sizes = {"bytes": total, "limit_bytes": limit}
        sizes |= {"tokens_bytes": tokens_total, "tokens_limit_bytes": tokens_limit}
        sizes |= {"findings": findings, "findings_bytes": findings_bytes}
        tokens = [asdict(entry) for entry in kept]
        told = {"folder": str(cache_folder()), **sizes, "scenes": shown, "tokens": tokens}
        echo(json.dumps(told))
        return
    if entries:
        from geofovea.pipeline.tables import print_table

        rows = [
            [
                f"{entry.bytes / 1e6:.1f}",
                f"{entry.levels[0]}-{entry.levels[-1]}",
                entry.builder,
                entry.state,
                _day(entry.used),
                entry.scene,
            ]
            for entry in entries
        ]
        header = ("MB", "levels", "built by", "state", "last used", "scene")
        print_table(header, rows, numbers_from=len(header))
    echo(
        f"{len(entries)} scene(s), {total / 1e6:.1f} MB of at most {limit / 1e9:g} GB in "
        f"{cache_folder()}"
    )
    echo(f"{findings} finding(s) of contrast and borders, {findings_bytes / 1e6:.1f} MB")
    if kept:
        from geofovea.pipeline.tables import print_table

        of_tiles = [
            [f"{k.bytes / 1e6:.1f}", str(k.tiles), _day(k.used), k.model, k.scene] for k in kept
        ]
        columns = ("MB", "tiles", "last used", "encoded by", "scene")
        print_table(columns, of_tiles, numbers_from=len(columns))
    echo(
        f"{sum(k.tiles for k in kept)} encoded tile(s), {tokens_total / 1e6:.1f} MB of at most "
        f"{tokens_limit / 1e9:g} GB"
    )


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


@cache.command("clear")
@_json
def clear_command(as_json: bool) -> None:
    """Remove all that is kept; it is built again when it is needed."""
    from geofovea.pipeline.token_folder import clear_tokens
    from geofovea.tiling.cache_folder import cache_folder
    from geofovea.tiling.cache_upkeep import clear_cache
    from geofovea.tiling.findings import clear_findings

    scenes, level_bytes = clear_cache()
    findings, finding_bytes = clear_findings()
    tiles, token_bytes = clear_tokens()
    size = level_bytes + finding_bytes + token_bytes
    if as_json:
        removed = {"scenes": scenes, "findings": findings, "tiles": tiles, "bytes": size}
        echo(json.dumps({"folder": str(cache_folder()), **removed}))
    else:
        echo(
            f"removed {scenes} scene(s), {findings} finding(s) and {tiles} encoded tile(s), "
            f"{size / 1e6:.1f} MB from {cache_folder()}"
        )
