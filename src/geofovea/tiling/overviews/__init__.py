"""Coarser levels: finding, building, checking and caching them."""
