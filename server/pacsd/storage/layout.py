"""Where an instance's file belongs below the storage root, and which UIDs may become part of a path."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pacsd.errors import DatasetInvalid

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["MAXIMUM_UID_LENGTH", "instance_path", "is_valid_uid", "sop_instance_uid_of"]

MAXIMUM_UID_LENGTH: Final = 64
"""Characters of a UID, without padding (PS3.5 §9.1)."""

_name = re.compile(r"([0-9.]+?)(?:-[0-9]+)?\.dcm", re.ASCII)

_matches_uid = re.compile(r"[0-9]+(?:\.[0-9]+)*", re.ASCII).fullmatch


def is_valid_uid(uid: str) -> bool:
    """Tell whether `uid` is digits and dots with no empty component and at most 64 characters (PS3.5 §9.1).

    Lenient in one point: a component may begin with a zero, as real devices send such UIDs.
    """
    return len(uid) <= MAXIMUM_UID_LENGTH and _matches_uid(uid) is not None


def instance_path(received: datetime, study_uid: str, series_uid: str, sop_instance_uid: str) -> str:
    """Return `YYYY/MM/DD/<study>/<series>/<instance>.dcm`, relative to the storage root.

    `received` is the time of receipt in UTC. Raises `DatasetInvalid`, naming the attribute, for a UID that is
    none, so that nothing a peer sends can lead out of the root.
    """
    for keyword, uid in (
        ("StudyInstanceUID", study_uid),
        ("SeriesInstanceUID", series_uid),
        ("SOPInstanceUID", sop_instance_uid),
    ):
        if not is_valid_uid(uid):
            raise DatasetInvalid(
                f"{keyword} is no valid UID: 1 to {MAXIMUM_UID_LENGTH} digits and dots (PS3.5 9.1)",
                keywords=(keyword,),
            )
    date = f"{received.year:04}/{received.month:02}/{received.day:02}"
    return f"{date}/{study_uid}/{series_uid}/{sop_instance_uid}.dcm"


def sop_instance_uid_of(path: str) -> str | None:
    """Return the SOP Instance UID that a published file's name says, None where it says none.

    For a file that cannot say so itself; what another one says of itself counts more.
    """
    named = _name.fullmatch(path.rpartition("/")[2])
    return named[1] if named and is_valid_uid(named[1]) else None
