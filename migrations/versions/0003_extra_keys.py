"""Values of the attributes that the administrator has indexed, one in a row, and how far each key is built.

See `pacsd.index.schema.extra_keys`.

Revision: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_CODE_POINTS = sa.Text().with_variant(sa.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "extra_keys",
        sa.Column("keyword", _CODE_POINTS, nullable=False),
        sa.Column("level", _CODE_POINTS, nullable=False),
        sa.Column("built_to", _BIG, nullable=False),
        sa.Column("is_built", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("keyword", name=op.f("pk_extra_keys")),
    )
    op.create_table(
        "extra_values",
        sa.Column("id", _BIG, nullable=False),
        sa.Column("keyword", _CODE_POINTS, nullable=False),
        sa.Column("value", _CODE_POINTS),
        sa.Column("row_id", _BIG, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_extra_values")),
    )
    op.create_index(
        op.f("ix_extra_values_keyword_value_row_id"), "extra_values", ["keyword", "value", "row_id"]
    )
    op.create_index(op.f("ix_extra_values_row_id"), "extra_values", ["row_id"])


def downgrade() -> None:
    for table in ("extra_values", "extra_keys"):
        op.drop_table(table)
