"""Puts this folder on the path, so that the suite and the fixtures of each check can import one another."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
