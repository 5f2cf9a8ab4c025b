"""Task functions must be importable by name in the children, which take this process's module path over."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
