"""What the product remembers: typed tables on SQLite or PostgreSQL, claimed by state, written in transactions."""

from sqlalchemy.orm import Session

from controlplane.store import tables, tables_acts
from controlplane.store.database import Store
from controlplane.store.rows import new_id

__all__ = ["Session", "Store", "new_id", "tables", "tables_acts"]
