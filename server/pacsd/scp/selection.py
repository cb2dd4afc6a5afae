"""What a C-MOVE or C-GET identifier selects (PS3.4 §C.4.2.1.4.1)."""

from __future__ import annotations

from collections.abc import Sequence

from pacsd.dataset.identifier import Identifier, elements_of, read_identifier, write_identifier
from pacsd.model import InstanceSelection, QueryModel
from pacsd.scp.find import query_level

__all__ = ["failed_list", "read_selection"]


def read_selection(
    data: bytes,
    transfer_syntax: str,
    model: QueryModel,
    *,
    relational: bool = False,
    default_character_set: str = "",
) -> InstanceSelection:
    """Return the selection of an identifier; whether its keys make sense together is the index's to judge.

    Raises IdentifierInvalid.
    """
    identifier = read_identifier(data, transfer_syntax, default_character_set=default_character_set)
    return InstanceSelection(
        model=model,
        level=query_level(identifier),
        relational=relational,
        patient_id=identifier.value("PatientID") or None,
        study_instance_uids=_uids(identifier, "StudyInstanceUID"),
        series_instance_uids=_uids(identifier, "SeriesInstanceUID"),
        sop_instance_uids=_uids(identifier, "SOPInstanceUID"),
    )


def _uids(identifier: Identifier, keyword: str) -> tuple[str, ...]:
    return tuple(uid for uid in (part.strip(" \0") for part in identifier.value(keyword).split("\\")) if uid)


def failed_list(sop_instance_uids: Sequence[str], transfer_syntax: str) -> bytes | None:
    """Return the identifier that names the failed instances (0008,0058), None if there is none.

    In an explicit VR its length has 16 bits: no more UIDs than fit are named.
    """
    if not sop_instance_uids:
        return None
    longest = 0xFFFE
    value = "\\".join(sop_instance_uids)
    if len(value) > longest:
        value = value[: value.rindex("\\", 0, longest)]
    return write_identifier(elements_of({"FailedSOPInstanceUIDList": value}), transfer_syntax)
