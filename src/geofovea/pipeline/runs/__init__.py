"""Many items, durably: nothing is lost, nothing is done twice."""
