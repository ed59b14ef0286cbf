"""The vision encoder: its inputs, its signals, and pruning inside it."""
