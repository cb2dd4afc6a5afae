"""What can go wrong, in the archive's words; `scp.statuses` alone turns these into DIMSE statuses.

No message here holds patient data: UIDs of the DICOM object model and attribute keywords are the most they say.
"""

from __future__ import annotations

__all__ = [
    "ArchiveInUse",
    "ArchiveMismatch",
    "ConfigurationError",
    "DatasetInvalid",
    "DestinationUnreachable",
    "DuplicateInstance",
    "IdentifierInvalid",
    "IndexIncomplete",
    "IndexUnavailable",
    "InstanceDamaged",
    "MigrationNeeded",
    "OperationCancelled",
    "OperationTooCostly",
    "PacsdError",
    "QuarantineRefused",
    "ReindexRefused",
    "RetrieveCancelled",
    "RightsWithdrawn",
    "StorageFull",
    "StorageUnavailable",
    "TranscodingFailed",
    "UnknownDestination",
]


class PacsdError(Exception):
    """The root of the daemon's own errors."""


class ConfigurationError(PacsdError):
    """The configuration cannot be used; the message names the key and what to write instead."""


class ArchiveInUse(PacsdError):
    """Another server, or what is left of one, holds the store or the index; the message says which."""


class ArchiveMismatch(PacsdError):
    """Store and index do not belong together, or one of them is missing; the message says what to do."""


class DatasetInvalid(PacsdError):
    """A received data set cannot be archived: malformed, truncated, or an identifying attribute missing or wrong.

    `keywords` are the attributes at fault, for the Offending Element of the response.
    """

    def __init__(self, message: str, *, keywords: tuple[str, ...] = (), mismatch: bool = False) -> None:
        super().__init__(message)
        self.keywords = keywords
        self.mismatch = mismatch
        """The data set contradicts the command (PS3.4 B.2.3: A9xx) rather than being unreadable (Cxxx)."""


class DuplicateInstance(PacsdError):
    """Another object with this SOP Instance UID is kept and the policy is to refuse."""


class RightsWithdrawn(PacsdError):
    """A caller has lost a right that its association needs, so nothing more is done for it."""


class StorageFull(PacsdError):
    """No room for another instance: the disk is full or below its watermark."""


class StorageUnavailable(PacsdError):
    """The store cannot be written or read (permissions, read-only or failing disk).

    `is_missing` says that what was to be read is not there. With `lacks_resources` this process had no file or memory
    left, which says nothing of what was to be read.
    """

    def __init__(self, message: str, *, is_missing: bool = False, lacks_resources: bool = False) -> None:
        super().__init__(message)
        self.is_missing = is_missing
        self.lacks_resources = lacks_resources


class InstanceDamaged(PacsdError):
    """The file of a kept instance is not what the index says: missing, of another length or with other content."""


class IndexUnavailable(PacsdError):
    """The database cannot be reached, is locked or refuses to work.

    `may_be_written` says that a commit failed and the database has not said how: the rows may be there, or come yet.
    `was_reached` is false where no commit was sent at all, and so nothing can have been written.
    """

    def __init__(self, message: str, *, may_be_written: bool = False, was_reached: bool = True) -> None:
        super().__init__(message)
        self.may_be_written = may_be_written
        self.was_reached = was_reached


class IndexIncomplete(PacsdError):
    """The index does not know all stored files yet: an answer could lack some of them."""


class MigrationNeeded(PacsdError):
    """The database schema is not the one this version needs; the message says which command mends it."""


class QuarantineRefused(PacsdError):
    """An instance cannot be taken out of service or put back; the message says why."""


class OperationCancelled(PacsdError):
    """The peer that asked for an operation has cancelled it."""


class OperationTooCostly(PacsdError):
    """An operation needs more time, or room, than one may have; the message says of what."""


class ReindexRefused(PacsdError):
    """`pacsd reindex` cannot be run now; the message says what has to be done first."""


class IdentifierInvalid(PacsdError):
    """A query or retrieve identifier breaks PS3.4 C.4; `keywords` are the attributes at fault."""

    def __init__(self, message: str, *, keywords: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.keywords = keywords


class UnknownDestination(PacsdError):
    """A C-MOVE names a destination that is no configured peer."""


class DestinationUnreachable(PacsdError):
    """A configured peer cannot be connected to, or refuses the association."""


class TranscodingFailed(PacsdError):
    """An instance cannot be converted to a transfer syntax that the peer accepts."""


class RetrieveCancelled(PacsdError):
    """Who asked for a retrieve has cancelled it, or is gone, while an instance was being converted."""
