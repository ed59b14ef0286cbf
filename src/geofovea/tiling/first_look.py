"""One cheap look at the overview of a scene, which shows whether it is damaged or empty."""

from __future__ import annotations

from collections.abc import Mapping

from geofovea.errors import SceneReadError
from geofovea.tiling.pixels.radiometry_plan import plan_radiometry
from geofovea.tiling.plan import plan_tile
from geofovea.tiling.pyramid import Pyramid, Tile
from geofovea.tiling.reader import TileReader
from geofovea.tiling.scene import Scene

__all__ = ["first_look"]


def first_look(
    scene: Scene,
    pyramid: Pyramid,
    bands: tuple[int, ...] | None = None,
    *,
    composite: str | None = None,
    band_map: Mapping[str, int] | None = None,
) -> str:
    """What is wrong with the overview of a scene; empty if nothing is.

    Only a file of this machine is looked at, and only if the overview decodes few pixels and needs
    no level file. The coarsest overview is written last, so a file that was cut short mostly fails
    there.

    Args:
        scene: The scene.
        pyramid: Its pyramid.
        bands: As in ``plan_radiometry``, and likewise the following.
        composite: A named composite.
        band_map: Which band plays which role in it.

    Raises:
        SceneError: If the scene has no such bands.
    """
    overview = Tile(pyramid.top_level, 0, 0)
    plan = plan_tile(scene, pyramid, overview)
    if scene.source.stamp is None or not plan.is_cheap or plan.level_file is not None:
        return ""
    try:
        radiometry = plan_radiometry(scene, bands, composite=composite, band_map=band_map)
        shows_data = TileReader(scene, pyramid, radiometry).read(overview).valid.any()
    except SceneReadError as error:
        return f"the overview cannot be read, so no question can be answered: {error}"
    if shows_data:
        return ""
    return (
        "no pixel of the overview is valid: a question finds nothing to look at; check the nodata "
        "value and the mask"
    )
