"""A stock transformers LVLM, driven: vision, prompts, attention, decoding."""
