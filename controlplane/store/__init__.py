"""What the product remembers: typed tables on SQLite or PostgreSQL, claimed by state, written in transactions."""

from controlplane.store.database import Store
from controlplane.store.tables import new_id

__all__ = ["Store", "new_id"]
