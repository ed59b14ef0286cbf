"""Several dates of one place, read on one grid and in one light for one host."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from geofovea._arguments import check_flag
from geofovea.errors import BudgetError, SceneError
from geofovea.pipeline.dates.light import LitSource, ToneMap, match_tones
from geofovea.pipeline.dates.stack import SceneStack
from geofovea.pipeline.dates.stack_tokens import StackTokens
from geofovea.pipeline.dates.unlike import unlike_dates
from geofovea.pipeline.engine.accounting import StageClock
from geofovea.pipeline.engine.tile_tokens import TileTokens
from geofovea.pipeline.focus.factory import FocusFactory
from geofovea.pipeline.hosts.base import Host, SupportsImages
from geofovea.pipeline.hosts.learned.band_reading import refuse_extra_bands
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.aligned_reader import AlignedReader
from geofovea.tiling.files.handles import check_current
from geofovea.tiling.pixels.radiometry import Radiometry
from geofovea.tiling.pixels.radiometry_plan import plan_radiometry
from geofovea.tiling.reader import TilePixels, TileReader
from geofovea.tiling.tile_source import TileSource

__all__ = ["TileSeries"]


class TileSeries:
    """The tiles of several dates, as pixels and as tokens of one host; it answers nothing.

    Attributes:
        stack: The scenes with their dates.
        host: The model.
        pyramid: Of the reference scene.
        reference_reader: Reads the reference scene.
        sources: What reads each date on the grid of the reference, in its light.
        warnings: What a careful reader should know of the dates and of how each is shown.
        focuses: Makes what scores the tokens of the reference for a question.
    """

    def __init__(
        self,
        stack: SceneStack,
        host: Host,
        bands: tuple[int, ...] | None = None,
        *,
        composite: str | None = None,
        band_map: Mapping[str, int] | None = None,
        radiometries: Sequence[Radiometry] | None = None,
        match_light: bool = True,
        open_seconds: float = 0.0,
    ) -> None:
        """Prepare the scenes: plan their radiometry, and bring them into one light.

        Args:
            stack: The scenes with their dates.
            host: The model.
            bands: Which bands to show of each scene, 1-based; None chooses them.
            composite: A named composite instead, such as ``"false-color"``.
            band_map: Which band plays which role in it.
            radiometries: How each scene is shown, where that is settled, in place of these three.
            match_light: Whether the other dates are shown in the light of the reference, so that a
                brighter day is no change; see ``dates.light``.
            open_seconds: What opening the scenes took; the first answer reports it.

        Raises:
            SceneError: If a scene is damaged or lacks such bands.
            ModelError: If more than red, green and blue are asked for.
        """
        started = time.perf_counter()
        scene = stack.reference_scene
        self.stack = stack
        self.host = host.for_scene(scene) if isinstance(host, SupportsImages) else host
        self.pyramid = scene.pyramid(host.tile_size)
        readers = []
        for number, each in enumerate(stack.scenes):
            radiometry = (
                plan_radiometry(each.scene, bands, composite=composite, band_map=band_map)
                if radiometries is None
                else radiometries[number]
            )
            refuse_extra_bands(radiometry, "scenes of several dates")
            pyramid = each.scene.pyramid(host.tile_size)
            readers.append(TileReader(each.scene, pyramid, radiometry))
        self.reference_reader = readers[stack.reference]
        check_flag("match_light", match_light, SceneError)
        self.sources, overviews = self._sources(readers, match_light=match_light)
        self.warnings = (
            *stack.warnings,
            *unlike_dates(readers, overviews, stack.reference),
        )
        self._tiles = tuple(TileTokens(self.host, source) for source in self.sources)
        self.focuses = FocusFactory(self.host, self.reference_reader)
        self._open_seconds = open_seconds + time.perf_counter() - started

    @property
    def reference_tiles(self) -> TileTokens:
        """Tokens of the reference scene."""
        return self._tiles[self.stack.reference]

    def tokens(self, clock: StageClock) -> StackTokens:
        """What one question sees of the dates: nothing yet."""
        for each in self.stack.scenes:
            check_current(each.scene.source)
        clock.add_earlier("open", self._open_seconds)
        self._open_seconds = 0.0
        reference = self.stack.reference
        return StackTokens(self.host, self._tiles, reference, self.pyramid, clock)

    def share_of(self, budget: Budget) -> Budget:
        """What one date gets of a budget.

        Raises:
            BudgetError: If that is not a tile and a token.
        """
        dates = len(self.stack)
        tiles, tokens = budget.tiles // dates, budget.tokens // dates
        if min(tiles, tokens) < 1:
            raise BudgetError(
                f"{dates} dates share the budget, and tiles={budget.tiles}, "
                f"tokens={budget.tokens} do not hold one of each for every date; give at least "
                f"{dates}"
            )
        return replace(budget, tiles=tiles, tokens=tokens)

    def _sources(
        self, readers: Sequence[TileReader], *, match_light: bool
    ) -> tuple[list[TileSource], list[TilePixels]]:
        """What reads each date, and its overview as it is without another light."""
        plain: list[TileSource] = [
            reader
            if each.alignment is None
            else AlignedReader(reader, each.alignment, self.pyramid)
            for each, reader in zip(self.stack.scenes, readers, strict=True)
        ]
        overviews = [source.read(self.pyramid.overview) for source in plain]
        if not match_light:
            return plain, overviews
        light = overviews[self.stack.reference]
        sources = []
        for number, (source, overview) in enumerate(zip(plain, overviews, strict=True)):
            is_reference = number == self.stack.reference
            tones = ToneMap() if is_reference else match_tones(light, overview)
            sources.append(source if tones.is_identity else LitSource(source, tones))
        return sources, overviews
