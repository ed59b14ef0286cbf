"""Many scenes at once: their tiles embedded into an index, and the index searched by words."""
