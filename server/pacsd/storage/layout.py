"""Where an instance's file belongs below the storage root, and which UIDs may become part of a path."""

from __future__ import annotations

import hashlib
import posixpath
import re
from typing import TYPE_CHECKING, Final

from pacsd.errors import DatasetInvalid

if TYPE_CHECKING:
    from datetime import datetime

__all__ = [
    "LONGEST_KEPT_UID",
    "MAXIMUM_UID_LENGTH",
    "has_hashed_name",
    "has_receipt",
    "instance_path",
    "is_keepable_uid",
    "is_valid_uid",
    "name_of_uid",
    "path_of_receipt",
    "path_without_receipt",
    "sop_instance_uid_of",
]

MAXIMUM_UID_LENGTH: Final = 64
"""Characters of a UID, without padding (PS3.5 §9.1)."""
LONGEST_KEPT_UID: Final = 128
"""Characters of an invalid UID that is kept all the same: devices have made some of 65 and 70."""

HASHED: Final = "sha256-"
"""How the name of an invalid UID begins. No valid one has a letter, so no two UIDs share a name."""
HASH_LENGTH: Final = 32
"""Hexadecimal digits."""

# After the UID comes the receipt. Names of earlier versions have none, or `-1`, `-2`, ... where there were others.
_name = re.compile(
    rf"(?P<of_uid>[0-9.]+|{HASHED}[0-9a-f]{{{HASH_LENGTH}}})(?:-[0-9]+|-(?P<receipt>[0-9a-f]{{8}}-[0-9]+))?\.dcm",
    re.ASCII,
)

_matches_uid = re.compile(r"[0-9]+(?:\.[0-9]+)*", re.ASCII).fullmatch
# Without the backslash, which separates values, and the wildcards: no query could ask for a UID with one of them.
# Without the slash, too: whoever sends one wants a path. Something must be in it that is no sign.
_is_keepable = re.compile(r"(?=.*[0-9A-Za-z])(?! )[ -)+-.0->@-\[\]-~]+(?<! )", re.ASCII).fullmatch


def is_valid_uid(uid: str) -> bool:
    """Tell whether `uid` is digits and dots with no empty component and at most 64 characters (PS3.5 §9.1).

    Lenient in one point: a component may begin with a zero, as real devices send such UIDs.
    """
    return len(uid) <= MAXIMUM_UID_LENGTH and _matches_uid(uid) is not None


def is_keepable_uid(uid: str) -> bool:
    """Tell whether an instance can be kept under this UID, valid or not: found and fetched by just these characters.

    That is printable ASCII with a letter or digit, without slash, backslash, asterisk and question mark, and without
    spaces at the ends.
    """
    return len(uid) <= LONGEST_KEPT_UID and _is_keepable(uid) is not None


def name_of_uid(uid: str) -> str:
    """Return the name of a file or directory for a UID: the UID itself, or of an invalid one only its hash.

    So nothing that a peer sends can lead out of a directory, be too long for a file system, or differ in case alone.
    """
    if is_valid_uid(uid):
        return uid
    return HASHED + hashlib.sha256(uid.encode()).hexdigest()[:HASH_LENGTH]


def has_hashed_name(path: str) -> bool:
    """Tell whether some part of an instance's path stands for a UID that is not valid."""
    return HASHED in path


def instance_path(
    received: datetime, study_uid: str, series_uid: str, sop_instance_uid: str, *, strict: bool = False
) -> str:
    """Return `YYYY/MM/DD/<study>/<series>/<instance>.dcm`, relative to the storage root; see `name_of_uid`.

    The published file is beside it: see `path_of_receipt`.

    `received` is the time of receipt in UTC. Raises `DatasetInvalid`, naming the attribute, for a UID that cannot be
    kept, or with `strict` for one that is not valid.
    """
    date = f"{received.year:04}/{received.month:02}/{received.day:02}"
    if is_valid_uid(study_uid) and is_valid_uid(series_uid) and is_valid_uid(sop_instance_uid):
        return f"{date}/{study_uid}/{series_uid}/{sop_instance_uid}.dcm"
    uids = {
        "StudyInstanceUID": study_uid,
        "SeriesInstanceUID": series_uid,
        "SOPInstanceUID": sop_instance_uid,
    }
    for keyword, uid in uids.items():
        if not (is_valid_uid if strict else is_keepable_uid)(uid):
            allowed = "digits and dots (PS3.5 9.1)" if strict else "printable ASCII characters"
            longest = MAXIMUM_UID_LENGTH if strict else LONGEST_KEPT_UID
            raise DatasetInvalid(
                f"{keyword} is no {'valid ' * strict}UID: 1 to {longest} {allowed}", keywords=(keyword,)
            )
    return f"{date}/{'/'.join(map(name_of_uid, uids.values()))}.dcm"


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
