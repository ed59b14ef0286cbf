"""Attention of a decoder: backends, rows of it, caches of keys and values."""
