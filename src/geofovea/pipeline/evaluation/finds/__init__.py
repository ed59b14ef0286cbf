"""Places measured: what ``find`` finds of what is there, by coverage and budget."""
