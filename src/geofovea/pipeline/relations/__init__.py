"""Relations of named places, computed from their geometry."""
