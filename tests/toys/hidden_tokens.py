"""What a stock model says where some vision tokens are hidden from all that follows."""

import torch
from family_toys import QUESTION, WITH_ROWS


def some(count, seed=3, share=0.4):
    """A mask that keeps a part of tokens, and at least the first and the last."""
    generator = torch.Generator().manual_seed(seed)
    keep = torch.rand(count, generator=generator) < share
    keep[[0, -1]] = True
    return keep


def visible_where(host, family, length, visual, keep):
    """What of a full sequence is seen, bool ``(length,)``, where some vision tokens are kept.

    Of two rows that are left of a tile, the first one keeps the word behind it.
    """
    visible = torch.ones(length, dtype=torch.bool)
    visible[visual] = keep
    if family in WITH_ROWS:
        rows, cols = host.grid
        for tile, shown in enumerate(keep.view(-1, rows, cols).any(-1)):
            last = int(shown.nonzero()[-1])
            for row in range(rows - 1):
                # one word stands before the first tile
                place = 1 + (tile * rows + row) * (cols + 1) + cols
                visible[place] = bool(shown[row]) and row < last
    return visible


@torch.no_grad()
def masked_logits(host, sequence, visible, positions):
    """Logits behind a full sequence of which some keys are hidden from all that follows."""
    full = sequence["inputs_embeds"]
    if "linear_attention" in (getattr(host._decoder.config, "layer_types", None) or ()):
        # a state has seen all that was run: what is hidden has to be left out
        output = host._decoder(
            inputs_embeds=full[:, visible], position_ids=positions[..., visible], use_cache=False
        )
        return host._family.logits(output.last_hidden_state[0, -1])
    length = full.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    ahead = sequence.get("ahead", torch.zeros_like(causal))
    bias = _bias((causal | ahead) & visible)
    config = host._decoder.config
    if hasattr(config, "layer_types") and "ahead" in sequence:
        # a window counts what is left
        place = visible.cumsum(0)
        near = place > place[:, None] - config.sliding_window
        windowed = near & (causal | ahead)
        if config.model_type == "gemma2":
            windowed = (near & causal) | torch.ones_like(causal)
        bias = {"full_attention": bias, "sliding_attention": _bias(windowed & visible)}
    others = ("inputs_embeds", "position_ids", "ahead")
    deep = {n: v for n, v in sequence.items() if n not in others}
    output = host._decoder(inputs_embeds=full, attention_mask=bias, position_ids=positions, **deep)
    return host._family.logits(output.last_hidden_state[0, -1])


def _bias(mask):
    mask = mask | torch.eye(len(mask), dtype=torch.bool)
    return torch.zeros(1, 1, *mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)


def full_positions(host, sequence, policy, visible, tokens):
    """Positions of a full sequence under a policy, by other means than the host's but for scene."""
    length, axes = sequence["inputs_embeds"].shape[1], host._family.axes
    if policy == "compact":
        running = (visible.cumsum(0) - 1).clamp_min(0)
        return running[None] if axes == 1 else running.expand(3, 1, -1)
    if policy == "scene":
        ids = host._prompts.words.ids(QUESTION)
        return host._prompts.layout.sequence(ids, tokens).positions
    stock = sequence.get("position_ids")
    return torch.arange(length)[None] if stock is None else stock[-3:]
