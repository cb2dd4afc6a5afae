"""What an index holds, read past its questions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pacsd.index.repository import Index


def patient_names(index: Index) -> list[str]:
    return [header["PatientName"] for header in headers(index, "patients")]


def headers(index: Index, table: str) -> list[dict[str, str]]:
    with index._reading.connect() as connection:
        return [json.loads(row[0]) for row in connection.exec_driver_sql(f"SELECT header FROM {table}")]


def row_counts(index: Index) -> dict[str, int]:
    with index._reading.connect() as connection:
        return {
            table: connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
            for table in ("patients", "studies", "series", "instances")
        }
