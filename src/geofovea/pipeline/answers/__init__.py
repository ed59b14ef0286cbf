"""What comes back: the answer with its evidence, cost, confidence and pictures."""
