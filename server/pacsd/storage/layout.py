"""Where an instance's file belongs below the storage root."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from pacsd.dataset.uids import HASH_LENGTH, HASHED, is_valid_uid, name_of_uid

if TYPE_CHECKING:
    from datetime import datetime

__all__ = [
    "has_receipt",
    "instance_path",
    "path_of_receipt",
    "path_without_receipt",
    "sop_instance_uid_of",
]

# After the UID comes the receipt. Names of earlier versions have none, or `-1`, `-2`, ... where there were others.
_name = re.compile(
    rf"(?P<of_uid>[0-9.]+|{HASHED}[0-9a-f]{{{HASH_LENGTH}}})(?:-[0-9]+|-(?P<receipt>[0-9a-f]{{8}}-[0-9]+))?\.dcm",
    re.ASCII,
)


def instance_path(received: datetime, study_uid: str, series_uid: str, sop_instance_uid: str) -> str:
    """Return `YYYY/MM/DD/<study>/<series>/<instance>.dcm`, relative to the storage root; see `name_of_uid`.

    The published file is beside it: see `path_of_receipt`. `received` is the time of receipt in UTC.
    """
    date = f"{received.year:04}/{received.month:02}/{received.day:02}"
    return f"{date}/{name_of_uid(study_uid)}/{name_of_uid(series_uid)}/{name_of_uid(sop_instance_uid)}.dcm"


def sop_instance_uid_of(path: str) -> str | None:
    """Return the SOP Instance UID that a published file's name says, None where it says none.

    For a file that cannot say so itself; what another one says of itself counts more. A hashed name says none.
    """
    named = _name.fullmatch(path.rpartition("/")[2])
    return named["of_uid"] if named and is_valid_uid(named["of_uid"]) else None


def path_of_receipt(path: str, receipt: str) -> str:
    """Return the path of one receipt of the instance that `instance_path` belongs to.

    `receipt` is 8 hexadecimal digits, a hyphen and a number, and never the same twice. So no file gets the name of one
    that was removed, which somebody may still be about to read or to remove.
    """
    stem, suffix = posixpath.splitext(path)
    return f"{stem}-{receipt}{suffix}"


def has_receipt(path: str) -> bool:
    """Tell whether a published file's name has the part that no other file's name ever has."""
    named = _name.fullmatch(path.rpartition("/")[2])
    return named is not None and named["receipt"] is not None


def path_without_receipt(path: str) -> str:
    """Return what `instance_path` gave for a published file; the path itself where its name is none of ours."""
    folder, _, name = path.rpartition("/")
    named = _name.fullmatch(name)
    return f"{folder}/{named['of_uid']}.dcm" if named else path
