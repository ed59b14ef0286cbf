"""Token reductions on projected vision tokens."""
