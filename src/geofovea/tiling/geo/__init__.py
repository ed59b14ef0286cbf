"""From pixels to the ground and back."""
