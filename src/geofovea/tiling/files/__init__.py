"""Opening and checking raster files."""
