"""A page that shows scenes and answers questions about them, served locally or in a notebook."""
