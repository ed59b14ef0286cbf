"""One place at two dates or more: what changed, and questions about it."""
