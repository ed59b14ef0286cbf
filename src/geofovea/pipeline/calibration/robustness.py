"""``geofovea bench focus``: how well each mode points under planted sinks and trends."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geofovea.errors import DataError
from geofovea.pipeline.calibration.calibrate import (
    Calibration,
    CalibrationBudget,
    calibrate,
    calibration_samples,
)
from geofovea.pipeline.calibration.candidates import mode_hits
from geofovea.pipeline.calibration.idle_layers import write_with_idle_layers
from geofovea.pipeline.calibration.planting import Planting
from geofovea.pipeline.calibration.pointing import (
    LookReader,
    LookRows,
    mean_interval,
    pointing_looks,
)
from geofovea.pipeline.hosts.load import embedded_model_path, load_host
from geofovea.pipeline.system.files import make_folder, write_text
from geofovea.pipeline.system.tables import markdown_table
from geofovea.pipeline.training.focus_samples import FocusSamples, WorldSamples
from geofovea.regionfocus.attention_mode import (
    CORRECTIONS,
    MOST_HALVINGS,
    NEUTRAL_QUESTIONS,
    WORDINGS,
    AttentionMode,
    reworded_in,
)
from geofovea.regionfocus.token_halves import halvings_of, joined_halves, split_half
from geofovea.regionfocus.tokens import TokenSet

__all__ = [
    "FocusBenchRow",
    "bench_samples",
    "calibrate_planted",
    "find_planted_layers",
    "measure_plantings",
    "modes_of",
    "plantings_of",
    "write_focus_bench",
]

_SEED = 610_000_000
_GOOD_LAYER = 2
"""The layer of the embedded model that was taught to point."""


@dataclass(frozen=True, slots=True)
class FocusBenchRow:
    """How well one mode points under one planting.

    Attributes:
        kind: Of the planting.
        share: See ``Planting``.
        mode: Name of the mode.
        hits: 1 or 0 for each question, by look.
    """

    kind: str
    share: float
    mode: str
    hits: tuple[tuple[int, ...], ...]

    @property
    def accuracy(self) -> tuple[float, float, float]:
        """Share of the questions whose best token touches the object, with its 95 % interval."""
        return mean_interval(self.hits)


def bench_samples(host: Any) -> FocusSamples:
    """Looks at synthetic worlds that neither training nor a calibration shows."""
    return WorldSamples(host, seed=_SEED, questions=8, sides=(4096, 8192, 16384))


def plantings_of(kinds: Sequence[str], shares: Sequence[float], depth: int = 4) -> list[Planting]:
    """Each kind with each share; no share is planted once, for it is the same for all kinds.

    Args:
        kinds: Some of ``PLANTINGS``.
        shares: See ``Planting``.
        depth: Layers of the decoder; upper ones begin in the middle.

    Raises:
        DataError: If there is no such kind, or a share is out of its range.
    """
    plantings = [
        Planting(kind, share, upper_from=depth // 2) for kind in kinds for share in shares if share
    ]
    nothing = [Planting(kind, 0.0) for kind in kinds[:1] if 0 in shares]
    return [*nothing, *plantings]


def modes_of(host: Any) -> dict[str, AttentionMode]:
    """The modes that are compared: that of the host, and each correction of the same rows.

    Raises:
        ModelError: If the host exposes no attention.
    """
    LookReader(host, most_tokens=0)
    own: AttentionMode = host.attention_mode
    default: AttentionMode = host.default_attention_mode
    modes = {"own": own, "default": default}
    if default.early:
        modes["default, no early layer"] = replace(default, early=())
    for count in range(1, MOST_HALVINGS + 1):
        modes[f"default, halved {count} x"] = replace(default, halvings=count)
    if default.early:
        modes[f"default, halved {MOST_HALVINGS} x, no early layer"] = replace(
            default, early=(), halvings=MOST_HALVINGS
        )
    for correction in CORRECTIONS:
        modes[correction] = replace(own, correction=correction, neutral=NEUTRAL_QUESTIONS)
    modes["relative, one neutral"] = replace(
        own, correction="relative", neutral=NEUTRAL_QUESTIONS[-1:]
    )
    modes["relative, median"] = replace(modes["relative"], pooling="median")
    if host.reuses_prefix:
        modes["relative, reworded"] = replace(modes["relative"], wordings=WORDINGS)
    return modes


def measure_plantings(
    host: Any,
    modes: Mapping[str, AttentionMode],
    plantings: Sequence[Planting],
    samples: FocusSamples,
    looks: Sequence[int],
    on_progress: Callable[[float], None] = lambda _: None,
) -> list[FocusBenchRow]:
    """Point under each planting with each mode; the questions are the same for all.

    The host reads every look once. What is planted goes into these rows, those of the neutral
    questions included, and the code that scores tokens does the rest.

    Args:
        host: A host with ``SupportsAttentionMode``.
        modes: By name.
        plantings: What is planted.
        samples: What is looked at.
        looks: Numbers of the samples.
        on_progress: Takes the share that is done.

    Raises:
        DataError: If no look singles an object out.
    """
    reader = LookReader(host, most_tokens=sys.maxsize)
    looks_rows = [reader.read(look) for look in pointing_looks(samples, looks)]
    if not looks_rows:
        raise DataError("no look singles an object out: take more looks")
    rows = []
    for number, planting in enumerate(plantings, 1):
        hits = [mode_hits(_planted(each, planting), modes) for each in looks_rows]
        for name in modes:
            of_mode = tuple(tuple(each[name]) for each in hits)
            rows.append(FocusBenchRow(planting.kind, planting.share, name, of_mode))
        on_progress(number / len(plantings))
    return rows


def _planted(look_rows: LookRows, planting: Planting) -> LookRows:
    """What a look's prompts would attend to with what is planted."""
    tokens, questions = look_rows.look.tokens, look_rows.look.questions
    layers = tuple(range(look_rows.neutral.shape[1]))

    def plant(
        rows: Iterable[Tensor], prompts: Sequence[str], among: TokenSet = tokens
    ) -> list[Tensor]:
        pairs = zip(rows, prompts, strict=True)
        return [planting(row, prompt, among, layers) for row, prompt in pairs]

    rows = tuple(plant(look_rows.rows, questions))
    prompts = [reworded_in(WORDINGS, question) for question in questions]
    reworded = tuple(
        torch.stack(plant(each, texts)) if len(each) else each
        for each, texts in zip(look_rows.reworded, prompts, strict=True)
    )
    neutral = torch.stack(plant(look_rows.neutral, NEUTRAL_QUESTIONS))
    ways = halvings_of(tokens)
    halved = tuple(
        torch.stack(
            [
                joined_halves(
                    [
                        plant([split_half(row, half)], [question], tokens.select(half))[0]
                        for half in way
                    ],
                    way,
                )
                for row, way in zip(readings, ways, strict=True)
            ]
        )
        if ways
        else torch.stack([planted] * len(readings))
        for readings, planted, question in zip(look_rows.halved, rows, questions, strict=True)
    )
    return replace(look_rows, rows=rows, reworded=reworded, neutral=neutral, halved=halved)


def calibrate_planted(
    host: Any, plantings: Sequence[Planting], folder: Path, looks: int
) -> list[tuple[Planting, Calibration]]:
    """Calibrate a host under each planting, which goes into all that the calibration reads.

    Args:
        host: A host with ``SupportsAttentionMode``.
        plantings: What is planted.
        folder: For the journals, from which the same call resumes.
        looks: Of each part of a calibration.

    Raises:
        BudgetError: If there are fewer than two looks.
        DataError: If the folder holds another calibration.
    """
    samples = _EncodedOnce(calibration_samples(host))
    results = []
    for planting in plantings:
        place = make_folder(folder / f"{planting.kind} {planting.share:g}".replace(" ", "_"))
        planted = host.with_attention(host.attention_mode, planting)
        settings = {"model": host.name, "planted": asdict(planting)}
        budget = CalibrationBudget(looks=looks, tokens=sys.maxsize)
        results.append((planting, calibrate(planted, place, budget, settings, samples=samples)))
    return results


def find_planted_layers(
    folder: Path, seeds: Sequence[int], depth: int = 9, looks: int = 2
) -> list[tuple[int, tuple[int, ...]]]:
    """Calibrate checkpoints with one layer that points among idle ones.

    Args:
        folder: For the checkpoints and journals.
        seeds: Of the checkpoints.
        depth: Layers of each.
        looks: Of each part of a calibration.

    Returns:
        For each seed the layer that points, and the layers of the mode that was chosen.
    """
    results = []
    source = embedded_model_path()
    samples: FocusSamples | None = None
    for seed in seeds:
        place = _GOOD_LAYER + seed % (depth - 3)
        toy = folder / f"toy_{seed}"
        write_with_idle_layers(
            source, toy, good_layer=_GOOD_LAYER, place=place, depth=depth, seed=seed
        )
        host = load_host(str(toy), "cpu")
        budget = CalibrationBudget(looks=looks)
        # all have the vision tower of the source
        samples = samples or _EncodedOnce(calibration_samples(host))
        result = calibrate(host, toy, budget, {"seed": seed}, samples=samples)
        results.append((place, result.mode.layers))
    return results


class _EncodedOnce:
    """Samples that are kept, for checkpoints that would encode them alike."""

    def __init__(self, samples: FocusSamples) -> None:
        self.name, self.held_out = samples.name, samples.held_out
        self.sample = cache(samples.sample)


def write_focus_bench(
    folder: Path,
    rows: Sequence[FocusBenchRow],
    planted: Sequence[tuple[int, tuple[int, ...]]],
    calibrated: Sequence[tuple[Planting, Calibration]] = (),
) -> str:
    """Write ``focus.json`` and ``focus.md`` into a folder; returns the Markdown.

    Args:
        folder: To fill.
        rows: From `measure_plantings`.
        planted: From `find_planted_layers`.
        calibrated: From `calibrate_planted`.

    Raises:
        OutputError: If a file cannot be written.
    """
    make_folder(folder)
    parts = [_planted_table(rows)]
    if planted:
        among = sum(place in layers for place, layers in planted)
        alone = sum(layers == (place,) for place, layers in planted)
        parts.append(
            f"The planted layer is among those chosen in {among} of {len(planted)} hosts, and the "
            f"only one in {alone}.\n"
        )
    if calibrated:
        parts.append(_calibrated_table(calibrated))
    # a line right behind a table would be a row of it
    text = "\n\n".join(part.rstrip("\n") for part in parts) + "\n"
    record = {
        "rows": [
            {"kind": r.kind, "share": r.share, "mode": r.mode, "accuracy": r.accuracy} for r in rows
        ],
        "planted": planted,
        "calibrated": [
            {
                "kind": planting.kind,
                "share": planting.share,
                "uncalibrated": result.uncalibrated,
                "accuracy": result.accuracy(),
                "chosen": result.chosen,
                "mode": result.mode.to_json(),
            }
            for planting, result in calibrated
        ],
    }
    write_text(folder / "focus.json", json.dumps(record, indent=1))
    write_text(folder / "focus.md", text)
    return text


def _planted_table(rows: Sequence[FocusBenchRow]) -> str:
    names = list(dict.fromkeys(row.mode for row in rows))
    by_planting: dict[tuple[str, float], dict[str, FocusBenchRow]] = {}
    for row in rows:
        by_planting.setdefault((row.kind, row.share), {})[row.mode] = row
    cells = [
        [*_planted_cells(kind, share), *(_cell(of_mode[name].accuracy) for name in names)]
        for (kind, share), of_mode in by_planting.items()
    ]
    count = sum(map(len, rows[0].hits)) if rows else 0
    return f"Pointing accuracy [95 % interval] of {count} questions.\n\n" + markdown_table(
        ["planted", "share", *names], cells
    )


def _calibrated_table(calibrated: Sequence[tuple[Planting, Calibration]]) -> str:
    cells = [
        [
            *_planted_cells(planting.kind, planting.share),
            _cell(result.uncalibrated),
            _cell(result.accuracy()),
            f"{result.chosen}; layers {', '.join(map(str, result.mode.layers))}",
        ]
        for planting, result in calibrated
    ]
    count = calibrated[0][1].questions
    return f"Calibrated under what is planted, {count} held-out questions.\n\n" + markdown_table(
        ["planted", "share", "uncalibrated", "calibrated", "chosen"], cells
    )


def _planted_cells(kind: str, share: float) -> list[str]:
    return [kind if share else "nothing", f"{share:g}"]


def _cell(interval: tuple[float, float, float]) -> str:
    accuracy, low, high = interval
    return f"{accuracy:.2f} [{low:.2f}, {high:.2f}]"
