"""A region focus module that was made from a host: copies of some of its decoder layers.

Of the last layer only queries and keys are kept: it ranks. What a module was made from is written
beside its weights, and it is refused by any other host: it reads that host's tokens.

Source: the RFM of LRS-VQA, "When Large Vision-Language Model Meets Large Remote Sensing Imagery".
`geofovea.regionfocus.rfm.module` is the form in which published weights come; here the
layers are those of the host's own classes, so that any family with open attention has a module.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from geofovea.datasets.tables.text_files import json_of
from geofovea.errors import ModelError
from geofovea.pipeline.hosts.base import SupportsDecoderAccess, SupportsFocusModules
from geofovea.pipeline.hosts.fingerprint import weights_hash
from geofovea.pipeline.inference.attention.support import can_copy_layers
from geofovea.pipeline.inference.decoder.inputs import DecoderInput
from geofovea.pipeline.inference.decoder.shared_prefix import PromptPack, layer_rows, pack_prompts
from geofovea.pipeline.system.files import make_folder, write_text
from geofovea.pipeline.system.tensor_files import write_tensors

__all__ = [
    "FOCUS_FILE",
    "FOCUS_WEIGHTS_FILE",
    "DistilledFocus",
    "FocusCard",
    "attach_focus",
    "decoder_depth",
    "default_layers",
    "load_focus",
    "read_card",
    "save_focus",
    "with_decoder_access",
]

FOCUS_FILE = "region_focus.json"
FOCUS_WEIGHTS_FILE = "region_focus.safetensors"


@dataclass(frozen=True, slots=True)
class FocusCard:
    """What a module was made from, and what it costs.

    Attributes:
        base_model: How the host was named.
        host_hash: See ``weights_hash``.
        layers: The host's decoder layers that its own were copied from.
        host_layers: Decoder layers of the host.
        host_focus_layer: Where the host's own focus reads its attention.
        steps: Of the distillation.
        recipe: Everything else that decided it, for the record.
    """

    base_model: str
    host_hash: str
    layers: tuple[int, ...]
    host_layers: int
    host_focus_layer: int
    steps: int
    recipe: dict[str, Any]

    def __post_init__(self) -> None:
        fits = {
            "base_model": isinstance(self.base_model, str),
            "host_hash": isinstance(self.host_hash, str) and len(self.host_hash) == 64,
            "layers": _are_layers(self.layers, self.host_layers),
            "host_focus_layer": isinstance(self.host_focus_layer, int),
            "steps": isinstance(self.steps, int) and self.steps >= 0,
            "recipe": isinstance(self.recipe, dict),
        }
        for name, does_fit in fits.items():
            if not does_fit:
                raise ModelError(
                    f"{getattr(self, name)!r} cannot be the {name} of a region focus module of a "
                    f"host with {self.host_layers} layers"
                )

    @property
    def cost(self) -> str:
        """Layers run for a focus, beside those of the host; a row is a layer's queries and keys."""
        return (
            f"{len(self.layers) - 1} whole decoder layers and one row, where the host's own focus "
            f"runs {self.host_focus_layer} and one row, and an answer all {self.host_layers}"
        )


def _are_layers(layers: object, depth: object) -> bool:
    if not isinstance(layers, tuple) or not layers or not isinstance(depth, int):
        return False
    if not all(isinstance(i, int) and not isinstance(i, bool) for i in layers):
        return False
    return list(layers) == sorted(set(layers)) and layers[0] >= 0 and layers[-1] < depth


def default_layers(host: SupportsDecoderAccess) -> tuple[int, ...]:
    """The layers to copy unless told otherwise: the first, and the one that the host focuses by."""
    return tuple(sorted({0, host.focus_layer}))


class DistilledFocus(nn.Module):
    """Scores vision tokens by the attention of the last prompt token, in float32."""

    def __init__(self, decoder: Any, layers: Sequence[int]) -> None:
        """Copy some layers of a decoder; the decoder stays as it is.

        Args:
            decoder: A text model of ``transformers``.
            layers: Indices of its layers, ascending.

        Raises:
            ModelError: If it has no such layers, or they do not ascend.
        """
        super().__init__()
        depth = len(decoder.layers)
        if not _are_layers(tuple(layers), depth):
            raise ModelError(
                f"a region focus module is copied from ascending layers in 0 to {depth - 1}, got "
                f"{list(layers)}"
            )
        self.layer_ids = tuple(layers)
        # one memo, so that the copies share one copy of their configuration
        memo: dict[int, Any] = {}
        copies = [copy.deepcopy(decoder.layers[i], memo) for i in layers]
        ranking = copies[-1]
        del ranking.mlp, ranking.post_attention_layernorm
        del ranking.self_attn.v_proj, ranking.self_attn.o_proj
        self.layers = nn.ModuleList(copies)
        self.rotary = copy.deepcopy(decoder.rotary_emb)
        self.float().eval().requires_grad_(True)
        for layer in copies:
            layer.self_attn.config._attn_implementation = "sdpa"

    def rows(self, pack: PromptPack, layers: Sequence[int] | None = None) -> dict[int, Tensor]:
        """Attention logits by own layer, see ``layer_rows``; the ranking layer's by default."""
        ranking = len(self.layers) - 1
        return layer_rows(
            list(self.layers), self.rotary, pack, (ranking,) if layers is None else tuple(layers)
        )

    @torch.inference_mode()
    def scores(self, inputs: Sequence[DecoderInput]) -> list[Tensor]:
        """What each of n tokens gets, for each prompt: float32 ``(n,)``, sum 1, on the host."""
        ranking = len(self.layers) - 1
        scores: list[Tensor] = []
        for pack in pack_prompts(inputs, torch.float32):
            logits = self.rows(pack)[ranking][..., pack.image]
            scores += logits.softmax(-1).mean(1).cpu().unbind(0)
        return scores


def save_focus(module: DistilledFocus, card: FocusCard, folder: Path) -> None:
    """Write ``region_focus.safetensors`` (float16) and ``region_focus.json`` into a folder.

    Raises:
        OutputError: If a file cannot be written.
    """
    make_folder(folder)
    stored = {k: v.detach().cpu().half().contiguous() for k, v in module.state_dict().items()}
    write_tensors(folder / FOCUS_WEIGHTS_FILE, stored)
    write_text(folder / FOCUS_FILE, json.dumps(asdict(card), indent=1))


def read_card(folder: Path) -> FocusCard:
    """What is known about the module in a folder.

    Raises:
        ModelError: If there is none, or its description is damaged.
    """
    path = folder / FOCUS_FILE
    if not path.is_file():
        raise ModelError(
            f"{folder} holds no region focus module ({FOCUS_FILE}); make one with geofovea "
            f"distill --output {folder}"
        )
    try:
        record = json_of(path)
        values = {field.name: record[field.name] for field in fields(FocusCard)}
        return FocusCard(**values | {"layers": tuple(values["layers"])})
    except (OSError, ValueError, KeyError, TypeError, ModelError) as error:
        raise ModelError(f"{path} does not describe a region focus module: {error!r}") from error


def load_focus(folder: Path, host: SupportsDecoderAccess) -> tuple[DistilledFocus, FocusCard]:
    """Load the module in a folder for the host that it was made from.

    Raises:
        ModelError: If there is none, it is damaged, or was made from another host.
    """
    card = read_card(folder)
    name = getattr(host, "name", "this host")
    host_hash = weights_hash(host.weights())
    if host_hash != card.host_hash:
        raise ModelError(
            f"the region focus module in {folder} was distilled from {card.base_model!r} with "
            f"weights {card.host_hash[:12]}, and {name!r} has weights {host_hash[:12]}: "
            f"distil one for it with geofovea distill --model {name}"
        )
    if card.host_layers != decoder_depth(host):
        raise ModelError(
            f"{folder / FOCUS_FILE} speaks of {card.host_layers} layers, {name!r} has "
            f"{decoder_depth(host)}: distil it again"
        )
    module = DistilledFocus(host.decoder, card.layers)
    try:
        module.load_state_dict(load_file(folder / FOCUS_WEIGHTS_FILE))
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"{folder / FOCUS_WEIGHTS_FILE} does not hold the weights that {FOCUS_FILE} speaks of "
            f"({reason}): distil it again"
        ) from error
    return module.requires_grad_(False), card


def with_decoder_access(host: object) -> SupportsDecoderAccess:
    """The host, if a region focus module can be made from it.

    Raises:
        ModelError: If it exposes no attention, or layers that do more than those of a LLaMA.
    """
    capabilities = getattr(host, "capabilities", None)
    if not isinstance(host, SupportsDecoderAccess) or not getattr(capabilities, "attention", False):
        raise ModelError(
            f"{getattr(host, 'name', host)} exposes no attention to learn from; choose a host that "
            "does, such as a LLaVA folder or 'embedded'"
        )
    if not can_copy_layers(host.decoder):
        raise ModelError(
            f"the layers of a {host.decoder.config.model_type!r} decoder cannot be copied, as a "
            "region focus module does; choose another host, or focus='attention'"
        )
    return host


def decoder_depth(host: SupportsDecoderAccess) -> int:
    """Number of decoder layers."""
    return len(host.decoder.layers)


def attach_focus(folder: Path, host: object) -> None:
    """Let a loaded host focus by the module in a folder, wherever that is.

    Raises:
        ModelError: If there is no module, it belongs to another host, or the host takes none.
    """
    load_focus(folder, with_decoder_access(host))
    if not isinstance(host, SupportsFocusModules):
        raise ModelError(f"{getattr(host, 'name', host)} takes no region focus module of another")
    host.use_region_focus(folder)
