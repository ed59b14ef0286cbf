"""One scene and one host: a question becomes an answer."""
