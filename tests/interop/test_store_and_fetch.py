"""Every corpus instance, sent in its own transfer syntax, comes back byte for byte (PS3.4 §B.4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from support import scp, scu
from support.bundled import bundled_instances
from support.constructed import constructed_instances
from support.equality import differences

if TYPE_CHECKING:
    from interop.conftest import Archive, Destinations
    from support.instance import Instance
    from support.scu import Received

CORPUS = bundled_instances() + constructed_instances()
STUDIES = sorted({instance.study_instance_uid for instance in CORPUS})
every_instance = pytest.mark.parametrize("instance", CORPUS, ids=[instance.name for instance in CORPUS])


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The whole corpus as it came back, study by study."""

    outcomes: dict[str, scu.Outcome]
    """By Study Instance UID."""
    received: dict[str, Received]
    """By SOP Instance UID."""


@pytest.fixture(scope="module")
def got(archive: Archive) -> Retrieved:
    """Everything, fetched with C-GET through contexts for the stored transfer syntaxes."""
    contexts = scu.own_contexts(archive.instances)
    inbox, outcomes = scu.Inbox(), {}
    model = scu.STUDY_ROOT["get"]
    with scu.association(archive.server, [(model, scp.NARROW), *contexts], on_store=inbox.keep) as peer:
        for study in archive.studies():
            identifier = scu.keys("STUDY", StudyInstanceUID=study)
            outcomes[study] = scu.collect(peer.send_c_get(identifier, model))
    return Retrieved(outcomes, inbox.received)


@pytest.fixture(scope="module")
def moved(archive: Archive, destinations: Destinations) -> Retrieved:
    """Everything, sent with C-MOVE to a destination that takes every transfer syntax."""
    destinations.sink.reset()
    model, outcomes = scu.STUDY_ROOT["move"], {}
    with scu.association(archive.server, [(model, scp.NARROW)]) as peer:
        for study in archive.studies():
            identifier = scu.keys("STUDY", StudyInstanceUID=study)
            outcomes[study] = scu.collect(peer.send_c_move(identifier, "SINK", model, msg_id=77))
    return Retrieved(outcomes, dict(destinations.sink.inbox.received))


@every_instance
def test_is_acknowledged(archive: Archive, instance: Instance) -> None:
    assert archive.statuses[instance.name] == 0x0000


@every_instance
def test_comes_back_equal_with_c_get(got: Retrieved, instance: Instance) -> None:
    assert_equal(instance, got.received[instance.sop_instance_uid])


@every_instance
def test_arrives_equal_with_c_move(moved: Retrieved, instance: Instance) -> None:
    assert_equal(instance, moved.received[instance.sop_instance_uid])


@pytest.mark.parametrize("retrieved", ["got", "moved"])
@pytest.mark.parametrize("study", STUDIES)
def test_every_sub_operation_of_a_study_completes(
    archive: Archive, study: str, retrieved: str, request: pytest.FixtureRequest
) -> None:
    """PS3.4 §C.4.2.1.5 and §C.4.3.1.4: Success means that all completed, and it counts them."""
    outcome = request.getfixturevalue(retrieved).outcomes[study]
    assert outcome.status == 0x0000, outcome.error_comment
    assert outcome.counts == (len(archive.study(study)), 0, 0)
    assert outcome.identifier is None
    assert "NumberOfRemainingSuboperations" not in outcome.final


def test_c_move_names_its_originator_in_every_sub_operation(moved: Retrieved) -> None:
    """PS3.4 §C.4.2.2.1: who asked for the move, and with which message."""
    originators = {(one.originator_ae_title, one.originator_message_id) for one in moved.received.values()}
    assert originators == {(scu.CALLING_AE_TITLE, 77)}


def assert_equal(sent: Instance, received: Received) -> None:
    assert received.transfer_syntax_uid == sent.transfer_syntax_uid
    assert received.sop_class_uid == sent.sop_class_uid
    assert received.dataset == sent.dataset_on_the_wire
    assert differences(sent.read(), received.read()) == []
