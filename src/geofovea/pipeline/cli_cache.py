"""``geofovea cache``: the level files that were built for scenes without overviews."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime

import click

__all__ = ["cache"]

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group()
def cache() -> None:
    """List or clear the level files that were built for scenes without overviews."""


@cache.command("list")
@_json
def list_command(as_json: bool) -> None:
    """Show what is kept of which scene, largest first."""
    from geofovea.tiling.cache_folder import cache_folder, cache_limit_bytes
    from geofovea.tiling.cache_upkeep import list_cache

    entries, limit = list_cache(), cache_limit_bytes()
    total = sum(entry.bytes for entry in entries)
    if as_json:
        shown = [asdict(entry) | {"levels": list(entry.levels)} for entry in entries]
        sizes = {"bytes": total, "limit_bytes": limit}
        click.echo(json.dumps({"folder": str(cache_folder()), **sizes, "scenes": shown}))
        return
    if entries:
        from geofovea.pipeline.tables import print_table

        rows = [
            [
                f"{entry.bytes / 1e6:.1f}",
                f"{entry.levels[0]}-{entry.levels[-1]}",
                entry.builder,
                entry.state,
                datetime.fromtimestamp(entry.used).strftime("%Y-%m-%d %H:%M"),
                entry.scene,
            ]
            for entry in entries
        ]
        header = ("MB", "levels", "built by", "state", "last used", "scene")
        print_table(header, rows, numbers_from=len(header))
    click.echo(
        f"{len(entries)} scene(s), {total / 1e6:.1f} MB of at most {limit / 1e9:g} GB in "
        f"{cache_folder()}"
    )


@cache.command("clear")
@_json
def clear_command(as_json: bool) -> None:
    """Remove all that is kept; it is built again when it is needed."""
    from geofovea.tiling.cache_folder import cache_folder
    from geofovea.tiling.cache_upkeep import clear_cache

    scenes, size = clear_cache()
    if as_json:
        click.echo(json.dumps({"folder": str(cache_folder()), "scenes": scenes, "bytes": size}))
    else:
        click.echo(f"removed {scenes} scene(s), {size / 1e6:.1f} MB from {cache_folder()}")
