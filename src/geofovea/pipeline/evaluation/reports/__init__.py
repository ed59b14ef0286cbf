"""A run on a page, and runs beside each other."""
