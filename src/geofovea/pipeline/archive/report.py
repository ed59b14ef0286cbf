"""What a run over an archive did, scene by scene and as a whole."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["IndexReport", "SceneReport"]


@dataclass(frozen=True, slots=True)
class SceneReport:
    """One scene.

    Attributes:
        name: As it stands in the index.
        tiles_read: Tiles that this run read.
        share_done: Share of its tiles that the index holds now, in [0, 1].
        megapixels: Native size.
        was_replaced: Whether vectors of other content under its name were removed.
        tiles_damaged: Tiles whose vectors could not be read, and which were read again.
        levels: The levels that the index is to hold of it, finest first; empty if it failed before.
        error: Why it is not whole; empty if nothing failed.
    """

    name: str
    tiles_read: int = 0
    share_done: float = 0.0
    megapixels: float = 0.0
    was_replaced: bool = False
    tiles_damaged: int = 0
    levels: tuple[int, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class IndexReport:
    """All of them.

    Attributes:
        folder: Of the index.
        encoder: That made the vectors.
        scenes: In the order in which they were read; scenes that the budget left out are missing.
        scenes_left: How many the budget left out.
        stopped: The limit that ended the run: ``tiles``, ``seconds``, ``megabytes``; or empty.
        tiles_read: Tiles that this run read.
        seconds: What it took.
        size_bytes: Of the whole index on disk now.
        indexed_gigapixels: Native size of what the whole index holds, whole scenes or parts.
        records_removed: Damaged records that were removed with their vectors, because they are of
            none of the scenes of this run.
    """

    folder: str
    encoder: str
    scenes: tuple[SceneReport, ...]
    scenes_left: int
    stopped: str
    tiles_read: int
    seconds: float
    size_bytes: int
    indexed_gigapixels: float
    records_removed: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether every scene is in the index with all its tiles."""
        return not self.scenes_left and all(scene.share_done >= 1 for scene in self.scenes)

    @property
    def failures(self) -> tuple[SceneReport, ...]:
        """Scenes that could not be read."""
        return tuple(scene for scene in self.scenes if scene.error)

    @property
    def megabytes_per_gigapixel(self) -> float | None:
        """Size on disk for each 10^9 native pixels; None for an empty index."""
        pixels = self.indexed_gigapixels
        return self.size_bytes / 1e6 / pixels if pixels else None

    def to_dict(self) -> dict[str, Any]:
        """As JSON can say it."""
        more = {
            "is_whole": self.is_whole,
            "megabytes_per_gigapixel": self.megabytes_per_gigapixel,
        }
        return asdict(self) | more
