"""The archive's nouns: instances as received, kept, asked for and sent. Plain values, no behaviour of a layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

__all__ = [
    "LONGER_THAN_KEPT",
    "UNIQUE_KEYS",
    "ArchiveIdentity",
    "AttributeConflict",
    "CommitOutcome",
    "CommitResult",
    "DemographicsDifference",
    "DemographicsPolicy",
    "Difference",
    "DisagreeingObjects",
    "DuplicatePolicy",
    "ExtraKeysBuild",
    "FindQuery",
    "IndexState",
    "InstanceRecord",
    "InstanceSelection",
    "QueryLevel",
    "QueryModel",
    "QueryOptions",
    "Service",
    "StoredInstance",
    "StudyConflict",
    "StudyPatient",
    "WorkProgress",
]

LONGER_THAN_KEPT: Final = "\ufdd0"
"""What stands in the index for a value that is too long for it: a noncharacter, which no text has. The file has it."""


class Service(Enum):
    """A DIMSE service as it is permitted, measured and logged; the value stands in the configuration."""

    ECHO = "echo"
    STORE = "store"
    FIND = "find"
    MOVE = "move"
    GET = "get"

    @property
    def dimse_name(self) -> str:
        """As the Standard calls it (PS3.7 §9.1), and as metrics do: "C-STORE"."""
        return f"C-{self.value.upper()}"


class QueryLevel(Enum):
    """Query/Retrieve Level (PS3.4 C.3), from the top; the value is what stands in (0008,0052)."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"


UNIQUE_KEYS: Final = {
    QueryLevel.PATIENT: "PatientID",
    QueryLevel.STUDY: "StudyInstanceUID",
    QueryLevel.SERIES: "SeriesInstanceUID",
    QueryLevel.IMAGE: "SOPInstanceUID",
}
"""The unique key of each level, from the top (PS3.4 §C.6.1, §C.6.2)."""


class QueryModel(Enum):
    """Query/Retrieve information model (PS3.4 C.3)."""

    PATIENT_ROOT = "Patient Root"
    STUDY_ROOT = "Study Root"
    PATIENT_STUDY_ONLY = "Patient/Study Only"
    """Retired, and still asked for: Patient Root without what is below the studies."""


class DuplicatePolicy(Enum):
    """What becomes of an instance whose SOP Instance UID is already kept with other content."""

    REPLACE_OWN = "replace-own"
    """A known sender corrects what it has sent itself; of what others sent, the first stays."""
    KEEP_FIRST = "keep-first"
    REPLACE = "replace"
    """Any known sender corrects what anybody has sent."""
    REJECT = "reject"
    """Another name for `KEEP_FIRST`, from when that told the sender nothing."""


class DemographicsPolicy(Enum):
    """Which value a patient keeps where instances disagree; an empty one is none."""

    LATEST = "latest"
    FIRST = "first"


@dataclass(frozen=True, slots=True)
class DemographicsDifference:
    """An instance of this study brought other values for its patient than the index had under these keywords."""

    study_instance_uid: str
    keywords: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StudyConflict:
    """The objects of a study name different patients: it is found under each of them, with that patient's objects."""

    study_instance_uid: str
    patients: int
    """How many there are now."""


@dataclass(frozen=True, slots=True)
class AttributeConflict:
    """Objects of one study, or of one series, have come to say different things of it under these keywords."""

    level: QueryLevel
    study_instance_uid: str
    series_instance_uid: str
    """"" where it is the study."""
    keywords: tuple[str, ...]


Difference = DemographicsDifference | StudyConflict | AttributeConflict
"""What is noticed as objects are stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DisagreeingObjects:
    """The objects of a study that say different things of their patient, of the study, or of one series."""

    level: QueryLevel
    """Of what they say different things."""
    study_instance_uid: str
    series_instance_uid: str
    """"" unless it is a series."""
    keywords: tuple[str, ...]
    """Of the attributes at issue."""
    instances: int
    """How many say something else than the index says of the whole."""
    all_instances: int
    senders: tuple[str, ...]
    """The calling AE titles that those came from which say something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPatient:
    """One of the patients of a study whose objects name several."""

    study_instance_uid: str
    patient_id: str
    issuer_of_patient_id: str
    instances: int
    """How many of the study's are this patient's."""
    senders: tuple[str, ...]
    """The calling AE titles that they came from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRecord:
    """One received instance as the index keeps it; its file is already synced and in its final place."""

    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    attributes: Mapping[str, str]
    """Header attributes by DICOM keyword, decoded to Unicode, multiple values joined by a backslash.

    A sequence is `sequences.text_of` its items; bulk data are not among them. An attribute sent empty is "", an
    absent one missing. A value that is too long to be kept is `LONGER_THAN_KEPT`.
    """
    path: str
    """Of the file, relative to the storage root, with forward slashes; "" until it is published."""
    size: int
    """Of the whole file, bytes."""
    dataset_offset: int
    """Where the data set begins in the file (behind preamble and file meta information), bytes."""
    checksum: str
    """Of the data set as received, as `algorithm:hex`."""
    received_at: datetime
    """In UTC."""
    calling_ae_title: str
    other_checksums: frozenset[str] = frozenset()
    """Of the same data set by other algorithms, for comparing with what was stored under other settings."""
    distrusted: StoredInstance | None = None
    """What gives way to this one whatever the policy, if it is still kept: its file is missing or damaged."""
    may_correct: bool = True
    """Whether the sender is known, with store rights of its own: only such a one changes what is kept already."""
    is_from_file: bool = False
    """It was received long ago and its file was found now; others may have come before it that were received later."""


class CommitOutcome(Enum):
    """What the index decided about one instance of a batch."""

    STORED = "stored"
    REPLACED = "replaced"
    """An older object under this UID with other content gave way; its file is `obsolete_path`."""
    HEALED = "healed"
    """The file that was kept under this UID is missing or damaged and gave way; it is `obsolete_path`."""
    IDENTICAL = "identical"
    """The same content is already kept; the new file is not needed (`obsolete_path`)."""
    KEPT_FIRST = "kept-first"
    """Other content is already kept under this UID and stays; the new file is `obsolete_path`. The sender is told."""
    REJECTED = "rejected"
    """The same under the policy of this name."""


@dataclass(frozen=True, slots=True)
class CommitResult:
    """The outcome for one instance, and the file (relative path) that no row names any more, if any."""

    outcome: CommitOutcome
    obsolete_path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryOptions:
    """What extended negotiation turned on for a query or a retrieve (PS3.4 C.5); by default nothing."""

    relational: bool = False
    """The unique keys of the levels above may be missing, or say more than one entity."""
    combined_date_time: bool = False
    """Ranges of a date and of its time are one, of instants (PS3.4 C.2.2.2.5)."""
    empty_values: bool = False
    """A key of two quotation marks asks for entities without a value (PS3.4 C.2.2.2.7)."""
    multiple_values: bool = False
    """All values of a key must be there, and not any one, in attributes that may have several (PS3.4 C.2.2.2.8)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FindQuery:
    """A C-FIND's question: keys by DICOM keyword, in Unicode, as they stood in the identifier."""

    model: QueryModel
    level: QueryLevel
    keys: Mapping[str, str]
    """Matching and return keys; an empty value matches everything and asks for the attribute."""
    options: QueryOptions = QueryOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSelection:
    """A retrieve request's choice: the unique keys of `level` (one or several) and of the levels above (one each).

    Where it is `relational`, those of the levels above are any number of UIDs, also none.
    """

    model: QueryModel
    level: QueryLevel
    relational: bool = False
    patient_id: str | None = None
    study_instance_uids: tuple[str, ...] = ()
    series_instance_uids: tuple[str, ...] = ()
    sop_instance_uids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInstance:
    """One kept instance, as a retrieve needs it; fields as in `InstanceRecord`."""

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    path: str
    size: int
    dataset_offset: int
    checksum: str = ""
    """Of the data set, as `algorithm:hex`; "" where nobody has recorded one, as of a file that is only sent."""


@dataclass(frozen=True, slots=True)
class ArchiveIdentity:
    """What a store and its index both say, so that neither is taken for another archive's."""

    identity: str
    """A random UUID, made once for both."""
    generation: int
    """Of the store: one more with each start of a server on it."""


@dataclass(frozen=True, slots=True)
class IndexState:
    """What the index says of itself; `identity` is None until it belongs to a store."""

    identity: str | None
    generation: int
    """Of the last server that wrote to it."""
    swept_generation: int
    """All files that the store took in earlier generations were looked at, and have their rows."""
    has_instances: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkProgress:
    """How far long work has come; kept in the index, so that it goes on where a process ended."""

    began_at: datetime
    """In UTC, as `ended_at`."""
    ended_at: datetime | None = None
    """None while something is left to do."""
    position: str = ""
    """The last that is done, in the order of the work."""
    done: int = 0
    total: int | None = None
    """None where it was not counted."""
    faults: int = 0


@dataclass(frozen=True, slots=True)
class ExtraKeysBuild:
    """Where the building of one level's extra keys stands: by row id, up to `position` is done and `last` ends it."""

    level: QueryLevel
    keywords: tuple[str, ...]
    position: int
    last: int

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return self.position >= self.last
