"""The index of inexact rows has no others in it any more.

With all rows in it, nearly all under one value, SQLite reads whole tables as soon as somebody runs ANALYZE.

Revision: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("patients", "studies", "series"):
        name = op.f(f"ix_{table}_inexact")
        op.drop_index(name, table)
        op.create_index(
            name, table, ["inexact"], sqlite_where=sa.text("inexact = 1"), postgresql_where=sa.text("inexact")
        )


def downgrade() -> None:
    for table in ("patients", "studies", "series"):
        name = op.f(f"ix_{table}_inexact")
        op.drop_index(name, table)
        op.create_index(name, table, ["inexact"])
