"""A study whose objects name several patients is a row of each: it is unique by Study Instance UID and patient.

Each row above the instances says when the object was received that its header is of, and where objects disagree it is
kept what each of them says. See `pacsd.index.write.parent_rows` and `pacsd.index.write.disagreement`.

Revision: 0006
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_CODE_POINTS = sa.Text().with_variant(sa.TEXT(collation="C"), "postgresql")

_LEVELS = ("patients", "studies", "series")
_MATCHED = (
    "study_date",
    "study_time",
    "accession_number",
    "study_id",
    "study_description",
    "referring_physician_name",
    "referring_physician_name_ideographic",
    "referring_physician_name_phonetic",
)
_INDEXED = (("patient_row_id",), ("study_date", "study_time"), *((column,) for column in _MATCHED[2:]))


def _told_at() -> sa.Column[int]:
    # 0: before everything that is received from now on.
    return sa.Column("told_at", _BIG, nullable=False, server_default=sa.text("0"))


def upgrade() -> None:
    for table in _LEVELS:
        op.add_column(table, _told_at())
    op.add_column("series", sa.Column("said", sa.Text()))
    op.create_index(
        op.f("ix_series_said"),
        "series",
        ["study_row_id"],
        sqlite_where=sa.text("said IS NOT NULL"),
        postgresql_where=sa.text("said IS NOT NULL"),
    )
    op.add_column("instances", sa.Column("own", sa.Text()))
    op.add_column("instances", sa.Column("modality", _CODE_POINTS))
    if op.get_bind().dialect.name == "sqlite":
        _make_studies_anew(("study_instance_uid", "patient_row_id"), _told_at())
        return
    op.drop_constraint(op.f("uq_studies_study_instance_uid"), "studies")
    op.create_unique_constraint(
        op.f("uq_studies_study_instance_uid_patient_row_id"),
        "studies",
        ["study_instance_uid", "patient_row_id"],
    )


def downgrade() -> None:
    """Fails where a study has several patients: an older version has no place for it."""
    op.drop_index(op.f("ix_series_said"), "series")
    op.drop_column("series", "said")
    for column in ("own", "modality"):
        op.drop_column("instances", column)
    if op.get_bind().dialect.name == "sqlite":
        _make_studies_anew(("study_instance_uid",))
    else:
        op.drop_constraint(op.f("uq_studies_study_instance_uid_patient_row_id"), "studies")
        op.create_unique_constraint(op.f("uq_studies_study_instance_uid"), "studies", ["study_instance_uid"])
        op.drop_column("studies", "told_at")
    for table in ("patients", "series"):
        op.drop_column(table, "told_at")


def _make_studies_anew(unique: tuple[str, ...], *more: sa.Column[int]) -> None:
    """SQLite drops no constraint of a table. The rows keep their ids, so that those that refer to them need no look."""
    columns: list[sa.Column[Any]] = [
        sa.Column("id", _BIG, nullable=False),
        sa.Column("patient_row_id", _BIG, nullable=False),
        sa.Column("study_instance_uid", _CODE_POINTS, nullable=False),
        *(sa.Column(column, _CODE_POINTS) for column in _MATCHED),
        sa.Column("header", sa.Text(), nullable=False),
        sa.Column("inexact", sa.Boolean(), nullable=False),
        *more,
    ]
    names = ", ".join(column.name for column in columns)
    op.create_table(
        "studies_anew",
        *columns,
        sa.ForeignKeyConstraint(
            ["patient_row_id"], ["patients.id"], name=op.f("fk_studies_patient_row_id_patients")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_studies")),
        sa.UniqueConstraint(*unique, name=op.f(f"uq_studies_{'_'.join(unique)}")),
    )
    op.execute(f"INSERT INTO studies_anew ({names}) SELECT {names} FROM studies ORDER BY id")  # noqa: S608
    op.drop_table("studies")
    op.rename_table("studies_anew", "studies")
    for indexed in _INDEXED:
        op.create_index(op.f(f"ix_studies_{'_'.join(indexed)}"), "studies", [*indexed])
    op.create_index(op.f("ix_studies_inexact"), "studies", ["inexact"], sqlite_where=sa.text("inexact = 1"))
