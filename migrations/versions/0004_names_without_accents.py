"""Name columns are kept without accents, whether or not accents matter to queries.

Values of extra keys may be names too, and are built anew by `pacsd reindex`.

Revision: 0004
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_NAMES = {"patients": "patient_name", "studies": "referring_physician_name"}
_STEP = 5000
_SCRIPTS = ("LATIN ", "GREEK ", "CYRILLIC ")
_WILDCARDS = "*?"


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
                column: _without_accents(value)
                for column, value in before.items()
                if value is not None and _without_accents(value) != value
            }
            if changed:
                connection.execute(table.update().where(table.c.id == row.id).values(changed))


def _without_accents(text: str) -> str:
    """As `pacsd.query.accents` did it at this revision; whatever that becomes, this stays."""
    if text.isascii():
        return text
    kept: list[str] = []
    is_bare = False
    for character in unicodedata.normalize("NFD", text):
        if unicodedata.category(character) != "Mn":
            is_bare = _loses_marks(character)
            kept.append(character)
        elif not is_bare:
            kept.append(character)
    return unicodedata.normalize("NFC", "".join(kept))


@lru_cache(maxsize=4096)
def _loses_marks(character: str) -> bool:
    return character in _WILDCARDS or unicodedata.name(character, "").startswith(_SCRIPTS)
