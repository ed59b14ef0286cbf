"""Counts measured: ways to count beside each other, and how often intervals hold the truth."""
