"""xarray objects as scenes."""
