"""Two other ways from a scene on disk to an answer, with the model of the pipeline beside them.

*Any resolution*: the scene at 12 × 12 tiles, and once in a single tile; no token is dropped but by
pooling. It is given every help: its pixels come from the overviews of the file.

*Published*: what the released code of the LRS-VQA authors does: the file is decoded whole, every
level is resized from native pixels and its tiles go to the device, two passes score the tokens of
the lowest level and of the next one, whose empty places are zeros. Newline vectors and the
separator between the global and the local tokens are left out, and so are the layer that the
released focus computes in vain and its dense mask: it is made a little cheaper than it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gpu_floor import wait_for

__all__ = ["AnyResolution", "PublishedSteps"]

_TILES_AT_ONCE = 16
_SIDE_IN_TILES = 12


class _Rival:
    """Encoding and answering with the parts of an opened model."""

    def __init__(self, host: Any, model: Any, family: Any, pool: int, answer: int) -> None:
        self.host, self.model, self.family, self.pool, self.answer = (
            host,
            model,
            family,
            pool,
            answer,
        )
        self.device = model.lm_head.weight.device
        self.dtype = model.lm_head.weight.dtype

    def pooled(self, tiles: Tensor) -> Tensor:
        """Tokens (k, r, c, d) of normalized tiles (k, 3, T, T), pooled."""
        parts = []
        rows, cols = self.family.grid
        for some in tiles.split(_TILES_AT_ONCE):
            tokens = self.family.encode(some.to(self.device, self.dtype))
            parts.append(
                tokens.view(
                    len(tokens), rows // self.pool, self.pool, cols // self.pool, self.pool, -1
                ).mean((2, 4))
            )
        return torch.cat(parts)

    def whole(self, tile: Tensor) -> Tensor:
        """All tokens (n, d) of one tile (1, 3, T, T)."""
        tokens: Tensor = self.family.encode(tile.to(self.device, self.dtype))[0]
        return tokens

    def sequence(self, tokens: Tensor, scored: tuple[int, int] | None = None) -> Any:
        """A prompt of vision tokens (n, d) and some words; ``scored`` is a range among them."""
        from geofovea.pipeline.inference.prompts.embeds import PromptSequence

        words = torch.arange(5, 37, device=self.device)
        words = self.model.get_input_embeddings()(words).to(self.dtype)
        embedded = torch.cat([tokens.to(self.dtype), words])[None]
        positions = torch.arange(embedded.shape[1], device=self.device)[None]
        first, last = scored or (0, len(tokens))
        visual = torch.arange(first, last, device=self.device)
        return PromptSequence(embedded, positions, visual, None, embedded.shape[1])

    def prompt_length(self, tokens: Tensor, clock: Any) -> int:
        """Prefill and decode; the length of the prompt."""
        from geofovea.pipeline.inference.decoder.run import DecoderRun
        from geofovea.pipeline.inference.prompts.batch import PromptBatch

        sequence = self.sequence(tokens)
        run = DecoderRun(self.model.model.language_model, PromptBatch.of([sequence]), self.answer)
        table = self.model.get_input_embeddings()
        with clock.stage("prefill"):
            word = self.model.lm_head(run.prefill()).argmax(-1)
            word.item()
        with clock.stage("decode"):
            for _ in range(self.answer - 1):
                word = self.model.lm_head(run.advance(table(word)[None])).argmax(-1)
                word.item()
        return len(sequence)


class AnyResolution(_Rival):
    """The scene at 12 × 12 tiles, all of whose tokens are shown."""

    @torch.inference_mode()
    def ask(self, path: Path, clock: Any) -> dict[str, int]:
        """Go all the way once; what it took in tiles and tokens."""
        import rasterio
        from rasterio.enums import Resampling

        from geofovea.pipeline.hosts.published.image import normalized

        side = self.family.tile_size
        with clock.stage("read"), rasterio.open(path) as source:
            shape = (3, side * _SIDE_IN_TILES, side * _SIDE_IN_TILES)
            fine = source.read(out_shape=shape, resampling=Resampling.bilinear)
            small = source.read(out_shape=(3, side, side), resampling=Resampling.bilinear)
            grid = fine.reshape(3, _SIDE_IN_TILES, side, _SIDE_IN_TILES, side)
            tiles = np.ascontiguousarray(grid.transpose(1, 3, 2, 4, 0)).reshape(-1, side, side, 3)
        with clock.stage("encode"):
            local = torch.cat([self.pooled(normalized(some)) for some in np.array_split(tiles, 9)])
            overview = normalized(np.ascontiguousarray(small.transpose(1, 2, 0))[None])
            tokens = torch.cat([self.whole(overview), local.flatten(0, 2)])
            wait_for(self.device)
        return {
            "tiles": len(tiles) + 1,
            "tokens": len(tokens),
            "prompt": self.prompt_length(tokens, clock),
        }


class PublishedSteps(_Rival):
    """The whole image, all levels, two passes."""

    kept_share = 0.25
    layers = 3

    @torch.inference_mode()
    def ask(self, path: Path, clock: Any) -> dict[str, int]:
        """Go all the way once; what it took in tiles and tokens."""
        from geofovea.pipeline.hosts.published.image import PublishedImage, read_whole

        with clock.stage("read"):
            image = PublishedImage(read_whole(path))
            overview = image.global_tile()
            levels = [
                image.tiles(k).to(self.device, self.dtype) for k in range(len(image.plan.levels))
            ]
            wait_for(self.device)
        with clock.stage("encode"):
            overview_tokens = self.whole(overview)
            first = _as_grid(self.pooled(levels[0].flatten(0, 1)), levels[0].shape[:2])
            wait_for(self.device)
        with clock.stage("focus"):
            best = self._best(
                overview_tokens, first.flatten(0, 1), torch.ones(first.shape[:2]).flatten() > 0
            )
        second = levels[min(1, len(levels) - 1)]
        rows, cols = second.shape[:2]
        row = best // first.shape[1] * rows // first.shape[0]
        col = best % first.shape[1] * cols // first.shape[1]
        picks = torch.unique(row * cols + col)
        with clock.stage("encode"):
            tokens = self.pooled(second.flatten(0, 1)[picks.to(second.device)])
            wide = tokens.new_zeros(rows * cols, *tokens.shape[1:])
            wide[picks] = tokens
            filled = torch.zeros(wide.shape[:3], dtype=torch.bool)
            filled[picks.cpu()] = True
            dense = _as_grid(wide, (rows, cols)).flatten(0, 1)
            valid = _as_grid(filled[..., None], (rows, cols)).flatten()
            wait_for(self.device)
        with clock.stage("focus"):
            best_local = self._best(overview_tokens, dense, valid).sort().values
        tokens_shown = torch.cat([overview_tokens, dense[best_local]])
        prompt = self.prompt_length(tokens_shown, clock)
        return {
            "tiles": 1 + len(levels[0].flatten(0, 1)) + len(picks),
            "tokens": len(tokens_shown),
            "prompt": prompt,
        }

    def _best(self, overview_tokens: Tensor, local: Tensor, valid: Tensor) -> Tensor:
        """The best quarter of the valid local tokens (n, d), by one row of attention."""
        from geofovea.pipeline.inference.decoder.run import last_row_logits

        sequence = self.sequence(
            torch.cat([overview_tokens, local]),
            (len(overview_tokens), len(overview_tokens) + len(local)),
        )
        (logits,) = last_row_logits(self.model.model.language_model, [self.layers], [sequence])
        valid = valid.to(logits.device)
        scores = logits[0].masked_fill(~valid, -torch.inf).softmax(-1).mean(0)
        best: Tensor = scores.topk(int(self.kept_share * int(valid.sum()))).indices
        return best


def _as_grid(tokens: Tensor, shape: Any) -> Tensor:
    """Tokens (rows · columns, r, c, d) of tiles as one raster (rows · r, columns · c, d)."""
    rows, cols = shape
    _, r, c, d = tokens.shape
    return tokens.view(rows, cols, r, c, d).transpose(1, 2).reshape(rows * r, cols * c, d)
