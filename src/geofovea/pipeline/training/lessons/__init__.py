"""What the embedded model learns from: tiles, questions about them, labels of their tokens."""
