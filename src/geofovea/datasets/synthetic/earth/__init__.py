"""World version 2: land that looks like the Earth, in four bands, with the sites of version 1."""
