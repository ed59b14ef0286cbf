"""The file ``geofovea.json`` of a model folder: what ``config.json`` does not say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from geofovea._arguments import is_number
from geofovea.datasets.synthetic.vocabulary import DOMAINS
from geofovea.datasets.tables.text_files import json_of
from geofovea.errors import ModelError
from geofovea.pipeline.hosts.file_digests import checkpoint_digest
from geofovea.pipeline.hosts.learned.card import SETTINGS_FILE, PartCard, cards_from_json
from geofovea.pipeline.hosts.load_options import LONGEST_ANSWER, THINKING
from geofovea.pipeline.inference.attention.calibration_record import CalibrationRecord
from geofovea.pipeline.inference.prompts.presence import PresenceWords
from geofovea.pipeline.inference.vision.pixels import CLIP_MEAN, CLIP_STD, Colors
from geofovea.regionfocus.attention_mode import AttentionMode, default_mode
from geofovea.tiling.machine.paths import is_file, is_folder
from geofovea.tiling.machine.system_errors import reason_of

__all__ = [
    "SETTINGS_FILE",
    "HostSettings",
    "settings_record",
    "user_calibration",
    "with_calibration",
]

# memory is taken for it before anything is known to need it
_LARGEST_TILE = 4096


def settings_record(path: Path) -> dict[str, Any]:
    """What a settings file says, unchecked.

    Raises:
        ModelError: If it is not a JSON object.
    """
    try:
        record = json_of(path)
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{path} is not a JSON object ({reason_of(error)}); correct it, or copy it again"
        ) from error
    if not isinstance(record, dict):
        raise ModelError(
            f"{path} is not a JSON object but {record!r:.40}; correct it, or copy it again"
        )
    return record


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What ``config.json`` does not say about using a model here.

    Attributes:
        template: The prompt; ``{image}`` is where the vision tokens go. None takes the chat
            template of the tokenizer, or else that of the model's family.
        instruction: Added to every question.
        pool: Projected tokens are averaged ``pool × pool``; 1 keeps them as the model was trained.
        focus_layer: Decoder layer whose last-token attention is the focus, as it is. None leaves
            the choice to `focus`, or else to ``attention_mode.default_mode``; a loaded host has
            the last layer of that choice here.
        focus: Which rows of attention are the focus, and how; goes before `focus_layer`.
        calibration: How that was measured; None where somebody chose it, or nobody did.
        domain: ``"general"``, or a name in `DOMAINS` for the worlds that it knows.
        image_mean: Of the red, green and blue that the vision tower expects.
        image_std: Likewise.
        tiles: Default budget of tiles.
        tokens: Default budget of tokens.
        positions: Position policy; None takes the first of the model's family.
        tile_size: Side of a tile in pixels, for models that take any, at most 4096; None takes
            the family's.
        answer_tokens: The longest answer; at most 4096.
        presence_question: How it is asked whether something is there; see ``PresenceWords``.
        presence_answers: What can be answered to that; the last one denies.
        attribute_question: How it is asked for adjectives; None asks for the whole phrase at once.
        thinking: ``"off"`` closes the thought of a model that would think first, ``"room"`` does
            not.
        thought_tokens: The longest thought where there is room for one; at most 4096.
        presence_confusion: Measured errors of detection; see ``PresenceWords``.
        presence_share: Measured share of attention on a place that is there; likewise.
        confidence_temperature: What the log-odds of an answer are divided by, so that it is as sure
            as it is right (Guo et al., On Calibration of Modern Neural Networks, ICML 2017); 1
            leaves them as the model has them.
        parts: What was trained beside the weights, by kind; see ``PartCard``.
    """

    template: str | None = None
    instruction: str = "\nAnswer the question using a single word or phrase."
    pool: int = 1
    focus_layer: int | None = None
    focus: AttentionMode | None = None
    calibration: CalibrationRecord | None = None
    domain: str = "general"
    image_mean: Colors = CLIP_MEAN
    image_std: Colors = CLIP_STD
    tiles: int = 64
    tokens: int = 2376
    positions: str | None = None
    tile_size: int | None = None
    answer_tokens: int = 16
    presence_question: str = PresenceWords().question
    presence_answers: tuple[str, ...] = PresenceWords().answers
    attribute_question: str | None = None
    thinking: str = "off"
    thought_tokens: int = 1024
    presence_confusion: tuple[int, int, int, int] | None = None
    presence_share: float | None = None
    confidence_temperature: float = 1.0
    parts: Mapping[str, PartCard] = field(default_factory=dict)

    def __post_init__(self) -> None:
        template = "{image}{question}" if self.template is None else str(self.template)
        if template.count("{image}") != 1 or "{question}" not in template:
            raise ModelError(
                f"the template {self.template!r} must contain {{image}} once, and {{question}}"
            )
        fits = {
            "instruction": isinstance(self.instruction, str),
            "pool": _is_whole(self.pool, 1),
            "focus_layer": self.focus_layer is None or _is_whole(self.focus_layer, 0),
            "focus": self.focus is None or isinstance(self.focus, AttentionMode),
            "calibration": self.calibration is None or self.focus is not None,
            "domain": self.domain == "general" or self.domain in DOMAINS,
            "image_mean": _are_three_numbers(self.image_mean),
            "image_std": _are_three_numbers(self.image_std) and min(self.image_std) > 0,
            "tiles": _is_whole(self.tiles, 1),
            "tokens": _is_whole(self.tokens, 1),
            "positions": self.positions in (None, "compact", "original", "scene"),
            "tile_size": self.tile_size is None or _is_whole(self.tile_size, 1, _LARGEST_TILE),
            "answer_tokens": _is_whole(self.answer_tokens, 1, LONGEST_ANSWER),
            "thinking": self.thinking in THINKING,
            "thought_tokens": _is_whole(self.thought_tokens, 1, LONGEST_ANSWER),
            "confidence_temperature": is_number(self.confidence_temperature)
            and self.confidence_temperature > 0,
        }
        for name, does_fit in fits.items():
            if not does_fit:
                raise ModelError(
                    f"{getattr(self, name)!r} cannot be the setting {name} of a model; correct it "
                    f"in its {SETTINGS_FILE}, or leave it out"
                )
        # refuses words that cannot be asked
        _ = self.presence

    @property
    def presence(self) -> PresenceWords:
        """How the model is asked whether something is there."""
        return PresenceWords(
            self.presence_question,
            self.presence_answers,
            self.attribute_question,
            self.presence_confusion,
            self.presence_share,
        )

    @classmethod
    def read(
        cls,
        path: Path,
        defaults: HostSettings | None = None,
        *,
        reads_calibration: bool = True,
    ) -> HostSettings:
        """Read a settings file; what it does not say is as in the defaults.

        Args:
            path: Of the file; it need not exist.
            defaults: Other values.
            reads_calibration: Whether the file's calibration is taken, with the mode that it chose.

        Raises:
            ModelError: If it is not a JSON object, or has a key or a value that cannot be meant.
        """
        defaults = defaults or cls()
        if not path.exists():
            return defaults
        names = {f.name for f in fields(cls)}
        record = settings_record(path)
        if unknown := sorted(set(record) - names):
            raise ModelError(f"{path} has unknown keys {unknown}; known are {sorted(names)}")
        if not reads_calibration and "calibration" in record:
            record = {k: v for k, v in record.items() if k not in ("calibration", "focus")}
        try:
            values = {key: _value(key, value) for key, value in record.items()}
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error
        return replace(defaults, **values)

    @property
    def focus_origin(self) -> str:
        """Where the mode comes from: ``calibrated``, ``chosen`` by a person, or ``default``."""
        if self.calibration is not None:
            return "calibrated"
        return "default" if self.focus is None and self.focus_layer is None else "chosen"

    def attention_mode(self, layers: Sequence[int], *, reuses_prefix: bool) -> AttentionMode:
        """The mode of a host with these settings.

        Args:
            layers: Layers of its decoder that see all of a prompt.
            reuses_prefix: See ``attention_mode.default_mode``.
        """
        if self.focus is not None:
            return self.focus
        if self.focus_layer is not None:
            return AttentionMode((self.focus_layer,), correction="raw")
        return default_mode(layers, reuses_prefix=reuses_prefix)


def user_calibration(digest: str) -> Path:
    """Where a user's calibration of a checkpoint stands that is not written beside its weights.

    Args:
        digest: See ``file_digests.checkpoint_digest``.
    """
    # here, because most processes load no model
    from platformdirs import user_config_path

    return user_config_path("geofovea", appauthor=False) / "calibrations" / f"{digest}.json"


def with_calibration(name: str, settings: HostSettings, weights: Sequence[Path]) -> HostSettings:
    """Settings with a calibration of the user's, which goes before that of the model's folder.

    Args:
        name: Of the model.
        settings: What its folder says.
        weights: Files of the weights.

    Raises:
        ModelError: If a calibration is damaged, or of another checkpoint.
    """
    # a folder that may not be entered has none for this user
    if settings.calibration is None and not is_folder(user_calibration("any").parent):
        return settings
    digest = checkpoint_digest(weights)
    if is_file(path := user_calibration(digest)):
        own = HostSettings.read(path)
        settings = replace(settings, focus=own.focus, calibration=own.calibration)
    record = settings.calibration
    if record is not None and record.weights != digest:
        raise ModelError(
            f"the calibration of {name} was measured on weights {record.weights[:12]}, and its "
            f"weights are {digest[:12]}: run geofovea calibrate --model {name}, or take focus and "
            f"calibration out of its {SETTINGS_FILE}"
        )
    return settings


_READERS = {
    "focus": AttentionMode.from_json,
    "calibration": CalibrationRecord.from_json,
    "parts": cards_from_json,
}


def _value(key: str, value: Any) -> Any:
    """The value of a setting, from what JSON has for it."""
    if value is not None and key in _READERS:
        return _READERS[key](value)
    return tuple(value) if isinstance(value, list) else value


def _is_whole(value: object, least: int, most: float = math.inf) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _are_three_numbers(values: object) -> bool:
    is_triple = isinstance(values, tuple) and len(values) == 3
    return is_triple and all(isinstance(v, (int, float)) for v in values)  # type: ignore[attr-defined]
