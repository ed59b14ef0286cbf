"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

# how long an example takes says more of the machine than of the code
settings.register_profile("geofovea", deadline=None, max_examples=40)
settings.load_profile("geofovea")
