"""Which hosts may be asked, and cached ranges of remote files."""
