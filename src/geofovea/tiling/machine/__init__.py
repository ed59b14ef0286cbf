"""The machine: cores, limits of its containers, memory of children, forks."""
