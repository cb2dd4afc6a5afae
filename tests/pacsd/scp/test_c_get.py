"""C-GET over a real socket: what comes back on the association, and how it is counted (PS3.4 §C.4.3)."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from dicomnet import AssociationEnded, CStoreRequest, Status, SubOperationResponse
from pacsd.dataset.identifier import elements_of, read_identifier, write_identifier
from pacsd.errors import IndexUnavailable, TranscodingFailed
from pacsd.scp import retrieving
from pacsd.services.ports import OpenedObject
from pacsd.storage.aside import Aside
from support import scu
from support.archive_server import EXPLICIT, ArchiveServer, Client, archive_server, client
from support.constructed import FAMILY_NAME, PATIENT_ID
from support.deadline import wait_until
from support.fake_archive import altered, with_raw_uid
from support.instance import Instance

GET = "1.2.840.10008.5.1.4.1.2.2.3"
STORAGE = "1.2.840.10008.5.1.4.1.1.7"
CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT = "1.2.840.10008.1.2"
STUDY = "1.2.3.4"


def study(count: int, **attributes: str) -> list[Instance]:
    """Instances of one study."""
    return [altered(number, StudyInstanceUID=STUDY, **attributes) for number in range(1, count + 1)]


def ask(net: Client, **keys: str) -> list[tuple[SubOperationResponse, list[str]]]:
    """Each response to one C-GET, with its list of failed instances."""
    identifier = write_identifier(elements_of({"QueryRetrieveLevel": "STUDY", **keys}), EXPLICIT)
    answers = []
    for response, data in net.c_get(net.context_for(GET), identifier):
        failed = read_identifier(data, EXPLICIT).value("FailedSOPInstanceUIDList") if data else ""
        answers.append((response, failed.split("\\") if failed else []))
    return answers


def counts(response: SubOperationResponse) -> tuple[int | None, ...]:
    """Remaining, completed, failed, warning."""
    return (
        response.number_of_remaining_suboperations,
        response.number_of_completed_suboperations,
        response.number_of_failed_suboperations,
        response.number_of_warning_suboperations,
    )


def test_a_study_comes_byte_for_byte(server: ArchiveServer) -> None:
    instances = study(3)
    server.keep(*instances)
    with client(server, GET, as_scp_of=[STORAGE]) as net:
        *_, (final, failed) = ask(net, StudyInstanceUID=STUDY)
    assert final.status == Status.SUCCESS
    assert counts(final) == (None, 3, 0, 0)
    assert failed == []
    assert net.received == {each.sop_instance_uid: (EXPLICIT, each.dataset) for each in instances}
    assert [request.move_originator_message_id for request in net.requests] == [None] * 3


@pytest.mark.parametrize("uid", ["1." + "9" * 63, "1." + "9" * 126, "LOCALIZER.1", "1.2..3", "1.2-3."])
def test_what_was_stored_under_an_invalid_uid_comes_back_under_it(server: ArchiveServer, uid: str) -> None:
    instance = with_raw_uid(altered(StudyInstanceUID=STUDY), "SOPInstanceUID", uid)
    with client(server, GET, STORAGE, as_scp_of=[STORAGE]) as net:
        assert net.c_store(net.context_for(STORAGE), uid, instance.dataset).status == 0x0000
        *_, (final, _) = ask(net, StudyInstanceUID=STUDY)
    assert (final.status, counts(final)) == (Status.SUCCESS, (None, 1, 0, 0))
    assert net.received == {uid: (EXPLICIT, instance.dataset)}


def test_pynetdicom_gets(server: ArchiveServer) -> None:
    instances = study(2)
    server.keep(*instances)
    outcome, inbox = scu.get(
        server,  # type: ignore[arg-type]
        scu.keys("STUDY", StudyInstanceUID=STUDY),
        [(STORAGE, [EXPLICIT])],
    )
    assert (outcome.status, outcome.counts) == (0x0000, (2, 0, 0))
    assert {uid: each.dataset for uid, each in inbox.received.items()} == {
        each.sop_instance_uid: each.dataset for each in instances
    }


def test_nothing_selected_is_success(server: ArchiveServer) -> None:
    with client(server, GET, as_scp_of=[STORAGE]) as net:
        ((final, failed),) = ask(net, StudyInstanceUID="1.2.9")
    assert (final.status, counts(final), failed) == (Status.SUCCESS, (None, 0, 0, 0), [])


@pytest.mark.parametrize(
    ("replies", "status", "expected"),
    [
        ((0x0000, 0xB000, 0x0000), 0xB000, (None, 2, 0, 1)),
        ((0x0000, 0xA700, 0xB007), 0xB000, (None, 1, 1, 1)),
        ((0xA700, 0xC000, 0x0110), 0xA702, (None, 0, 3, 0)),
        ((0xB000, 0xB000, 0xB000), 0xB000, (None, 0, 0, 3)),
    ],
)
def test_warnings_and_failures_are_counted_and_named(
    server: ArchiveServer, replies: tuple[int, ...], status: int, expected: tuple[int | None, ...]
) -> None:
    instances = study(3)
    server.keep(*instances)
    by_uid = dict(zip((each.sop_instance_uid for each in instances), replies, strict=True))
    with (
        capture_logs() as logs,
        client(
            server,
            GET,
            as_scp_of=[STORAGE],
            reply=lambda request: by_uid[request.affected_sop_instance_uid],
        ) as net,
    ):
        *_, (final, failed) = ask(net, StudyInstanceUID=STUDY)
    assert (final.status, counts(final)) == (status, expected)
    assert failed == [uid for uid, reply in by_uid.items() if reply >= 0xC000 or reply in (0xA700, 0x0110)]
    told = [line for line in logs if line["event"] == "suboperation-answered"]
    assert {line["sop_instance_uid"] for line in told} == {uid for uid, reply in by_uid.items() if reply}
    assert FAMILY_NAME not in str(logs)
    assert PATIENT_ID not in str(logs)


def test_a_class_that_the_requestor_does_not_receive_fails(server: ArchiveServer) -> None:
    received, refused = study(2)
    refused = replace(altered(2, StudyInstanceUID=STUDY, SOPClassUID=CT), sop_class_uid=CT)
    server.keep(received, refused)
    with client(server, GET, as_scp_of=[STORAGE]) as net:
        *_, (final, failed) = ask(net, StudyInstanceUID=STUDY)
    assert (final.status, counts(final)) == (0xB000, (None, 1, 1, 0))
    assert failed == [refused.sop_instance_uid]
    assert list(net.received) == [received.sop_instance_uid]


def test_without_role_selection_everything_fails(server: ArchiveServer) -> None:
    """PS3.7 §D.3.3.4: the default roles let only the requestor store."""
    instances = study(2)
    server.keep(*instances)
    with client(server, GET, STORAGE) as net:
        *_, (final, failed) = ask(net, StudyInstanceUID=STUDY)
    assert (final.status, counts(final)) == (0xA702, (None, 0, 2, 0))
    assert failed == [each.sop_instance_uid for each in instances]
    assert net.received == {}


@pytest.mark.parametrize("in_memory", [1_000_000, 0], ids=["in memory", "put aside"])
def test_what_the_requestor_cannot_read_is_transcoded(tmp_path: Path, in_memory: int) -> None:
    instance, converted = study(1)[0], b"converted!" * 60_000
    asked: list[tuple[bytes, set[str]]] = []

    def transcode(file: OpenedObject, syntaxes: Collection[str], **_: object) -> tuple[str, bytes]:
        asked.append((file.read_at(0, file.size), set(syntaxes)))
        return IMPLICIT, converted

    aside = Aside(transcode, tmp_path, in_memory=in_memory, in_files=1_000_000)
    with archive_server(transcode=aside) as server:
        server.keep(instance)
        with client(server, GET, as_scp_of=[STORAGE], syntaxes=(IMPLICIT,)) as net:
            identifier = write_identifier(
                elements_of({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": STUDY}), IMPLICIT
            )
            *_, (final, _) = net.c_get(net.context_for(GET), identifier)
        assert asked == [(next(iter(server.store.files.values())), {IMPLICIT})]
    assert final.status == Status.SUCCESS
    assert net.received == {instance.sop_instance_uid: (IMPLICIT, converted)}
    assert aside.memory.taken == aside.files.taken == 0


def test_slow_decompression_does_not_silence_the_pending_responses(monkeypatch: pytest.MonkeyPatch) -> None:
    """They come before the C-STORE request, and never between its PDVs (PS3.8 Annex E)."""
    monkeypatch.setattr(retrieving, "_PENDING_INTERVAL", 0.01)
    enough = threading.Event()

    def transcode(file: OpenedObject, syntaxes: Collection[str], **_: object) -> tuple[str, bytes]:
        assert enough.wait(10)
        return IMPLICIT, bytes(1_000_000)

    with archive_server(transcode=transcode) as server:
        server.keep(*study(2))
        with client(server, GET, as_scp_of=[STORAGE], syntaxes=(IMPLICIT,)) as net:
            identifier = write_identifier(
                elements_of({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": STUDY}), IMPLICIT
            )
            seen = []
            for response, _ in net.c_get(net.context_for(GET), identifier):
                seen.append((response.status, counts(response), len(net.received)))
                if len(seen) == 4:
                    enough.set()
    assert seen[:4] == [(Status.PENDING, (2, 0, 0, 0), 0)] * 4
    assert seen[-1] == (Status.SUCCESS, (None, 2, 0, 0), 2)
    assert all(content == bytes(1_000_000) for _, content in net.received.values())


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("missing", "missing"),
        ("shorter", "bytes instead of"),
        ("longer", "bytes instead of"),
        ("changed", "content has changed"),
        ("not convertible", "no decoder for it"),
    ],
)
def test_one_instance_that_cannot_be_sent_hurts_no_other(trouble: str, reason: str) -> None:
    instances = study(3)

    def transcode(file: OpenedObject, syntaxes: Collection[str], **_: object) -> tuple[str, bytes]:
        raise TranscodingFailed("no decoder for it")

    with archive_server(transcode=transcode) as server, capture_logs() as logs:
        server.keep(*instances)
        second = server.index.records[instances[1].sop_instance_uid]
        if trouble == "missing":
            del server.store.files[second.path]
        elif trouble == "shorter":
            server.store.files[second.path] = server.store.files[second.path][:-100]
        elif trouble == "longer":
            server.store.files[second.path] += b"\0"
        elif trouble == "changed":
            server.store.files[second.path] = server.store.files[second.path][:-1] + b"\xa5"
        else:
            server.index.records[second.sop_instance_uid] = replace(second, transfer_syntax_uid="1.2.3")
        with client(server, GET, as_scp_of=[STORAGE]) as net:
            *_, (final, failed) = ask(net, StudyInstanceUID=STUDY)
    assert (final.status, counts(final)) == (0xB000, (None, 2, 1, 0))
    assert failed == [second.sop_instance_uid]
    assert len(net.received) == 2
    (line,) = [line for line in logs if line["event"] == "suboperation-failed"]
    assert line["sop_instance_uid"] == second.sop_instance_uid
    assert reason in line["reason"]
    assert final.error_comment == line["reason"][:64]
    is_damaged = trouble != "not convertible"
    assert [line["path"] for line in logs if line["event"] == "instance-damaged"] == [
        second.path
    ] * is_damaged
    assert server.counted.damaged == ["retrieve"] * is_damaged


def test_an_instance_that_was_replaced_meanwhile_is_sent_as_it_is_now() -> None:
    """In the transfer syntax that it has now, by transcoding where the requestor takes no other."""
    first, second, third = study(3)
    asked: list[tuple[bytes, set[str]]] = []

    def transcode(file: OpenedObject, syntaxes: Collection[str], **_: object) -> tuple[str, bytes]:
        asked.append((file.read_at(0, file.size), set(syntaxes)))
        return EXPLICIT, b"converted!"

    with archive_server(transcode=transcode) as server:
        server.keep(first, second, third)

        def replace_second(request: CStoreRequest) -> int:
            if request.affected_sop_instance_uid == first.sop_instance_uid:
                record = server.index.records[second.sop_instance_uid]
                server.store.files["newer.dcm"] = server.store.files.pop(record.path)
                server.index.records[second.sop_instance_uid] = replace(
                    record, path="newer.dcm", transfer_syntax_uid=IMPLICIT
                )
            return 0

        with client(server, GET, as_scp_of=[STORAGE], reply=replace_second) as net:
            *_, (final, _) = ask(net, StudyInstanceUID=STUDY)
    assert asked == [(server.store.files["newer.dcm"], {EXPLICIT})]
    assert (final.status, counts(final)) == (Status.SUCCESS, (None, 3, 0, 0))
    assert net.received == {
        first.sop_instance_uid: (EXPLICIT, first.dataset),
        second.sop_instance_uid: (EXPLICIT, b"converted!"),
        third.sop_instance_uid: (EXPLICIT, third.dataset),
    }


class SteppingClock:
    """Goes on by so many seconds with each look at it."""

    def __init__(self, step: float) -> None:
        self.now = 0.0
        self._step = step

    def __call__(self) -> float:
        self.now += self._step
        return self.now


@pytest.mark.parametrize(("step", "expected"), [(0.0, [4]), (10.0, [4, 3, 2, 1])])
def test_pending_responses_come_on_a_clock_and_not_for_each_object(step: float, expected: list[int]) -> None:
    with archive_server(clock=SteppingClock(step)) as server:
        server.keep(*study(4))
        with client(server, GET, as_scp_of=[STORAGE]) as net:
            *pending, (final, _) = ask(net, StudyInstanceUID=STUDY)
    assert [counts(response) for response, _ in pending] == [
        (remaining, 4 - remaining, 0, 0) for remaining in expected
    ]
    assert all(response.status == Status.PENDING and not failed for response, failed in pending)
    assert counts(final) == (None, 4, 0, 0)


def test_a_cancelled_retrieve_stops_and_says_what_is_left(server: ArchiveServer) -> None:
    """PS3.7 §9.3.3.3. The client cancels before it answers the second sub-operation."""
    server.keep(*study(5))

    def cancel_at_second(request: CStoreRequest) -> int:
        if len(net.requests) == 2:
            net.send_c_cancel_request(net.context_for(GET), message_id=1)
        return 0

    with client(server, GET, as_scp_of=[STORAGE], reply=cancel_at_second) as net:
        *_, (final, failed) = ask(net, StudyInstanceUID=STUDY)
    assert (final.status, counts(final), failed) == (Status.CANCEL, (3, 2, 0, 0), [])


@pytest.mark.parametrize(
    ("keys", "offending"),
    [
        ({"StudyInstanceUID": ""}, 0x0020000D),
        ({"QueryRetrieveLevel": "PLANET", "StudyInstanceUID": STUDY}, 0x00080052),
    ],
)
def test_an_identifier_without_its_unique_key_is_refused(
    server: ArchiveServer, keys: dict[str, str], offending: int
) -> None:
    with client(server, GET, as_scp_of=[STORAGE]) as net:
        ((final, _),) = ask(net, **keys)
    assert (final.status, final.offending_element) == (0xA900, (offending,))
    assert counts(final) == (None, None, None, None)


def test_an_index_that_is_gone_cannot_count(server: ArchiveServer) -> None:
    server.index.failures["locate"] = IndexUnavailable("gone")
    with client(server, GET, as_scp_of=[STORAGE]) as net:
        ((final, _),) = ask(net, StudyInstanceUID=STUDY)
    assert (final.status, final.error_comment) == (0xA701, "gone")


def test_a_requestor_that_vanishes_ends_the_retrieve() -> None:
    vanished = threading.Event()

    def vanish(request: CStoreRequest) -> int:
        net.interrupt()
        vanished.set()
        return 0

    with archive_server(places=1) as server:
        server.keep(*study(50))
        with (
            pytest.raises(AssociationEnded),
            client(server, GET, as_scp_of=[STORAGE], reply=vanish) as net,
        ):
            ask(net, StudyInstanceUID=STUDY)
        assert vanished.is_set()
        wait_until(lambda: server.places.free == 1, within=10, what="the server ends the association")
    assert len(net.requests) == 1
    assert [call[0] for call in server.metrics.calls if call[0] in ("released", "aborted")] == ["aborted"]
