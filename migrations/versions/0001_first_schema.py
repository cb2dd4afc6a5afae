"""The first schema: patients, studies, series and instances.

Every level keeps its header for answers, and columns for what is matched. See `pacsd.index.schema.tables`.

Revision: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_CODE_POINTS = sa.Text().with_variant(sa.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "patients",
        sa.Column("id", _BIG, nullable=False),
        sa.Column("patient_key", _CODE_POINTS, nullable=False),
        sa.Column("patient_id", _CODE_POINTS),
        sa.Column("issuer_of_patient_id", _CODE_POINTS),
        sa.Column("patient_name", _CODE_POINTS),
        sa.Column("patient_name_ideographic", _CODE_POINTS),
        sa.Column("patient_name_phonetic", _CODE_POINTS),
        sa.Column("patient_birth_date", _CODE_POINTS),
        sa.Column("patient_sex", _CODE_POINTS),
        sa.Column("header", sa.Text(), nullable=False),
        sa.Column("inexact", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patients")),
        sa.UniqueConstraint("patient_key", name=op.f("uq_patients_patient_key")),
    )
    op.create_index(op.f("ix_patients_inexact"), "patients", ["inexact"])
    op.create_index(op.f("ix_patients_patient_birth_date"), "patients", ["patient_birth_date"])
    op.create_index(op.f("ix_patients_patient_id"), "patients", ["patient_id"])
    op.create_index(op.f("ix_patients_patient_name"), "patients", ["patient_name"])
    op.create_index(op.f("ix_patients_patient_name_ideographic"), "patients", ["patient_name_ideographic"])
    op.create_index(op.f("ix_patients_patient_name_phonetic"), "patients", ["patient_name_phonetic"])
    op.create_table(
        "studies",
        sa.Column("id", _BIG, nullable=False),
        sa.Column("patient_row_id", _BIG, nullable=False),
        sa.Column("study_instance_uid", _CODE_POINTS, nullable=False),
        sa.Column("study_date", _CODE_POINTS),
        sa.Column("study_time", _CODE_POINTS),
        sa.Column("accession_number", _CODE_POINTS),
        sa.Column("study_id", _CODE_POINTS),
        sa.Column("study_description", _CODE_POINTS),
        sa.Column("referring_physician_name", _CODE_POINTS),
        sa.Column("referring_physician_name_ideographic", _CODE_POINTS),
        sa.Column("referring_physician_name_phonetic", _CODE_POINTS),
        sa.Column("header", sa.Text(), nullable=False),
        sa.Column("inexact", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["patient_row_id"], ["patients.id"], name=op.f("fk_studies_patient_row_id_patients")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_studies")),
        sa.UniqueConstraint("study_instance_uid", name=op.f("uq_studies_study_instance_uid")),
    )
    op.create_index(op.f("ix_studies_accession_number"), "studies", ["accession_number"])
    op.create_index(op.f("ix_studies_inexact"), "studies", ["inexact"])
    op.create_index(op.f("ix_studies_patient_row_id"), "studies", ["patient_row_id"])
    op.create_index(op.f("ix_studies_referring_physician_name"), "studies", ["referring_physician_name"])
    op.create_index(
        op.f("ix_studies_referring_physician_name_ideographic"),
        "studies",
        ["referring_physician_name_ideographic"],
    )
    op.create_index(
        op.f("ix_studies_referring_physician_name_phonetic"), "studies", ["referring_physician_name_phonetic"]
    )
    op.create_index(op.f("ix_studies_study_date_study_time"), "studies", ["study_date", "study_time"])
    op.create_index(op.f("ix_studies_study_description"), "studies", ["study_description"])
    op.create_index(op.f("ix_studies_study_id"), "studies", ["study_id"])
    op.create_table(
        "series",
        sa.Column("id", _BIG, nullable=False),
        sa.Column("study_row_id", _BIG, nullable=False),
        sa.Column("series_instance_uid", _CODE_POINTS, nullable=False),
        sa.Column("modality", _CODE_POINTS),
        sa.Column("series_number", sa.Double()),
        sa.Column("series_date", _CODE_POINTS),
        sa.Column("series_time", _CODE_POINTS),
        sa.Column("series_description", _CODE_POINTS),
        sa.Column("body_part_examined", _CODE_POINTS),
        sa.Column("performed_procedure_step_start_date", _CODE_POINTS),
        sa.Column("header", sa.Text(), nullable=False),
        sa.Column("inexact", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_row_id"], ["studies.id"], name=op.f("fk_series_study_row_id_studies")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_series")),
        sa.UniqueConstraint(
            "study_row_id", "series_instance_uid", name=op.f("uq_series_study_row_id_series_instance_uid")
        ),
    )
    op.create_index(op.f("ix_series_inexact"), "series", ["inexact"])
    op.create_index(op.f("ix_series_modality_study_row_id"), "series", ["modality", "study_row_id"])
    op.create_index(op.f("ix_series_series_instance_uid"), "series", ["series_instance_uid"])
    op.create_table(
        "instances",
        sa.Column("id", _BIG, nullable=False),
        sa.Column("series_row_id", _BIG, nullable=False),
        sa.Column("sop_instance_uid", _CODE_POINTS, nullable=False),
        sa.Column("sop_class_uid", _CODE_POINTS, nullable=False),
        sa.Column("instance_number", sa.Double()),
        sa.Column("transfer_syntax_uid", _CODE_POINTS, nullable=False),
        sa.Column("path", _CODE_POINTS, nullable=False),
        sa.Column("size", _BIG, nullable=False),
        sa.Column("dataset_offset", _BIG, nullable=False),
        sa.Column("checksum", _CODE_POINTS, nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("calling_ae_title", _CODE_POINTS, nullable=False),
        sa.Column("header", sa.Text(), nullable=False),
        sa.Column("inexact", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["series_row_id"], ["series.id"], name=op.f("fk_instances_series_row_id_series")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instances")),
        sa.UniqueConstraint("path", name=op.f("uq_instances_path")),
        sa.UniqueConstraint("sop_instance_uid", name=op.f("uq_instances_sop_instance_uid")),
    )
    op.create_index(
        op.f("ix_instances_series_row_id_sop_class_uid"), "instances", ["series_row_id", "sop_class_uid"]
    )


def downgrade() -> None:
    for table in ("instances", "series", "studies", "patients"):
        op.drop_table(table)
