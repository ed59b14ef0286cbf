"""Token reductions inside the vision encoder."""
