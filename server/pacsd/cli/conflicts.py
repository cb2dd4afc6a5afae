"""`pacsd conflicts`."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from pacsd.cli.options import ConfigFile
from pacsd.cli.terminal import note, say
from pacsd.configuration import load_settings

if TYPE_CHECKING:
    from pacsd.settings import Settings

__all__ = ["conflicts"]


def conflicts(config: ConfigFile = None) -> None:
    """List the studies whose objects name several patients, and those whose objects disagree on other attributes.

    Of the first each patient's ID, number of objects, and senders: such a study is found under each of them. Of the
    others the names of the attributes, how many objects say something else than the patient, study or series is said
    to have, and their senders; at IMAGE level each object is answered with what it says itself.

    Once the wrong objects were sent again as they should be, or taken out of service (pacsd quarantine add), a study is
    no longer listed. The server may run meanwhile.
    """
    settings = load_settings(config)
    several = _list_patients(settings)
    disagreeing = _list_attributes(settings)
    note(f"{several} studies have several patients.")
    note(f"{disagreeing} studies have objects that disagree on other attributes.")


def _list_patients(settings: Settings) -> int:
    from pacsd import app  # noqa: PLC0415

    studies = 0
    found = app.conflicts(settings)
    for study_instance_uid, patients in groupby(found, key=lambda each: each.study_instance_uid):
        studies += 1
        say(study_instance_uid)
        for each in patients:
            name = f"{each.patient_id or 'without a Patient ID'}"
            issuer = f" ({each.issuer_of_patient_id})" if each.issuer_of_patient_id else ""
            say(f"  {name}{issuer}: {each.instances} from {', '.join(each.senders)}")
    return studies


def _list_attributes(settings: Settings) -> int:
    from pacsd import app  # noqa: PLC0415

    studies = 0
    found = app.attribute_conflicts(settings)
    for study_instance_uid, disagreements in groupby(found, key=lambda each: each.study_instance_uid):
        studies += 1
        say(study_instance_uid)
        for each in disagreements:
            what = f"{each.level.value.lower()} {each.series_instance_uid}".rstrip()
            others = f"{each.instances} of {each.all_instances} objects, from {', '.join(each.senders)}"
            say(f"  {what}: {', '.join(each.keywords)}: {others}")
    return studies
