"""Synthetic scenes whose every object is known, and questions about them."""
