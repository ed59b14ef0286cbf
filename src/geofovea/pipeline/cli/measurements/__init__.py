"""Verbs that measure: synthetic scenes, benches, reports and comparisons of runs."""
