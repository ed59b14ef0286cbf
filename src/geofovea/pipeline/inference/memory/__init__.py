"""Keys and values of tiles, computed once for a scene and put together for each question."""
