"""Encoders that take any subset of the bands of a tile, and how they are pretrained."""
