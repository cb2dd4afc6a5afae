"""Versions of instances: the same SOP Instance UID with different content, sent, fetched and told apart."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from crash import load
from support import scu
from support.wire import WireAssociation

if TYPE_CHECKING:
    from support.instance import Instance
    from support.server import PacsdServer

NOTHING = 0
"""As a version: there is no such instance."""
DAMAGED = -1
"""As a version: none that was ever sent."""
_LENGTH = 4
"""Bytes at the end of the pixel data that say which version it is."""


def version(series: int, number: int, content: int) -> Instance:
    """One version, from 1 on, of an instance of `load`; versions have the same length."""
    model = load.instance(series, number)
    return replace(model, dataset=model.dataset[:-_LENGTH] + content.to_bytes(_LENGTH, "little"))


def version_of(uid: str, dataset: bytes) -> int:
    """Which version of the instance these bytes are, or DAMAGED."""
    content = int.from_bytes(dataset[-_LENGTH:], "little")
    return content if dataset == version(*load.numbers_of(uid), content).dataset else DAMAGED


def connect(server: PacsdServer) -> WireAssociation:
    """An association for sending versions."""
    sample = load.instance(0, 1)
    return WireAssociation((server.host, server.port), [(sample.sop_class_uid, sample.transfer_syntax_uid)])


def send(server: PacsdServer, instance: Instance) -> int:
    """C-STORE on an association of its own; the status."""
    with connect(server) as peer:
        status = peer.store(instance).status
        peer.release()
    return status


def fetch(server: PacsdServer, instance: Instance) -> int | None:
    """C-GET one instance: which version came, NOTHING where none matched, None where the retrieve failed."""
    outcome, inbox = scu.get(server, scu.image_keys(instance), scu.own_contexts([instance]))
    if outcome.status != 0x0000:
        return None
    received = inbox.received.get(instance.sop_instance_uid)
    return NOTHING if received is None else version_of(instance.sop_instance_uid, received.dataset)


def fetch_study(server: PacsdServer, instance: Instance) -> dict[str, int]:
    """C-GET the whole study of an instance: the version of each of its instances by SOP Instance UID."""
    keys = scu.keys("STUDY", StudyInstanceUID=instance.study_instance_uid)
    outcome, inbox = scu.get(server, keys, scu.own_contexts([instance]))
    assert outcome.status == 0x0000, f"{outcome.status:04X}: {sorted(outcome.failed_uids)}"
    return {uid: version_of(uid, received.dataset) for uid, received in inbox.received.items()}
