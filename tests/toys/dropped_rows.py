"""The stock decoder over a full sequence, in which dropped tokens are hidden layer by layer.

The other side of a comparison: nothing here shortens a sequence or keeps a cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


@torch.no_grad()
def logits_with_hidden_rows(
    host: Any,
    prompt: dict[str, Any],
    visual: Tensor,
    drops: Sequence[Any],
    answer: Sequence[int],
    *,
    contiguous: bool,
) -> Tensor:
    """Logits of each word of an answer, ``(len(answer) + 1, V)``.

    The stock ``forward`` of the text model runs once over prompt and answer, DeepStack included. A
    hook before each layer replaces its mask by one that hides what was dropped before it, puts
    merged states in the place of their tokens, and numbers survivors anew where a reduction does.

    Args:
        host: Whose model it is.
        prompt: What the stock forward pass hands to the text model; ``position_ids`` are needed.
        visual: Places of the vision tokens in the prompt.
        drops: ``(layer, stays, features)``: which of the vision tokens are left before a layer, by
            number, and the states that replace theirs, or None.
        answer: Ids of the words that were answered.
        contiguous: Whether survivors are numbered anew.
    """
    words = host._model.get_input_embeddings()(torch.tensor([list(answer)], dtype=torch.long))
    embedded = torch.cat([prompt["inputs_embeds"], words.to(prompt["inputs_embeds"].dtype)], dim=1)
    length, added = embedded.shape[1], len(answer)
    stock = prompt["position_ids"]
    behind = stock.max() + 1 + torch.arange(added)
    positions = torch.cat([stock, behind.expand(*stock.shape[:-1], added)], dim=-1)
    alive = torch.ones(length, dtype=torch.bool)
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    at = {layer: (stays, features) for layer, stays, features in drops}
    rotary = host._decoder.rotary_emb

    def before(number: int) -> Any:
        def hook(_: Any, args: Any, kwargs: dict[str, Any]) -> Any:
            hidden = args[0] if args else kwargs["hidden_states"]
            if number in at:
                stays, features = at[number]
                alive[visual] = False
                alive[visual[stays]] = True
                if features is not None:
                    hidden = hidden.clone()
                    hidden[0, visual[stays]] = features
            # a dropped token may look at itself, so that its row is not empty; nobody looks at it
            allowed = (causal & alive) | torch.eye(length, dtype=torch.bool)
            mask = torch.zeros(length, length).masked_fill(~allowed, torch.finfo(torch.float32).min)
            kwargs["attention_mask"] = mask[None, None]
            if contiguous:
                anew = (alive.cumsum(0) - 1).expand(*stock.shape[:-1], length)
                kwargs["position_embeddings"] = rotary(hidden, anew)
            return (hidden, *args[1:]), {k: v for k, v in kwargs.items() if k != "hidden_states"}

        return hook

    layers = enumerate(host._decoder.layers)
    hooks = [
        layer.register_forward_pre_hook(before(number), with_kwargs=True)
        for number, layer in layers
    ]
    inputs: dict[str, Any] = {"inputs_embeds": embedded, "position_ids": positions}
    inputs["attention_mask"] = torch.zeros(1, 1, length, length)
    if "visual_pos_masks" in prompt:
        nothing = torch.zeros(1, added, dtype=torch.bool)
        inputs["visual_pos_masks"] = torch.cat([prompt["visual_pos_masks"], nothing], dim=1)
        inputs["deepstack_visual_embeds"] = prompt["deepstack_visual_embeds"]
    try:
        states = host._decoder(**inputs).last_hidden_state[0]
    finally:
        for hook in hooks:
            hook.remove()
    return host._family.logits(states[length - added - 1 :])
