"""Values that the index does not keep, as they are too long for it: read from the files, for those who ask for them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import Final

import structlog

from pacsd.errors import DatasetInvalid, StorageUnavailable
from pacsd.model import InstanceSelection, QueryLevel, QueryModel, StoredInstance
from pacsd.services.ports import InstanceLocations, ReadableStore
from pacsd.services.records import DefaultCharacterSet, long_values_of_file

__all__ = ["LongValues"]

_log = structlog.get_logger()

_FILES: Final = 16
"""Files that are looked at for one patient, study or series, of whose instances not all need have the value."""


class LongValues:
    """Reads long values; one object per process, used by all its associations at once."""

    def __init__(
        self, files: ReadableStore, index: InstanceLocations, *, default_character_set: DefaultCharacterSet
    ) -> None:
        self._files = files
        self._index = index
        self._default_character_set = default_character_set

    def of(self, level: QueryLevel, unique_key: str, keywords: Collection[str]) -> Mapping[str, str]:
        """Return the values of an entity, which its unique key names, as `InstanceRecord.attributes` has them.

        What cannot be read, or is too long even for an answer, is not among them. Raises IndexUnavailable.
        """
        found: dict[str, str] = {}
        for instance in self._instances(level, unique_key):
            missing = [keyword for keyword in keywords if not found.get(keyword)]
            if not missing:
                break
            try:
                found |= long_values_of_file(
                    self._files, instance.path, missing, default_character_set=self._default_character_set
                )
            except (DatasetInvalid, StorageUnavailable) as error:
                _log.warning(
                    "long-value-not-read", sop_instance_uid=instance.sop_instance_uid, reason=str(error)
                )
        return found

    def _instances(self, level: QueryLevel, unique_key: str) -> Iterable[StoredInstance]:
        if level is QueryLevel.IMAGE:
            instance = self._index.find_by_sop_instance_uid(unique_key)
            return () if instance is None else (instance,)
        if not unique_key:
            return ()
        is_patient = level is QueryLevel.PATIENT
        return islice(
            self._index.locate(
                InstanceSelection(
                    model=QueryModel.PATIENT_ROOT if is_patient else QueryModel.STUDY_ROOT,
                    level=level,
                    relational=True,
                    patient_id=unique_key if is_patient else None,
                    study_instance_uids=(unique_key,) if level is QueryLevel.STUDY else (),
                    series_instance_uids=(unique_key,) if level is QueryLevel.SERIES else (),
                )
            ),
            _FILES,
        )
