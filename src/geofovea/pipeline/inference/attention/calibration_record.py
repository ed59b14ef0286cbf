"""What is known of a mode of attention that was measured on a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from geofovea.errors import ModelError

__all__ = ["CalibrationRecord"]

_FOCUSES = ("attention", "similarity", "prompted")


@dataclass(frozen=True, slots=True)
class CalibrationRecord:
    """How well a mode pointed, and at whose objects.

    Attributes:
        weights: Digest of the checkpoint's files, 64 hexadecimal digits; see
            ``file_digests.checkpoint_digest``.
        questions: Held-out questions that the accuracy is of.
        accuracy: Share of them whose best token touches the object, in [0, 1].
        interval: Its 95 % interval.
        uncalibrated: The accuracy of the default mode on the same questions.
        best_focus: Which focus pointed best, of those that were measured.

    Raises:
        ModelError: If a value cannot be meant.
    """

    weights: str
    questions: int
    accuracy: float
    interval: tuple[float, float]
    uncalibrated: float
    best_focus: str = "attention"

    def __post_init__(self) -> None:
        fits = {
            "weights": bool(re.fullmatch(r"[0-9a-f]{64}", str(self.weights))),
            "questions": isinstance(self.questions, int) and self.questions > 0,
            "accuracy": _is_share(self.accuracy),
            "interval": isinstance(self.interval, tuple)
            and len(self.interval) == 2
            and all(_is_share(end) for end in self.interval),
            "uncalibrated": _is_share(self.uncalibrated),
            "best_focus": self.best_focus in _FOCUSES,
        }
        for name, does_fit in fits.items():
            if not does_fit:
                raise ModelError(
                    f"{getattr(self, name)!r} cannot be the {name} of a calibration; run geofovea "
                    "calibrate again"
                )

    def to_json(self) -> dict[str, Any]:
        """Its values by name, as ``from_json`` reads them."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: object) -> CalibrationRecord:
        """Read a record that came as JSON.

        Raises:
            ModelError: If it is no object, or has not just these keys, or a value cannot be meant.
        """
        names = {field.name for field in fields(cls)}
        if not isinstance(record, Mapping) or set(record) != names:
            raise ModelError(
                f"a calibration must be an object with {sorted(names)}, got {record!r:.60}; run "
                "geofovea calibrate again"
            )
        values: dict[str, Any] = dict(record)
        if isinstance(values["interval"], list):
            values["interval"] = tuple(values["interval"])
        return cls(**values)


def _is_share(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1
