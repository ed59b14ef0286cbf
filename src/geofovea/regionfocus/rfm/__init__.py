"""The region focus module, its training losses, and selection as published."""
