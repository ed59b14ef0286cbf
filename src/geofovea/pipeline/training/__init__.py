"""Training of the embedded model and of region focus modules."""
