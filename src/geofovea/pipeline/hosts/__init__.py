"""Every kind of LVLM behind one protocol."""
