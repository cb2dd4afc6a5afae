"""`pacsd conflicts`."""

from __future__ import annotations

from itertools import groupby

from pacsd.cli.options import ConfigFile
from pacsd.cli.terminal import note, say
from pacsd.configuration import load_settings

__all__ = ["conflicts"]


def conflicts(config: ConfigFile = None) -> None:
    """List the studies whose objects name several patients: each patient's ID, number of objects, and senders.

    Such a study is found under each of them. Once the wrong objects were sent again with the right patient, or taken
    out of service (pacsd quarantine add), it is no longer listed. The server may run meanwhile.
    """
    from pacsd import app  # noqa: PLC0415

    studies = 0
    found = app.conflicts(load_settings(config))
    for study_instance_uid, patients in groupby(found, key=lambda each: each.study_instance_uid):
        studies += 1
        say(study_instance_uid)
        for each in patients:
            name = f"{each.patient_id or 'without a Patient ID'}"
            issuer = f" ({each.issuer_of_patient_id})" if each.issuer_of_patient_id else ""
            say(f"  {name}{issuer}: {each.instances} from {', '.join(each.senders)}")
    note(f"{studies} studies have several patients.")
