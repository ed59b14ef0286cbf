"""What a stock model says where some vision tokens are hidden from all that follows."""

import torch
from family_toys import QUESTION


def some(count, seed=3, share=0.4):
    """A mask that keeps a part of tokens, and at least the first and the last."""
    generator = torch.Generator().manual_seed(seed)
    keep = torch.rand(count, generator=generator) < share
    keep[[0, -1]] = True
    return keep


@torch.no_grad()
def masked_logits(host, sequence, visible, positions):
    """Logits behind a full sequence of which some keys are hidden from all that follows."""
    full = sequence["inputs_embeds"]
    length = full.shape[1]
    mask = torch.ones(length, length, dtype=torch.bool).tril() & visible
    mask |= torch.eye(length, dtype=torch.bool)
    bias = torch.zeros(1, 1, length, length).masked_fill(~mask, torch.finfo(torch.float32).min)
    deep = {n: v for n, v in sequence.items() if n not in ("inputs_embeds", "position_ids")}
    output = host._decoder(inputs_embeds=full, attention_mask=bias, position_ids=positions, **deep)
    return host._model.lm_head(output.last_hidden_state[0, -1])


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
