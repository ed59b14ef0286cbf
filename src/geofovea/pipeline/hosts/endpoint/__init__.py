"""LVLMs behind an HTTP endpoint for chat."""
