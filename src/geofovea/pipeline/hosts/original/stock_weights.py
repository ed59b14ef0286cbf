"""The weights that a stock class takes, and whether a conversion has all of them and no other.

The class is made on a device without memory, so that this costs nothing at any size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.families.stock_class import meta_model

__all__ = ["check_weights"]

# files hold one expert each, and releases of transformers join them in their own ways
_EXPERTS = ".experts."


def check_weights(
    config: Mapping[str, Any],
    shapes: Mapping[str, torch.Size],
    source: Path,
    name_in_file: Callable[[str], str] = str,
) -> None:
    """Refuse a conversion in which the stock class would find too little or too much.

    What is missing it would fill with random numbers, and what it does not know it would leave out:
    adapters that were not merged, for one.

    Args:
        config: The ``config.json`` of the conversion.
        shapes: Of all weights that were written, by their names.
        source: What was converted.
        name_in_file: From a name of the class to the one that is written.

    Raises:
        ModelError: If weights are missing, unknown, or of other shapes.
    """
    model = meta_model(str(source), config["architectures"][0], config)
    expected = {
        name_in_file(name): tuple(weight.shape)
        for name, weight in model.state_dict().items()
        if not (config["tie_word_embeddings"] and name.startswith("lm_head."))
    }
    found = {name: tuple(shape) for name, shape in shapes.items()}
    if missing := _alike(expected.keys() - found.keys()):
        raise ModelError(
            f"{source} lacks {len(missing)} weights that the stock class needs, first those that "
            f"become {missing[0]}; copy or download it again"
        )
    head = {name_in_file("lm_head.weight")}
    if spare := _alike(found.keys() - expected.keys() - head):
        raise ModelError(
            f"{source} holds {len(spare)} weights that the stock class has no place for, first "
            f"those that become {spare[0]}: merge adapters with peft's merge_and_unload, and check "
            "the number of layers in config.json; a model with parts of its own cannot be converted"
        )
    for name in sorted(expected.keys() & found.keys()):
        if expected[name] != found[name]:
            raise ModelError(
                f"the weights of {source} that become {name} have the shape {found[name]}, and its "
                f"config.json speaks of {expected[name]}; copy or download both again"
            )


def _alike(names: set[str]) -> list[str]:
    return sorted(name for name in names if _EXPERTS not in name)
