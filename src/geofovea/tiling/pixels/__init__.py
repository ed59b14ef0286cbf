"""From stored values to pixels that a model sees."""
