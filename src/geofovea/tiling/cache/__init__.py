"""Caches on disk and in memory, and their upkeep."""
