"""Settings shared by the tests of this folder, and their toys."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

# tests are imported by path, not as a package; their toys are not on the path by themselves
sys.path.insert(0, str(Path(__file__).parent))

settings.register_profile("regionfocus", deadline=None, max_examples=40)
settings.load_profile("regionfocus")
