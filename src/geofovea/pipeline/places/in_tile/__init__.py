"""What one tile shows of a thing: whether it is there, where, and with which adjectives."""
