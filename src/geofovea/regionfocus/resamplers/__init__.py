"""Fewer tokens of a tile, made by parts that were trained beside a model."""
