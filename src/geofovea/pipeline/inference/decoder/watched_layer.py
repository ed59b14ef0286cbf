"""What the two sublayers of a decoder layer do, shown to a reduction while the layer runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from geofovea.pipeline.system.model_lock import ThisThread
from geofovea.regionfocus.reductions.decoder.base import (
    DecoderReduction,
    DecoderView,
    Sublayer,
)

__all__ = ["watched"]


@contextmanager
def watched(layer: Any, view: DecoderView, reduction: DecoderReduction | None) -> Iterator[None]:
    """Show a reduction what the two sublayers of a layer do, while this thread runs the layer.

    Args:
        layer: A decoder layer of ``transformers``.
        view: The sequence before the layer; see `DecoderReduction.watch`.
        reduction: None watches nothing.
    """
    if reduction is None:
        yield
        return

    thread = ThisThread()

    def show(sublayer: Sublayer) -> Any:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            if not thread.is_here:
                return
            before = args[0] if args else kwargs["hidden_states"]
            after = output[0] if isinstance(output, tuple) else output
            reduction.watch(view, sublayer, before[0], after[0])

        return hook

    hooks = [
        layer.self_attn.register_forward_hook(show("attention"), with_kwargs=True),
        layer.mlp.register_forward_hook(show("feed_forward"), with_kwargs=True),
    ]
    try:
        yield
    finally:
        for handle in hooks:
            handle.remove()
