"""Prompts of a model: templates, positions, embedded sequences, batches."""
