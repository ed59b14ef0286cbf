"""Public benchmarks, a module each."""
