"""C-STOREs that a peer sends ahead of the answers to those before (PS3.7 §D.3.3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomnet import OutgoingInstance
from support.archive_server import ArchiveServer, client
from support.constructed import PATIENT_ID
from support.deadline import wait_until
from support.fake_archive import altered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from support.archive_server import Client
    from support.instance import Instance

STORAGE = "1.2.840.10008.5.1.4.1.1.7"
COUNT = 40


def outgoing(net: Client, instances: Sequence[Instance]) -> Iterator[OutgoingInstance]:
    context = net.context_for(STORAGE)
    for instance in instances:
        yield OutgoingInstance(context, instance.sop_instance_uid, instance.dataset)


def test_each_is_kept_and_answered(server: ArchiveServer) -> None:
    instances = [altered(number) for number in range(COUNT)]
    with client(server, STORAGE, operations=16) as net:
        assert net.association is not None
        assert net.association.maximum_operations_invoked == 16
        verdicts = [
            (instance.sop_instance_uid, response.status)
            for instance, response in net.c_store_all(outgoing(net, instances))
        ]
    assert verdicts == [(instance.sop_instance_uid, 0x0000) for instance in instances]
    assert sorted(server.index.records) == sorted(instance.sop_instance_uid for instance in instances)
    assert not server.store.incoming


def test_a_bad_one_among_them_is_refused_alone(server: ArchiveServer) -> None:
    instances = [
        altered(number, StudyInstanceUID=None) if number % 5 == 3 else altered(number)
        for number in range(COUNT)
    ]
    with client(server, STORAGE, operations=8) as net:
        statuses = [response.status for _, response in net.c_store_all(outgoing(net, instances))]
    assert statuses == [0xC000 if number % 5 == 3 else 0x0000 for number in range(COUNT)]
    assert len(server.index.records) == COUNT - COUNT // 5
    stores = [call for call in server.metrics.calls if call[0] == "store"]
    assert len(stores) == COUNT


def test_what_came_whole_before_an_abort_is_kept_or_not_at_all(server: ArchiveServer) -> None:
    with client(server, STORAGE, operations=32) as net:
        verdicts = net.c_store_all(outgoing(net, [altered(number) for number in range(COUNT)]))
        next(verdicts)
        net.close(graceful=False)
    wait_until(lambda: server.net.client_count == 0, within=10, what="the association ends")
    assert not server.store.incoming
    paths = {record.path for record in server.index.records.values()}
    assert paths == set(server.store.files)
    assert PATIENT_ID not in "".join(paths)
