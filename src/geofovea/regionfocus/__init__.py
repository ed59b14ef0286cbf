"""Which tokens matter for a question: scores, descent under a budget, reduction. Knows no model."""
