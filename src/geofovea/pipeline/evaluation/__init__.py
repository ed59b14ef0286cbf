"""Benchmarks, synthetic measurements, and adapters for other evaluation programs."""
