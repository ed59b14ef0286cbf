"""A trained part as a model folder: the model's own files, with the part beside them."""

from __future__ import annotations

import json
from pathlib import Path

from geofovea.pipeline.hosts.base import SupportsDecoderAccess
from geofovea.pipeline.hosts.fingerprint import weights_hash
from geofovea.pipeline.hosts.learned.card import PartCard
from geofovea.pipeline.hosts.learned.part_files import install_part
from geofovea.pipeline.training.parts.recipe import PartRecipe
from geofovea.pipeline.training.parts.train_part import part_log, trained_tensors

__all__ = ["write_part"]


def write_part(run: Path, recipe: PartRecipe, host: SupportsDecoderAccess, model: Path) -> PartCard:
    """Write the part of a run beside a copy of the model, as ``RUN/model``.

    Args:
        run: Folder of the run.
        recipe: By which it was trained.
        host: The model beside which it was.
        model: Its folder.

    Returns:
        What is known of the part.

    Raises:
        DataError: If the folder holds no state of a part.
        OutputError: If a file cannot be written.
    """
    tensors, settings, steps = trained_tensors(run)
    records = [record["held_out"] for record in part_log(run).read() if "held_out" in record]
    about = {k: v for k, v in recipe.as_json().items() if k not in ("method", "seed", "settings")}
    card = PartCard(
        recipe.method,
        weights_hash(host.weights()),
        json.loads(json.dumps(settings)),
        steps,
        recipe.seed,
        about,
        records[-1] if records else {},
    )
    install_part(model, run / "model", card, tensors)
    return card
