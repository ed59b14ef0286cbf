"""Where things lie that tests need: the repository, the toys, and data that is not in it."""

import os
from pathlib import Path

TOYS = Path(__file__).resolve().parent
ROOT = TOYS.parents[1]
# never committed: tests that need it skip where it is absent
SHARED = Path(os.environ.get("GEOFOVEA_SHARED", ROOT.parent / "shared")).absolute()
