"""Dual encoders of pictures and text through ``transformers``: CLIP, SigLIP and their kin.

RemoteCLIP and GeoRSCLIP are CLIPs; in the format of ``transformers`` they load as such. Pictures
are prepared here from the numbers in ``preprocessor_config.json``, without torchvision and without
a processor class. Weights are read from safetensors only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.checkpoint import (
    ask_hub_once,
    check_complete,
    check_files,
    check_size,
    companion,
    quiet_transformers,
    read_json,
)
from geofovea.pipeline.hosts.fingerprint import weights_hash
from geofovea.pipeline.inference.vision.pixels import CLIP_MEAN, CLIP_STD
from geofovea.pipeline.system.model_lock import lock_of, one_at_a_time
from geofovea.pipeline.system.torch_threads import threads_for
from geofovea.tiling.machine.paths import is_file, is_folder
from geofovea.tiling.machine.system_errors import first_line
from geofovea.tiling.scene import Scene

__all__ = ["ClipPair", "load_clip_pair"]

_KINDS = ("clip", "siglip")
_PICTURES_AT_ONCE = 32
_HALF = (0.5, 0.5, 0.5)


class ClipPair:
    """Embeds pictures and texts into one space. Threads may share it."""

    def __init__(
        self,
        name: str,
        model: Any,
        tokenizer: Any,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        """Wrap a model in evaluation mode.

        Args:
            name: How the user named it.
            model: A ``CLIPModel``, ``SiglipModel`` or one with the same methods.
            tokenizer: Its tokenizer.
            mean: Of red, green and blue in [0, 1], as the model was trained with.
            std: Likewise.
        """
        self.name = name
        self.side: int = model.config.vision_config.image_size
        self.model_lock = lock_of(model)
        self.threads: int | None = threads_for(model)
        self._model = model
        self._tokenizer = tokenizer
        self._mean = torch.tensor(mean, dtype=torch.float32)[:, None, None]
        self._std = torch.tensor(std, dtype=torch.float32)[:, None, None]

    @property
    def scale(self) -> float:
        """What cosines are multiplied with before a softmax, as the model was trained."""
        return float(self._model.logit_scale.detach().exp())

    @cached_property
    def fingerprint(self) -> str:
        """What tells its vectors from those of another encoder: SHA-256, hexadecimal.

        It is made of the weights and of how pictures are prepared. Versions of libraries are left
        out: they change vectors by rounding alone.
        """
        weights = weights_hash(self._model.named_parameters())
        preparation = [self.side, self._mean.flatten().tolist(), self._std.flatten().tolist()]
        record = json.dumps([self._model.config.model_type, weights, preparation])
        return hashlib.sha256(record.encode()).hexdigest()

    @one_at_a_time
    @torch.inference_mode()
    def embed_pictures(self, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Unit vectors float32 (k, d) of pictures uint8 (rows, columns, 3) of any size."""
        parts = []
        for start in range(0, len(pictures), _PICTURES_AT_ONCE):
            some = [self._prepared(p) for p in pictures[start : start + _PICTURES_AT_ONCE]]
            output = self._model.get_image_features(pixel_values=torch.stack(some))
            parts.append(_vectors(output))
        return torch.cat(parts)

    @one_at_a_time
    @torch.inference_mode()
    def embed_text(self, text: str) -> Tensor:
        """The unit vector float32 (d,) of a text, cut to what the text encoder takes."""
        config = self._model.config
        longest = config.text_config.max_position_embeddings
        # SigLIP was trained with texts padded to the full length, without a mask
        is_padded = config.model_type.startswith("siglip")
        encoded = self._tokenizer(
            text.lower() if is_padded else text,
            truncation=True,
            max_length=longest,
            padding="max_length" if is_padded else False,
            return_tensors="pt",
        )
        inputs = {"input_ids": encoded["input_ids"]}
        if not is_padded:
            inputs["attention_mask"] = encoded["attention_mask"]
        return _vectors(self._model.get_text_features(**inputs))[0]

    def doubts(self, text: str, scene: Scene | None = None) -> tuple[str, ...]:
        """See ``DualEncoder``: none, for it reads any words and pictures."""
        del text, scene
        return ()

    def _prepared(self, picture: NDArray[np.uint8]) -> Tensor:
        size = (self.side, self.side)
        image = Image.fromarray(picture)
        if image.size != size:
            image = image.resize(size, Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        return ((pixels - self._mean) / self._std).to(self._model.dtype)


def _vectors(output: Any) -> Tensor:
    # a tensor up to transformers 4, an output object with the projected vector since 5
    vectors: Tensor = output if isinstance(output, Tensor) else output.pooler_output
    return F.normalize(vectors.float(), dim=-1)


def load_clip_pair(name: str) -> ClipPair:
    """Load a dual encoder from a local folder or a hub id, while no other model runs.

    Raises:
        ModelError: If there is none, it is of another kind, or its weights are not safetensors.
    """
    _check_name(name)
    try:
        if not is_folder(name):
            ask_hub_once(name)
        with quiet_transformers():
            model, report = _model(name)
            tokenizer = _tokenizer(name)
            mean, std = _normalization(name, model.config.model_type)
    except ModelError:
        raise
    except Exception as error:  # a file that somebody else wrote may confuse it in any way
        reason = first_line(error)
        raise ModelError(
            f"the dual encoder {name!r} could not be loaded ({reason}); name a folder or hub id of "
            "a CLIP or SigLIP in safetensors"
        ) from error
    check_complete(f"the dual encoder {name!r}", report)
    return ClipPair(name, model.eval(), tokenizer, mean, std)


def _check_name(name: str) -> None:
    """Refuse what is neither a folder nor a hub id."""
    if is_file(name):
        raise ModelError(f"the dual encoder {name!r} is a file; name its folder")
    if not is_folder(name) and name.count("/") != 1:
        raise ModelError(
            f"there is no dual encoder {name!r}: name a folder or hub id of a CLIP or SigLIP, such "
            "as 'openai/clip-vit-base-patch32', or 'embedded' for synthetic scenes"
        )


def _model(name: str) -> tuple[Any, Any]:
    """A stock CLIP or SigLIP, and what ``transformers`` reports of its weights."""
    from transformers import AutoConfig, AutoModel

    config_file = companion(name, "config.json")
    config_values = read_json(config_file) if config_file else {}
    if config_values and config_values.get("model_type") not in _KINDS:
        raise ModelError(
            f"the dual encoder {name!r} is a {config_values.get('model_type')!r}; supported are "
            f"{', '.join(_KINDS)} and models in their format, such as RemoteCLIP"
        )
    weight_count = check_files(name, config_values)
    config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    if weight_count is not None:
        check_size(name, AutoModel.from_config, config, weight_count)
    model, report = AutoModel.from_pretrained(
        name,
        dtype=torch.float32,
        use_safetensors=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    return model, report


def _tokenizer(name: str) -> Any:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except AttributeError:
        # without sentencepiece, earlier releases look for the class of a SigLIP's in vain
        return PreTrainedTokenizerFast.from_pretrained(name, trust_remote_code=False)


def _normalization(name: str, kind: str) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation of ``preprocessor_config.json``; the family's own without it."""
    defaults = (CLIP_MEAN, CLIP_STD) if kind == "clip" else (_HALF, _HALF)
    path = companion(name, "preprocessor_config.json", may_be_out_of_reach=False)
    if path is None:
        return defaults
    config = read_json(path)
    mean, std = config.get("image_mean", defaults[0]), config.get("image_std", defaults[1])
    for values in (mean, std):
        numbers = isinstance(values, (list, tuple)) and len(values) == 3
        if not numbers or not all(isinstance(v, (int, float)) for v in values) or 0 in std:
            raise ValueError(f"{path.name} holds no mean and deviation of three channels")
    return mean, std
