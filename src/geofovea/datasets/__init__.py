"""Benchmark records, prompts and scorers, and the synthetic world. Knows no model."""
