"""What the product remembers: typed tables on SQLite or PostgreSQL, claimed by state, written in transactions."""

from sqlalchemy.orm import Session

from controlplane.store.base import new_id
from controlplane.store.database import Store

__all__ = ["Session", "Store", "new_id"]
