"""Policies for a prompt's keys and values: fewer bits, entries or reads (``base``)."""
