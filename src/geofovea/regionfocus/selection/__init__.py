"""Which tokens of the tiles that were looked at are kept."""
