"""A host whose decoder can be entered: what a region focus module is made from and learns by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.inference.decoder.inputs import DecoderInput
from geofovea.pipeline.inference.decoder.support import can_run_layers
from geofovea.regionfocus.tokens import TokenSet

__all__ = ["OpenDecoder", "depth_of", "opened", "weights_hash"]

_MOST_VALUES = 1 << 26
"""Above this, a hash reads as many values, spread evenly over each weight."""


@runtime_checkable
class OpenDecoder(Protocol):
    """A host with a decoder of stock layers, see ``row_attention`` for which.

    Attributes:
        decoder: The text model: ``layers``, ``rotary_emb`` and ``config``.
        focus_layer: The layer whose last-prompt-token attention is the host's own focus.
    """

    @property
    def decoder(self) -> Any:
        """See above."""
        ...

    @property
    def focus_layer(self) -> int:
        """See above."""
        ...

    def decoder_input(self, question: str, tokens: TokenSet) -> DecoderInput:
        """The embedded prompt; positions are 0 … s − 1."""
        ...

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """All that was learnt, by name: what makes two hosts the same."""
        ...


def opened(host: object) -> OpenDecoder:
    """The host, if a region focus module can be made from it.

    Raises:
        ModelError: If it exposes no attention, or layers that do more than those of a LLaMA.
    """
    capabilities = getattr(host, "capabilities", None)
    if not isinstance(host, OpenDecoder) or not getattr(capabilities, "attention", False):
        raise ModelError(
            f"{getattr(host, 'name', host)} exposes no attention to learn from; choose a host that "
            "does, such as a LLaVA folder or 'embedded'"
        )
    if not can_run_layers(host.decoder):
        raise ModelError(
            f"the layers of a {host.decoder.config.model_type!r} decoder cannot be run one by one, "
            "as a region focus module does; choose another host, or focus='attention'"
        )
    return host


def depth_of(host: OpenDecoder) -> int:
    """Number of decoder layers."""
    return len(host.decoder.layers)


def weights_hash(host: OpenDecoder) -> str:
    """SHA-256 over names, shapes and values of a host's weights, hexadecimal.

    Values count as bfloat16, so that a host keeps its hash whatever precision it is loaded in. Of
    hosts above 67 M weights that many values are read, spread evenly.
    """
    digest = hashlib.sha256()
    # earlier releases of transformers have one more part in the names of a CLIP tower
    named = sorted((n.replace(".vision_model.", "."), value) for n, value in host.weights())
    step = -(-sum(value.numel() for _, value in named) // _MOST_VALUES)
    for name, value in named:
        digest.update(f"{name} {tuple(value.shape)};".encode())
        some = value.detach().reshape(-1)[:: max(1, step)].to("cpu", torch.bfloat16)
        digest.update(some.contiguous().view(torch.int16).numpy().tobytes())
    return digest.hexdigest()
