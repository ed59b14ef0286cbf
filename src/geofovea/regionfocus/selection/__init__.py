"""Selection of the tokens that a search passes on to the decoder."""
