"""A watcher that keeps what it hears."""

from __future__ import annotations

from typing import Any

from geofovea.pipeline.engine.watching import Watcher


class Listener(Watcher):
    """Keeps what it hears, in order."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def preparing(self, share):
        self.heard.append(("preparing", share))

    def looking(self, tiles):
        self.heard.append(("looking", tiles))

    def seen(self, tiles, tokens):
        self.heard.append(("seen", tiles, tokens))

    def scored(self, level, boxes_scene, scores):
        self.heard.append(("scored", level, boxes_scene, scores))

    def reading(self, tiles, tokens):
        self.heard.append(("reading", tiles, tokens))

    def of(self, kind):
        return [each for each in self.heard if each[0] == kind]
