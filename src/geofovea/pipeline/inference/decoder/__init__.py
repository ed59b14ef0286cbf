"""The language decoder: prefill, steps, pruning inside it, answers."""
