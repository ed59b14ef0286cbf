"""How a host is focused best: what its attention points at, measured on scenes that are known."""
