"""How far the building of level files is."""

from __future__ import annotations

from collections.abc import Callable

from geofovea.tiling.overviews.level_files import LevelFiles, LevelImage
from geofovea.tiling.scene import Scene

__all__ = ["BuildProgress", "Watch"]

Watch = Callable[[float], None]
"""Takes the share that is done, in [0, 1]; may raise to end the build."""


class BuildProgress:
    """How much of the work on one scene is done, counted in pixels that were read."""

    def __init__(self, scene: Scene, files: LevelFiles, watch: Watch) -> None:
        """Take what is built, and who is told."""
        self.scene = scene
        self.files = files
        self.is_compressed = True
        self._watch = watch
        self._done = 0
        self._total = sum(self.pixels_before(image) for image in files.images)

    def pixels_before(self, image: LevelImage) -> int:
        """Pixels of the image that this one is made from."""
        first = self.files.images[0]
        if image is not first:
            finer = self.files.image(image.level - 1)
            return finer.width * finer.height
        if self.files.base_overview is not None:
            width, height = self.scene.overview_sizes[self.files.base_overview]
            return width * height
        return self.scene.width * self.scene.height

    def advance(self, pixels: int) -> None:
        """Count pixels that are done."""
        self._done += pixels
        self._watch(min(1.0, self._done / self._total))

    def show(self, pixels: float) -> None:
        """Pixels that are done of a step which is not finished yet."""
        self._watch(min(1.0, (self._done + pixels) / self._total))
