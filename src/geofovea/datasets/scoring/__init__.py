"""Verdicts on answers, and the metrics made of them."""
