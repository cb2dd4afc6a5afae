"""The tables of the index, as migrations/ must leave them: one for each level, two for extra keys, two about itself.

Every level keeps its header attributes, as received, as JSON by keyword in `header`: responses are answered
from it. The other columns hold what is matched and ordered by, in the form of `normalization`. `inexact`
marks the few rows in which such a column can't decide (several values in one attribute, or one too long for
an index): they are compared in full with what `header` says.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import postgresql

from pacsd.model import QueryLevel

__all__ = [
    "MOST_PARAMETERS",
    "TABLES",
    "archive",
    "extra_keys",
    "extra_values",
    "instances",
    "metadata",
    "patients",
    "progress",
    "series",
    "studies",
]

MOST_PARAMETERS: Final = 10_000
"""Values to put into one statement's list; SQLite takes 32,766 parameters, PostgreSQL 65,535."""

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_BIG = BigInteger().with_variant(Integer(), "sqlite")
"""Only INTEGER is SQLite's row id, and it has 64 bits."""

_CODE_POINTS = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
"""Text ordered by code point, as SQLite does: a literal prefix is a range of it, so an index serves."""


def _key() -> Column[int]:
    return Column("id", _BIG, primary_key=True)


def _above(column: str, table: str) -> Column[int]:
    return Column(column, _BIG, ForeignKey(f"{table}.id"), nullable=False)


def _matched(name: str) -> Column[str]:
    return Column(name, _CODE_POINTS)


def _required(name: str) -> Column[str]:
    return Column(name, _CODE_POINTS, nullable=False)


def _header() -> tuple[Column[str], Column[bool]]:
    return Column("header", Text, nullable=False), Column("inexact", Boolean, nullable=False)


def _told_at() -> Column[int]:
    """When the object was received that the header is of, in microseconds since 1970; see `write/parent_rows`."""
    return Column("told_at", _BIG, nullable=False, server_default=text("0"))


def _of_inexact() -> Index:
    # Of those rows only: the storing of others then leaves it alone, and statistics never say that to look for the few
    # is to read all, as they do of a column with one value (SQLite believes it even when it looks for another).
    return Index(None, "inexact", sqlite_where=text("inexact = 1"), postgresql_where=text("inexact"))


patients: Final = Table(
    "patients",
    metadata,
    _key(),
    Column("patient_key", _CODE_POINTS, nullable=False, unique=True),
    _matched("patient_id"),
    _matched("issuer_of_patient_id"),
    _matched("patient_name"),
    _matched("patient_name_ideographic"),
    _matched("patient_name_phonetic"),
    _matched("patient_birth_date"),
    _matched("patient_sex"),
    *_header(),
    _told_at(),
    Index(None, "patient_id"),
    Index(None, "patient_name"),
    Index(None, "patient_name_ideographic"),
    Index(None, "patient_name_phonetic"),
    Index(None, "patient_birth_date"),
    _of_inexact(),
)

studies: Final = Table(
    "studies",
    metadata,
    _key(),
    _above("patient_row_id", "patients"),
    _required("study_instance_uid"),
    _matched("study_date"),
    _matched("study_time"),
    _matched("accession_number"),
    _matched("study_id"),
    _matched("study_description"),
    _matched("referring_physician_name"),
    _matched("referring_physician_name_ideographic"),
    _matched("referring_physician_name_phonetic"),
    *_header(),
    _told_at(),
    # A study whose objects name several patients is a row of each.
    UniqueConstraint("study_instance_uid", "patient_row_id"),
    Index(None, "patient_row_id"),
    Index(None, "study_date", "study_time"),
    Index(None, "accession_number"),
    Index(None, "study_id"),
    Index(None, "study_description"),
    Index(None, "referring_physician_name"),
    Index(None, "referring_physician_name_ideographic"),
    Index(None, "referring_physician_name_phonetic"),
    _of_inexact(),
)

series: Final = Table(
    "series",
    metadata,
    _key(),
    _above("study_row_id", "studies"),
    _required("series_instance_uid"),
    _matched("modality"),
    Column("series_number", Double),
    _matched("series_date"),
    _matched("series_time"),
    _matched("series_description"),
    _matched("body_part_examined"),
    _matched("performed_procedure_step_start_date"),
    *_header(),
    _told_at(),
    # What the instances say of patient, study and series, as far as their `own` has nothing else; JSON by keyword.
    # NULL where all of them say just what the rows above say.
    Column("said", Text),
    # By study and not alone: an instance is found by the UIDs it carries, even where two studies share a
    # series UID.
    UniqueConstraint("study_row_id", "series_instance_uid"),
    Index(None, "series_instance_uid"),
    Index(None, "modality", "study_row_id"),
    _of_inexact(),
    # Of the few in which objects disagree.
    Index(
        "ix_series_said",
        "study_row_id",
        sqlite_where=text("said IS NOT NULL"),
        postgresql_where=text("said IS NOT NULL"),
    ),
)

instances: Final = Table(
    "instances",
    metadata,
    _key(),
    _above("series_row_id", "series"),
    Column("sop_instance_uid", _CODE_POINTS, nullable=False, unique=True),
    _required("sop_class_uid"),
    Column("instance_number", Double),
    _required("transfer_syntax_uid"),
    Column("path", _CODE_POINTS, nullable=False, unique=True),
    Column("size", _BIG, nullable=False),
    Column("dataset_offset", _BIG, nullable=False),
    _required("checksum"),
    Column("received_at", DateTime(timezone=True), nullable=False),
    _required("calling_ae_title"),
    *_header(),
    # What it says of its patient, study and series otherwise than `said` of its series; "" where it says nothing.
    Column("own", Text),
    # Of its own, where it is not that of its series.
    _matched("modality"),
    Index(None, "series_row_id", "sop_class_uid"),
)

TABLES: Final[dict[QueryLevel, Table]] = {
    QueryLevel.PATIENT: patients,
    QueryLevel.STUDY: studies,
    QueryLevel.SERIES: series,
    QueryLevel.IMAGE: instances,
}
"""The table of each level."""

extra_keys: Final = Table(
    "extra_keys",
    metadata,
    Column("keyword", _CODE_POINTS, primary_key=True),
    _required("level"),
    # The last row, by id, that `pacsd reindex` has built.
    Column("built_to", _BIG, nullable=False),
    Column("is_built", Boolean, nullable=False),
)

extra_values: Final = Table(
    "extra_values",
    metadata,
    _key(),
    _required("keyword"),
    # NULL where no index can keep it: then only the header says what it is.
    _matched("value"),
    # Of the table of the key's level, which no foreign key can say.
    Column("row_id", _BIG, nullable=False),
    Index(None, "keyword", "value", "row_id"),
    Index(None, "row_id"),
)

archive: Final = Table(
    "archive",
    metadata,
    # One row: ARCHIVE_ROW.
    _key(),
    # The store's, made together with it.
    _required("identity"),
    # Of the server that writes now, or wrote last.
    Column("generation", _BIG, nullable=False),
    # All files that came in earlier generations of the store were looked at: each has its row.
    Column("swept_generation", _BIG, nullable=False),
)

progress: Final = Table(
    "progress",
    metadata,
    Column("work", _CODE_POINTS, primary_key=True),
    Column("began_at", DateTime(timezone=True), nullable=False),
    # NULL while there is something left to do.
    Column("ended_at", DateTime(timezone=True)),
    _required("position"),
    Column("done", _BIG, nullable=False),
    # NULL where it was not counted yet.
    Column("total", _BIG),
    Column("faults", _BIG, nullable=False),
)
