"""Tables of other programs, read as they write them."""
