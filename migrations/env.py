"""Runs the revisions on the connection it is given, each in a transaction of its own.

`pacsd.index.schema.migrations` connects, takes the lock that keeps two servers from migrating at once, and calls
Alembic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic import context

from pacsd.index.schema.tables import metadata

if TYPE_CHECKING:
    from sqlalchemy import Connection


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        transaction_per_migration=True,
        # pacsd's SQLite connections begin transactions explicitly, so there too a step happens whole or not
        # at all.
        transactional_ddl=True,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])
