"""The class of a model in ``transformers`` as its ``config.json`` describes it, without weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.checkpoint import entries
from geofovea.tiling.machine.system_errors import first_line

__all__ = ["meta_model", "stock_config"]

_DTYPE_KEYS = ("dtype", "torch_dtype")


def stock_config(called: str, kind: Any, config: Mapping[str, Any]) -> Any:
    """The configuration of a stock class.

    Args:
        called: What messages call the model.
        kind: Of its configuration.
        config: Its ``config.json``.

    Raises:
        ModelError: If it does not describe one.
    """
    ours = {key: value for key, value in config.items() if key != "quantization_config"}
    for key, value in entries(ours):
        if key in _DTYPE_KEYS and value is not None:
            dtype = getattr(torch, str(value), None)
            if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
                raise ModelError(
                    f"the config.json of {called} has {key} = {value!r}, which is no type that "
                    "weights are computed in; write float32, bfloat16 or float16, or download it "
                    "again"
                )
    try:
        return kind.from_dict(dict(config))
    except Exception as error:  # a file that somebody else wrote may confuse it in any way
        raise _no_model(called, error) from error


def meta_model(called: str, class_name: str, config: Mapping[str, Any]) -> Any:
    """A model of a stock class on a device without memory, which costs nothing at any size.

    Args:
        called: What messages call the model.
        class_name: The class in ``transformers``.
        config: Its ``config.json``.

    Raises:
        ModelError: If that does not describe one.
    """
    import transformers

    make = getattr(transformers, class_name)
    made = stock_config(called, make.config_class, config)
    try:
        with torch.device("meta"):
            return make(made)
    except Exception as error:  # likewise
        raise _no_model(called, error) from error


def _no_model(called: str, error: Exception) -> ModelError:
    return ModelError(
        f"the config.json of {called} does not describe a model ({first_line(error)}); correct it, "
        "or copy or download it again"
    )
