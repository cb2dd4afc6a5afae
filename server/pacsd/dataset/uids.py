"""UIDs (PS3.5 §9): which are valid, which are kept all the same, and what stands for one in a file's name."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from pacsd.errors import DatasetInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "HASHED",
    "HASH_LENGTH",
    "is_keepable_uid",
    "is_valid_uid",
    "name_of_uid",
    "verify_keepable",
]

MAXIMUM_UID_LENGTH: Final = 64
"""Characters of a UID, without padding (PS3.5 §9.1)."""
LONGEST_KEPT_UID: Final = 128
"""Characters of an invalid UID that is kept all the same: devices have made some of 65 and 70."""

HASHED: Final = "sha256-"
"""How the name of an invalid UID begins. No valid one has a letter, so no two UIDs share a name."""
HASH_LENGTH: Final = 32
"""Hexadecimal digits."""

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


def verify_keepable(uids: Mapping[str, str], *, strict: bool = False) -> bool:
    """Return whether all of some UIDs, by keyword, are valid.

    Raises `DatasetInvalid`, naming the attribute, for one that cannot be kept, or with `strict` for one that is not
    valid.
    """
    if all(map(is_valid_uid, uids.values())):
        return True
    for keyword, uid in uids.items():
        if not (is_valid_uid if strict else is_keepable_uid)(uid):
            allowed = "digits and dots (PS3.5 9.1)" if strict else "printable ASCII characters"
            longest = MAXIMUM_UID_LENGTH if strict else LONGEST_KEPT_UID
            raise DatasetInvalid(
                f"{keyword} is no {'valid ' * strict}UID: 1 to {longest} {allowed}", keywords=(keyword,)
            )
    return False


def name_of_uid(uid: str) -> str:
    """Return the name of a file or directory for a UID: the UID itself, or of an invalid one only its hash.

    So nothing that a peer sends can lead out of a directory, be too long for a file system, or differ in case alone.
    """
    if is_valid_uid(uid):
        return uid
    return HASHED + hashlib.sha256(uid.encode()).hexdigest()[:HASH_LENGTH]
