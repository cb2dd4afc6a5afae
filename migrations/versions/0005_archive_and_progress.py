"""Which store the index belongs to, and how far long work has come.

See `pacsd.index.maintenance.archive` and `pacsd.index.progress`.

Revision: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_CODE_POINTS = sa.Text().with_variant(sa.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "archive",
        sa.Column("id", _BIG, nullable=False),
        sa.Column("identity", _CODE_POINTS, nullable=False),
        sa.Column("generation", _BIG, nullable=False),
        sa.Column("swept_generation", _BIG, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_archive")),
    )
    op.create_table(
        "progress",
        sa.Column("work", _CODE_POINTS, nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("position", _CODE_POINTS, nullable=False),
        sa.Column("done", _BIG, nullable=False),
        sa.Column("total", _BIG),
        sa.Column("faults", _BIG, nullable=False),
        sa.PrimaryKeyConstraint("work", name=op.f("pk_progress")),
    )


def downgrade() -> None:
    for table in ("progress", "archive"):
        op.drop_table(table)
