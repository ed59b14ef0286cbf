"""LLaVA on stock ``transformers``: any folder or hub id of ``LlavaForConditionalGeneration``.

The decoder is driven directly: prefill and decode over ``inputs_embeds`` with explicit positions,
so any subset of vision tokens can be given, with no patch and no placeholder tokens. A folder may
carry a ``geofovea.json`` with the keys of ``HostSettings``; without it those of LLaVA-1.5 hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from geofovea.errors import ModelError
from geofovea.pipeline.clip_signals import CLIP_SIGNALS
from geofovea.pipeline.decoder_pruning import DecoderRun
from geofovea.pipeline.distilled_focus import FOCUS_FILE, DistilledFocus, load_focus
from geofovea.pipeline.encode_plan import EncodedTiles, EncodePlan
from geofovea.pipeline.flops import shape_from_config
from geofovea.pipeline.host import Capabilities, Generation
from geofovea.pipeline.host_settings import SETTINGS_FILE, HostSettings
from geofovea.pipeline.library_reports import quiet_transformers
from geofovea.pipeline.llava_vision import VisionPart
from geofovea.pipeline.open_decoder import DecoderInput
from geofovea.pipeline.row_attention import row_logits
from geofovea.pipeline.token_places import token_places
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.reductions.decoder_stage import DecoderReduction
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Pyramid, Tile

__all__ = ["SCENE_POSITION_FILE", "LlavaHost", "load_llava"]

SCENE_POSITION_FILE = "scene_position.safetensors"
_MOST_ANSWER_TOKENS = 16


class LlavaHost:
    """A loaded LLaVA; see the ``Host`` protocol for its methods."""

    def __init__(
        self,
        name: str,
        model: Any,
        tokenizer: Any,
        settings: HostSettings,
        scene_position: Tensor | None = None,
    ) -> None:
        """Wrap a model in evaluation mode and its tokenizer.

        Args:
            name: How the user named it.
            model: A ``LlavaForConditionalGeneration``.
            tokenizer: Its tokenizer.
            settings: How to use it.
            scene_position: Linear map (d, 3) of a token's place, added to the token.

        Raises:
            ModelError: If the settings do not fit the model, or its vision tower is used in a way
                that is not supported.
        """
        vision = model.config.vision_config
        text = model.config.text_config
        _check_vision(model.config, settings.pool)
        if scene_position is not None and scene_position.shape != (text.hidden_size, 3):
            raise ModelError(
                f"{SCENE_POSITION_FILE} of {name} holds a matrix {tuple(scene_position.shape)}, "
                f"the model needs {(text.hidden_size, 3)}"
            )
        side = vision.image_size // vision.patch_size // settings.pool
        self.name = name
        self.tile_size: int = vision.image_size
        self.grid = (side, side)
        self.default_budget = Budget(tiles=settings.tiles, tokens=settings.tokens)
        of_text = {"text_embeds", "text_similarity"}
        # other towers have no class token, or pool: what is heard would be of other tokens
        is_clip = vision.model_type == "clip_vision_model"
        self.capabilities = Capabilities(
            attention=settings.focus_layer < text.num_hidden_layers,
            domain=settings.domain,
            context=text.max_position_embeddings,
            signals=frozenset({"entropy"} | of_text | (CLIP_SIGNALS if is_clip else set())),
            stages=frozenset({"decoder_layer"} | ({"encoder_layer"} if is_clip else set())),
        )
        self.focus_layer: int = settings.focus_layer
        self.shape = shape_from_config(model.config, settings.focus_layer)
        self._focus_folder: Path | None = None
        self._region_focus: DistilledFocus | None = None
        self._model = model
        self._tokenizer = tokenizer
        self._settings = settings
        self._scene_position = scene_position
        self._decoder = model.model.language_model
        self._device = next(model.parameters()).device
        self._dtype = model.dtype
        as_pixels = {"device": self._device, "dtype": torch.float32}
        mean = torch.tensor(settings.image_mean, **as_pixels) * 255
        std = torch.tensor(settings.image_std, **as_pixels) * 255
        self._vision = VisionPart(model, side, settings.pool, mean, std)

    @torch.inference_mode()
    def encode(self, pixels: NDArray[np.uint8], tiles: Sequence[Tile], pyramid: Pyramid) -> Tensor:
        """Vision tokens (k, g², d) of tiles uint8 (k, T, T, 3), a bounded number at once."""
        return self._placed(self._vision.encode(pixels), tiles, pyramid)

    @torch.inference_mode()
    def encode_planned(
        self, pixels: NDArray[np.uint8], tiles: Sequence[Tile], pyramid: Pyramid, plan: EncodePlan
    ) -> EncodedTiles:
        """See ``PlannedEncoder``."""
        encoded = self._vision.encode_planned(pixels, plan)
        return replace(encoded, features=self._placed(encoded.features, tiles, pyramid))

    def _placed(self, tokens: Tensor, tiles: Sequence[Tile], pyramid: Pyramid) -> Tensor:
        """Tokens (k, g², d) with their places in the scene added, where the model knows of any."""
        if self._scene_position is None:
            return tokens
        places = np.stack([token_places(pyramid, tile, self.grid[0]) for tile in tiles])
        placed = torch.from_numpy(places).to(self._device) @ self._scene_position.T
        return tokens + placed.to(tokens.dtype)

    @torch.inference_mode()
    def scores(self, question: str, tokens: TokenSet) -> Tensor:
        """Softmax of the last prompt token's attention over the tokens, mean of heads, (n,)."""
        hidden, first = self._prompt(question, tokens)
        layer, captured = self._decoder.layers[self._settings.focus_layer], _Captured()
        hook = layer.register_forward_pre_hook(captured, with_kwargs=True)
        try:
            self._decoder(inputs_embeds=hidden, **_layout(hidden), use_cache=False)
        except _LayerReached:
            pass
        finally:
            hook.remove()
        rows = torch.full((1, 1), hidden.shape[1] - 1, device=self._device)
        logits = row_logits(layer, captured.hidden, captured.rotary, rows, first, len(tokens))
        return logits.softmax(-1).mean((0, 1, 2)).cpu()

    @property
    def decoder(self) -> Any:
        """The text model; see ``OpenDecoder``."""
        return self._decoder

    @torch.no_grad()
    def decoder_input(self, question: str, tokens: TokenSet) -> DecoderInput:
        """The embedded prompt; see ``OpenDecoder``."""
        # a clone of what inference mode made may be learnt from
        embeds, first = self._prompt(question, tokens)
        return DecoderInput(embeds.clone(), first, len(tokens))

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """All parameters and the map of places; see ``OpenDecoder``."""
        yield from self._model.named_parameters()
        if self._scene_position is not None:
            yield SCENE_POSITION_FILE, self._scene_position

    def use_region_focus(self, folder: Path) -> None:
        """Take the region focus module in a folder; it is loaded when it is first asked for."""
        self._focus_folder, self._region_focus = folder, None
        self.capabilities = replace(self.capabilities, region_focus=True)

    def region_scores(self, question: str, tokens: TokenSet) -> Tensor:
        """What its region focus module gives each of n tokens, float32 (n,), sum 1.

        Raises:
            ModelError: If it has none, or one that was made from other weights.
        """
        if self._focus_folder is None:
            raise ModelError(f"{self.name} brings no region focus module: run geofovea distill")
        if self._region_focus is None:
            module, _ = load_focus(self._focus_folder, self)
            self._region_focus = module.to(self._device)
        return self._region_focus.scores([self.decoder_input(question, tokens)])[0]

    @torch.inference_mode()
    def generate(
        self, question: str, tokens: TokenSet | None, reduction: DecoderReduction | None = None
    ) -> Generation:
        """Greedy answer from these tokens (or blindly); positions are compact, in their order.

        Args:
            question: What is asked.
            tokens: What is shown.
            reduction: What drops tokens between the layers of the decoder; None drops none.
        """
        hidden, first = self._prompt(question, tokens)
        text_tokens = hidden.shape[1] - (0 if tokens is None else len(tokens))
        advance, run = self._stock_decoder(), None
        if reduction is not None and tokens is not None:
            run = DecoderRun(
                self._decoder,
                reduction=reduction,
                first=first,
                count=len(tokens),
                levels=tokens.levels,
            )
            advance = run.advance
        stop = self._stop_ids()
        chosen: list[int] = []
        log_probabilities: list[float] = []
        for _ in range(_MOST_ANSWER_TOKENS):
            logits = self._model.lm_head(advance(hidden)).float()
            best = logits.log_softmax(-1).max(-1)
            if best.indices.item() in stop:
                break
            chosen.append(int(best.indices.item()))
            log_probabilities.append(float(best.values.item()))
            hidden = self._embed(best.indices[None])
        text = self._tokenizer.decode(chosen, skip_special_tokens=True).strip()
        lengths = run.vision_lengths if run else ()
        return Generation(text, tuple(log_probabilities), lengths, text_tokens)

    @torch.inference_mode()
    def question_embeds(self, question: str) -> Tensor:
        """See ``PlannedEncoder``; of the question alone, without template and instruction."""
        ids = self._ids(self._plain(question), special=False)
        return self._embed(torch.tensor([ids], device=self._device))[0]

    def _stock_decoder(self) -> Callable[[Tensor], Tensor]:
        """What takes the prompt (1, s, d), then token by token, and gives the last state (1, d)."""
        from transformers import DynamicCache

        cache = DynamicCache(config=self._decoder.config)

        def advance(hidden: Tensor) -> Tensor:
            layout = _layout(hidden, cache.get_seq_length())
            output = self._decoder(
                inputs_embeds=hidden, **layout, past_key_values=cache, use_cache=True
            )
            last: Tensor = output.last_hidden_state[:, -1]
            return last

        return advance

    def unknown_words(self, question: str) -> list[str]:
        """Words that the tokenizer can only map to its unknown token."""
        unknown = self._tokenizer.unk_token_id
        if unknown is None:
            return []
        words = question.lower().replace("?", " ").split()
        return [w for w in words if unknown in self._ids(w, special=False)]

    def _prompt(self, question: str, tokens: TokenSet | None) -> tuple[Tensor, int]:
        """Embedded prompt (1, s, d) with the tokens in place, and the position of the first."""
        asked = self._plain(question) + self._settings.instruction
        before, after = self._settings.template.split("{image}")
        before_ids = self._ids(before.replace("{question}", asked), special=True)
        after_ids = self._ids(after.replace("{question}", asked), special=False)
        ids = torch.tensor([before_ids + after_ids], device=self._device)
        embedded = self._embed(ids)
        before_embedded, after_embedded = (
            embedded[:, : len(before_ids)],
            embedded[:, len(before_ids) :],
        )
        shown = 0 if tokens is None else len(tokens)
        length = ids.shape[1] + shown + _MOST_ANSWER_TOKENS
        if length > self.capabilities.context:
            raise ModelError(
                f"the prompt has {length} tokens, {self.name} takes {self.capabilities.context}: "
                "set a smaller token budget"
            )
        if tokens is None:
            return torch.cat([before_embedded, after_embedded], 1), len(before_ids)
        vision = tokens.features.to(self._device, self._dtype)[None]
        return torch.cat([before_embedded, vision, after_embedded], 1), len(before_ids)

    def _plain(self, question: str) -> str:
        """The question without words that mean something special to the tokenizer."""
        for word in self._tokenizer.all_special_tokens:
            question = question.replace(word, " ")
        return " ".join(question.split())

    def _ids(self, text: str, *, special: bool) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=special) if text else []
        if special and not ids and self._tokenizer.bos_token_id is not None:
            return [self._tokenizer.bos_token_id]
        return ids

    def _embed(self, ids: Tensor) -> Tensor:
        embedded: Tensor = self._model.get_input_embeddings()(ids.long())
        return embedded.to(self._dtype)

    def _stop_ids(self) -> set[int]:
        stop = getattr(self._model.generation_config, "eos_token_id", None)
        given = stop if isinstance(stop, list) else [stop, self._tokenizer.eos_token_id]
        return {i for i in given if i is not None}


def _check_vision(config: Any, pool: int) -> None:
    layer, strategy = config.vision_feature_layer, config.vision_feature_select_strategy
    if not isinstance(layer, int):
        raise ModelError(f"only one vision_feature_layer is supported, this model has {layer}")
    if strategy != "default":
        raise ModelError(
            f"the vision_feature_select_strategy {strategy!r} is not supported, only 'default'"
        )
    patches = config.vision_config.image_size // config.vision_config.patch_size
    if patches % pool:
        raise ModelError(
            f"a pool of {pool} does not divide the {patches} patches along a side of a tile; set "
            f"another in {SETTINGS_FILE}"
        )


class _LayerReached(Exception):  # noqa: N818 - control flow, not an error
    """Raised by a hook to leave the decoder before the layer runs."""


class _Captured:
    """A forward pre-hook that keeps a layer's input and stops the decoder."""

    hidden: Tensor
    rotary: tuple[Tensor, Tensor]

    def __call__(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.hidden = args[0] if args else kwargs["hidden_states"]
        self.rotary = kwargs["position_embeddings"]
        raise _LayerReached


def _layout(hidden: Tensor, start: int = 0) -> dict[str, Tensor]:
    """Compact positions from ``start`` on, and an explicit mask of ones.

    Without a mask, transformers 5 takes gaps in the positions for the borders of packed samples.
    """
    length = hidden.shape[1]
    return {
        "position_ids": torch.arange(start, start + length, device=hidden.device)[None],
        "attention_mask": torch.ones(1, start + length, dtype=torch.long, device=hidden.device),
    }


def load_llava(name: str, *, device: str = "cpu", dtype: torch.dtype | None = None) -> LlavaHost:
    """Load a LLaVA from a local folder or a hub id, from safetensors only, without remote code.

    Raises:
        ModelError: If there is no such model, or it is not a LLaVA.
    """
    from transformers import AutoTokenizer, LlavaForConditionalGeneration

    folder = Path(name)
    settings = HostSettings.read(folder / SETTINGS_FILE)
    try:
        with quiet_transformers():
            model, report = LlavaForConditionalGeneration.from_pretrained(
                name,
                dtype=dtype or torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
            tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"the model {name!r} could not be loaded ({reason}); name a folder or hub id of a "
            "LLaVA in safetensors, or use --model embedded"
        ) from error
    # transformers would go on with random numbers in their place
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"the model {name!r} lacks {len(missing)} weights, the first is {missing[0]}; copy or "
            "download it again"
        )
    position = _read_scene_position(folder / SCENE_POSITION_FILE, device)
    host = LlavaHost(name, model.to(device).eval(), tokenizer, settings, position)
    if (folder / FOCUS_FILE).is_file():
        host.use_region_focus(folder)
    return host


def _read_scene_position(path: Path, device: str) -> Tensor | None:
    if not path.exists():
        return None
    try:
        weight: Tensor = load_file(path)["weight"]
    except (OSError, KeyError, SafetensorError) as error:
        raise ModelError(f"{path} does not hold scene positions: {error}") from error
    return weight.float().to(device)
