"""An answer as one HTML file that needs nothing else: its parts, and the page's own files."""
