"""The machine, the terminal and files."""
