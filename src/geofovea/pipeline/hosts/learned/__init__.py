"""Parts that were trained beside a model, in files beside its weights."""
