"""What serves a question: calls to the host, batching, tokens of tiles, accounting."""
