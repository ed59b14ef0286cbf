"""Coarser levels: found, built, checked, kept."""
