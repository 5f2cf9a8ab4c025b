"""Puts this folder on the path, so that tests of one check can share the rows they make."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
