"""Which tokens survive: one file a method, all behind one interface (``selector``)."""
