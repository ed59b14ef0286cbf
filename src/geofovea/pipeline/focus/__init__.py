"""Where to look: the visual search and what scores tiles for it."""
