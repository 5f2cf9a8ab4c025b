"""The whole straight line on SQLite: a regression is caught, rolled back, verified, and the incident closes itself."""

from pathlib import Path

import pytest

from conftest import World
