"""A frozen model beside which parts learn, and what a host does with the same prompt."""

import copy

import torch
from pipeline_toys import lively_student, load_anew

from geofovea.pipeline.inference.decoder.planned import PlannedRun
from geofovea.pipeline.inference.prompts.embeds import PromptSequence
from geofovea.pipeline.training.export import write_model
from geofovea.pipeline.training.parts.frozen_model import FrozenModel


def frozen_model(folder):
    """A model of the embedded kind whose answers depend on every token."""
    write_model(lively_student(), folder)
    return FrozenModel(load_anew(folder), folder)


@torch.no_grad()
def planned_logits(model, decoder, vision, words, method):
    """What a host answers under a layer method, and the vision tokens of each layer.

    Args:
        model: The frozen model.
        decoder: Its own, or another in its place.
        vision: ``(n, d)``, what is visible.
        words: Of the question.
        method: Plans the layers.
    """
    stock = copy.deepcopy(decoder)
    stock.config._attn_implementation = "sdpa"
    start = torch.tensor([model.llava.config.text_config.bos_token_id])
    embedded = torch.cat([model.embed(start), vision, model.embed(words)])[None]
    visual, length = torch.arange(1, 1 + len(vision)), embedded.shape[1]
    sequence = PromptSequence(embedded, torch.arange(length)[None], visual, None, length)
    run = PlannedRun(stock, sequence, method)
    return model.llava.lm_head(run.prefill())[0], run.tokens_by_layer
