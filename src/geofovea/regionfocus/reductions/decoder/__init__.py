"""Token reductions inside the language decoder."""
