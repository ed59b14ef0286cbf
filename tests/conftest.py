"""Settings of all tests."""

from __future__ import annotations

import os

from hypothesis import settings

# how long an example takes says more of the machine than of the code
settings.register_profile("geofovea", deadline=None, max_examples=40)
settings.load_profile("geofovea")

# most tests ask a toy model, or the demo model about pictures of noise; those of what happens
# without a model take the variable away
os.environ["GEOFOVEA_MODEL"] = "embedded"
