"""Alembic's entry: runs our revisions on the connection it is handed, and looks at our tables only."""

from __future__ import annotations

from alembic import context

from controlplane.store.database import VERSION_TABLE
from controlplane.store.tables import RunRow


def _ours(name: str | None, kind: str, _: object) -> bool:
    return kind != "table" or (name or "").startswith("cp_")


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=RunRow.metadata,
    version_table=VERSION_TABLE,
    include_name=_ours,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
