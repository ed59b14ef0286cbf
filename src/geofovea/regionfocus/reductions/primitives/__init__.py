"""Steps that several token reductions share."""
