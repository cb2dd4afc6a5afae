"""`pacsd conflicts`."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

from pacsd.cli.options import ConfigFile
from pacsd.cli.terminal import note, say
from pacsd.configuration import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pacsd.model import DisagreeingObjects, StudyPatient

__all__ = ["conflicts"]

Conflict = TypeVar("Conflict", "StudyPatient", "DisagreeingObjects")


def conflicts(config: ConfigFile = None) -> None:
    """List the studies whose objects name several patients, and those whose objects disagree on other attributes.

    Of the first each patient's ID, number of objects, and senders: such a study is found under each of them. Of the
    others the names of the attributes, how many objects say something else than the patient, study or series is said
    to have, and their senders; at IMAGE level each object is answered with what it says itself.

    Once the wrong objects were sent again as they should be, or taken out of service (pacsd quarantine add), a study is
    no longer listed. The server may run meanwhile.
    """
    from pacsd import app  # noqa: PLC0415

    settings = load_settings(config)
    several = _list(app.conflicts(settings), _patient)
    disagreeing = _list(app.attribute_conflicts(settings), _attributes)
    note(f"{several} studies have several patients.")
    note(f"{disagreeing} studies have objects that disagree on other attributes.")


def _list(found: Iterable[Conflict], described: Callable[[Conflict], str]) -> int:
    """List what was found, a line each below its study; return how many studies there are."""
    studies = 0
    for study_instance_uid, of_study in groupby(found, key=lambda each: each.study_instance_uid):
        studies += 1
        say(study_instance_uid)
        for each in of_study:
            say(f"  {described(each)}")
    return studies


def _patient(each: StudyPatient) -> str:
    issuer = f" ({each.issuer_of_patient_id})" if each.issuer_of_patient_id else ""
    return f"{each.patient_id or 'without a Patient ID'}{issuer}: {each.instances} from {', '.join(each.senders)}"


def _attributes(each: DisagreeingObjects) -> str:
    what = f"{each.level.value.lower()} {each.series_instance_uid}".rstrip()
    others = f"{each.instances} of {each.all_instances} objects, from {', '.join(each.senders)}"
    return f"{what}: {', '.join(each.keywords)}: {others}"
