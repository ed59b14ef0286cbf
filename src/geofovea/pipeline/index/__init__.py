"""Vectors of the tiles of many scenes on disk, and the search among them; no model, no pixels."""
