"""C-GET and C-MOVE: levels, counts, final statuses, failed UIDs and C-CANCEL (PS3.4 §C.4.2, §C.4.3)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from support import scp, scu
from support.deadline import wait_until

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pynetdicom import evt

    from interop.conftest import Archive
    from support.instance import Instance

CT, MR = "CT_small.dcm", "MR_small.dcm"
SERIES_OF_MANY = "1.2.826.0.1.3680043.8.498.73052100648462801855733330064330327590"
CANCEL_ID = 4711


def two_studies(archive: Archive) -> tuple[list[Instance], list[Instance]]:
    """The instances of a CT study and of an MR study."""
    ct, mr = (archive.study(archive.named(name).study_instance_uid) for name in (CT, MR))
    return ct, mr


def many(archive: Archive) -> list[Instance]:
    """The instances of one series that takes a while."""
    instances = [i for i in archive.instances if i.series_instance_uid == SERIES_OF_MANY]
    assert len(instances) > 30
    return instances


@pytest.mark.parametrize("level", ["PATIENT", "STUDY", "SERIES", "IMAGE"])
def test_c_get_in_patient_root_at_every_level(archive: Archive, level: str) -> None:
    instance = archive.named(CT)
    uids = {
        "PATIENT": ("PatientID", str(instance.read().PatientID)),
        "STUDY": ("StudyInstanceUID", instance.study_instance_uid),
        "SERIES": ("SeriesInstanceUID", instance.series_instance_uid),
        "IMAGE": ("SOPInstanceUID", instance.sop_instance_uid),
    }
    chosen = dict(list(uids.values())[: list(uids).index(level) + 1])
    outcome, inbox = scu.get(
        archive.server,
        scu.keys(level, **chosen),
        scu.own_contexts([instance]),
        model=scu.PATIENT_ROOT["get"],
    )
    assert outcome.status == 0x0000, outcome.error_comment
    assert inbox.received[instance.sop_instance_uid].dataset == instance.dataset


@pytest.mark.parametrize("level", ["PATIENT", "STUDY"])
@pytest.mark.parametrize("service", ["get", "move"])
def test_patient_study_only_retrieves_at_its_two_levels(
    archive: Archive, sink: scp.Destination, service: str, level: str
) -> None:
    """The retired model, where it is proposed."""
    instance = archive.named(CT)
    identifier = scu.keys(level, PatientID=str(instance.read().PatientID))
    if level == "STUDY":
        identifier.StudyInstanceUID = instance.study_instance_uid
    model = scu.PATIENT_STUDY_ONLY[service]
    if service == "get":
        outcome, inbox = scu.get(archive.server, identifier, scu.own_contexts([instance]), model=model)
    else:
        outcome, inbox = scu.move(archive.server, identifier, sink.ae_title, model=model), sink.inbox
    assert outcome.status == 0x0000, outcome.error_comment
    assert inbox.received[instance.sop_instance_uid].dataset == instance.dataset


def test_c_get_takes_a_list_of_study_uids(archive: Archive) -> None:
    ct, mr = two_studies(archive)
    outcome, inbox = scu.get(archive.server, study_keys(ct, mr), scu.own_contexts(ct + mr))
    assert outcome.status == 0x0000, outcome.error_comment
    assert set(inbox.received) == {i.sop_instance_uid for i in ct + mr}


def test_c_get_fails_what_no_context_fits_and_sends_the_rest(archive: Archive) -> None:
    """Warning B000, and the Failed SOP Instance UID List names them."""
    ct, mr = two_studies(archive)
    outcome, inbox = scu.get(archive.server, study_keys(ct, mr), scu.own_contexts(ct))
    assert outcome.status == 0xB000
    assert outcome.counts == (len(ct), len(mr), 0)
    assert outcome.failed_uids == {i.sop_instance_uid for i in mr}
    assert set(inbox.received) == {i.sop_instance_uid for i in ct}


def test_c_get_fails_entirely_when_no_context_fits(archive: Archive) -> None:
    ct, mr = two_studies(archive)
    outcome, inbox = scu.get(archive.server, study_keys(mr), scu.own_contexts(ct))
    assert outcome.status == 0xA702
    assert outcome.counts == (0, len(mr), 0)
    assert outcome.failed_uids == {i.sop_instance_uid for i in mr}
    assert inbox.received == {}


def test_c_get_without_the_scp_role_sends_nothing(archive: Archive) -> None:
    """PS3.7 §D.3.3.4: without role selection the requestor is no SCP, so no C-STORE may be sent to it."""
    ct, _ = two_studies(archive)
    contexts = [(scu.STUDY_ROOT["get"], scp.NARROW), *scu.own_contexts(ct)]
    with scu.association(archive.server, contexts) as peer:
        outcome = scu.collect(peer.send_c_get(study_keys(ct), scu.STUDY_ROOT["get"]))
    assert outcome.status == 0xA702
    assert outcome.counts == (0, len(ct), 0)


@pytest.mark.parametrize("service", ["get", "move"])
def test_a_retrieve_that_matches_nothing_succeeds_with_zero_counts(
    archive: Archive, service: str, sink: scp.Destination
) -> None:
    identifier = scu.keys("STUDY", StudyInstanceUID="1.2.3.4.5.6.7.8.9")
    if service == "get":
        outcome, _ = scu.get(archive.server, identifier, scu.own_contexts([archive.named(CT)]))
    else:
        outcome = scu.move(archive.server, identifier, sink.ae_title)
    assert outcome.status == 0x0000
    assert outcome.counts == (0, 0, 0)


def test_c_get_counts_what_the_receiver_refuses(archive: Archive) -> None:
    """A C-STORE answered with a failure is a failed sub-operation."""
    ct, mr = two_studies(archive)

    def refuse_mr(event: evt.Event) -> int:
        refused = event.request.AffectedSOPInstanceUID in {i.sop_instance_uid for i in mr}
        return 0xA700 if refused else 0x0000

    contexts = [(scu.STUDY_ROOT["get"], scp.NARROW), *scu.own_contexts(ct + mr)]
    with scu.association(archive.server, contexts, on_store=refuse_mr) as peer:
        outcome = scu.collect(peer.send_c_get(study_keys(ct, mr), scu.STUDY_ROOT["get"]))
    assert outcome.status == 0xB000
    assert outcome.counts == (len(ct), len(mr), 0)
    assert outcome.failed_uids == {i.sop_instance_uid for i in mr}


def test_c_move_counts_warnings_of_the_destination(archive: Archive, sink: scp.Destination) -> None:
    ct, _ = two_studies(archive)
    sink.on_store = lambda event: 0xB007
    outcome = scu.move(archive.server, study_keys(ct), sink.ae_title)
    assert outcome.status == 0xB000
    assert outcome.counts == (0, 0, len(ct))


def test_c_move_fails_what_the_destination_refuses(archive: Archive, sink: scp.Destination) -> None:
    ct, _ = two_studies(archive)
    sink.on_store = lambda event: 0xA700
    outcome = scu.move(archive.server, study_keys(ct), sink.ae_title)
    assert outcome.status == 0xA702
    assert outcome.counts == (0, len(ct), 0)
    assert outcome.failed_uids == {i.sop_instance_uid for i in ct}


def test_c_move_to_an_unknown_destination_names_it(archive: Archive) -> None:
    ct, _ = two_studies(archive)
    outcome = scu.move(archive.server, study_keys(ct), "WHOISTHIS")
    assert outcome.status == 0xA801
    assert "WHOISTHIS" in outcome.error_comment


def test_c_move_to_an_unreachable_destination_fails_all(archive: Archive) -> None:
    """Known but not there: A702 with everything counted as failed, not A801."""
    ct, _ = two_studies(archive)
    outcome = scu.move(archive.server, study_keys(ct), "NOBODY")
    assert outcome.status == 0xA702
    assert outcome.counts == (0, len(ct), 0)
    assert outcome.error_comment


def test_c_cancel_stops_a_c_get(archive: Archive) -> None:
    """The cancel request goes out before the first C-STORE is answered, so it cannot come too late."""
    instances = many(archive)
    inbox = scu.Inbox()
    model = scu.STUDY_ROOT["get"]

    def cancel_and_keep(event: evt.Event) -> int:
        if not inbox.received:
            event.assoc.send_c_cancel(CANCEL_ID, query_model=model)
        return inbox.keep(event)

    contexts = [(model, scp.NARROW), *scu.own_contexts(instances)]
    with scu.association(archive.server, contexts, on_store=cancel_and_keep) as peer:
        outcome = scu.collect(peer.send_c_get(study_keys(instances), model, msg_id=CANCEL_ID))
    assert outcome.status == 0xFE00
    completed, failed, _ = outcome.counts
    assert (completed, failed) == (len(inbox.received), 0)
    assert completed < len(instances)
    total = len(archive.study(instances[0].study_instance_uid))
    assert completed + int(outcome.final.NumberOfRemainingSuboperations) == total


def test_c_cancel_stops_a_c_move(archive: Archive, sink: scp.Destination) -> None:
    """The destination withholds its first answer until the cancel request is out."""
    instances = many(archive)
    model = scu.STUDY_ROOT["move"]
    asked, cancelled = threading.Event(), threading.Event()
    keep = sink.inbox.keep

    def wait_for_cancel(event: evt.Event) -> int:
        asked.set()
        cancelled.wait(20)
        return keep(event)

    sink.on_store = wait_for_cancel
    with scu.association(archive.server, [(model, scp.NARROW)]) as peer:

        def cancel() -> None:
            asked.wait(20)
            peer.send_c_cancel(CANCEL_ID, query_model=model)
            wait_until(peer.dul.to_provider_queue.empty, within=10, what="the cancel request is sent")
            cancelled.set()

        canceller = threading.Thread(target=cancel)
        canceller.start()
        outcome = scu.collect(peer.send_c_move(study_keys(instances), "SINK", model, msg_id=CANCEL_ID))
        canceller.join()
    assert outcome.status == 0xFE00
    completed, failed, _ = outcome.counts
    assert (completed, failed) == (len(sink.inbox.received), 0)
    assert completed < len(instances)


def study_keys(*studies: list[Instance]) -> Dataset:
    uids = [instances[0].study_instance_uid for instances in studies]
    return scu.keys("STUDY", StudyInstanceUID=uids[0] if len(uids) == 1 else uids)
