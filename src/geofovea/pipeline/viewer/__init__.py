"""A page on which scenes are seen and asked about: tiles, questions as they go, a local server."""
