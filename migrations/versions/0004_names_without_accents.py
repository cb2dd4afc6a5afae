"""Name columns are kept without accents, whether or not accents matter to queries; see `pacsd.query.accents`.

Values of extra keys may be names too, and are built anew by `pacsd reindex`.

Revision: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pacsd.query.accents import without_accents

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_NAMES = {"patients": "patient_name", "studies": "referring_physician_name"}
_STEP = 5000


def upgrade() -> None:
    for table, name in _NAMES.items():
        _rewrite(table, (name, f"{name}_ideographic", f"{name}_phonetic"))
    op.execute("UPDATE extra_keys SET is_built = false, built_to = 0")


def downgrade() -> None:
    """Nothing: an older version finds the names without their accents, and the index has to be made anew for more."""


def _rewrite(name: str, columns: tuple[str, ...]) -> None:
    """By steps, since a table may have more rows than memory has room for."""
    connection = op.get_bind()
    table = sa.table(name, sa.column("id"), *map(sa.column, columns))
    some = sa.select(table).where(table.c.id > sa.bindparam("after")).order_by(table.c.id).limit(_STEP)
    after = 0
    while rows := connection.execute(some, {"after": after}).all():
        after = rows[-1].id
        for row in rows:
            before = {column: getattr(row, column) for column in columns}
            changed = {
                column: without_accents(value)
                for column, value in before.items()
                if value is not None and without_accents(value) != value
            }
            if changed:
                connection.execute(table.update().where(table.c.id == row.id).values(changed))
