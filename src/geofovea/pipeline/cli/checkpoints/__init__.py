"""Verbs about models: which there are, and making, converting and fitting checkpoints."""
