"""From coarse to fine: which tiles to look at."""
