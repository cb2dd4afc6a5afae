"""Every error of ours as a DIMSE status in every service, written from the documentation and not from the code."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dicomnet import DatasetTooLong, Status
from pacsd import errors
from pacsd.errors import PacsdError
from pacsd.model import Service
from pacsd.observability.metrics import STORE_FAILURES, status_label
from pacsd.scp.service_table import SERVICES
from pacsd.scp.statuses import Answer, answer_for, counts, retrieve_answer
from pacsd.services.retrieve import Progress

STORE, FIND, MOVE, GET = Service.STORE, Service.FIND, Service.MOVE, Service.GET

# PS3.4 Tables B.2-1, C.4-1, C.4-2, C.4-3; PS3.7 Annex C.
STATUSES: dict[type[PacsdError], dict[Service, int]] = {
    errors.DatasetInvalid: dict.fromkeys(Service, 0xC000),
    errors.DuplicateInstance: dict.fromkeys(Service, 0x0111),
    errors.StorageFull: dict.fromkeys(Service, 0xA700),
    errors.StorageUnavailable: dict.fromkeys(Service, 0xA700),
    errors.IndexUnavailable: {**dict.fromkeys(Service, 0xA700), MOVE: 0xA701, GET: 0xA701},
    errors.IndexIncomplete: {**dict.fromkeys(Service, 0xA700), MOVE: 0xA701, GET: 0xA701},
    errors.OperationTooCostly: {**dict.fromkeys(Service, 0xA700), MOVE: 0xA701, GET: 0xA701},
    errors.OperationCancelled: dict.fromkeys(Service, 0xFE00),
    errors.IdentifierInvalid: dict.fromkeys(Service, 0xA900),
    errors.UnknownDestination: dict.fromkeys(Service, 0xA801),
    errors.DestinationUnreachable: dict.fromkeys(Service, 0xA702),
    errors.RightsWithdrawn: dict.fromkeys(Service, 0x0124),
}
NEVER_ANSWERED: dict[type[PacsdError], str] = {
    errors.ArchiveInUse: "met before anybody can connect",
    errors.ArchiveMismatch: "met before anybody can connect",
    errors.InstanceDamaged: "makes a sub-operation fail, or gives way to what is stored",
    errors.QuarantineRefused: "met by a command of the administrator",
    errors.ConfigurationError: "met before anybody can connect",
    errors.MigrationNeeded: "met before anybody can connect",
    errors.InstanceDamaged: "makes a sub-operation fail, not the operation",
    errors.ReindexRefused: "met by a command of the administrator",
    errors.RetrieveCancelled: "ends the operation as a C-CANCEL does",
    errors.TranscodingFailed: "makes a sub-operation fail, not the operation",
}


def all_errors(root: type[PacsdError] = PacsdError) -> Iterator[type[PacsdError]]:
    for each in root.__subclasses__():
        yield each
        yield from all_errors(each)


@pytest.mark.parametrize("error", sorted(all_errors(), key=lambda error: error.__name__))
def test_every_error_has_a_documented_status(error: type[PacsdError]) -> None:
    """A new class fails here until the tables above know it."""
    if error.__module__ != "pacsd.errors":
        pytest.skip(f"{error.__module__} keeps it to itself")
    assert (error in STATUSES) != (error in NEVER_ANSWERED)


@pytest.mark.parametrize("service", Service)
@pytest.mark.parametrize("error", STATUSES, ids=lambda error: error.__name__)
def test_the_status_of_an_error(error: type[PacsdError], service: Service) -> None:
    answer = answer_for(SERVICES[service].statuses, error("what went wrong"))
    assert answer.status == STATUSES[error][service]
    # Who has cancelled knows why it ends.
    is_told = error is not errors.OperationCancelled
    assert answer.fields.get("error_comment") == ("what went wrong" if is_told else None)
    assert answer.identifier is None


@pytest.mark.parametrize("service", Service)
@pytest.mark.parametrize("error", [*NEVER_ANSWERED, ValueError, KeyError, MemoryError])
def test_what_is_not_foreseen_says_nothing_of_itself(error: type[Exception], service: Service) -> None:
    answer = answer_for(SERVICES[service].statuses, error("Doe^Jane"))
    assert answer.status == (Status.PROCESSING_FAILURE if service is STORE else 0xC001)
    assert answer.fields.get("error_comment") == "unexpected error, see the server's log"


def test_each_failure_of_a_store_is_counted_from_nought() -> None:
    of_others = {errors.OperationCancelled, errors.UnknownDestination}
    met = [STATUSES[error][STORE] for error in STATUSES if error not in of_others]
    # Those that are not made of an error, and a data set that contradicts its command.
    met += [Status.PROCESSING_FAILURE, Status.SOP_CLASS_NOT_SUPPORTED, Status.NOT_AUTHORIZED, 0xA900]
    assert {status_label(status) for status in met} == set(STORE_FAILURES)


def test_a_data_set_that_contradicts_its_command() -> None:
    error = errors.DatasetInvalid("differs", keywords=("SOPClassUID", "SOPInstanceUID"), mismatch=True)
    answer = answer_for(SERVICES[STORE].statuses, error)
    assert answer.status == 0xA900
    assert answer.fields.get("offending_element") == (0x00080016, 0x00080018)


def test_an_invalid_identifier_names_its_elements() -> None:
    answer = answer_for(
        SERVICES[FIND].statuses,
        errors.IdentifierInvalid("no", keywords=("QueryRetrieveLevel", "NoSuchKeyword")),
    )
    assert answer.fields.get("offending_element") == (0x00080052,)


@pytest.mark.parametrize("service", [FIND, MOVE, GET])
def test_an_identifier_that_is_too_long(service: Service) -> None:
    assert answer_for(SERVICES[service].statuses, DatasetTooLong("too long")).status == 0xA900


@pytest.mark.parametrize(
    ("completed", "failed", "warning", "status"),
    [
        (0, 0, 0, 0x0000),
        (3, 0, 0, 0x0000),
        (2, 1, 0, 0xB000),
        (2, 0, 1, 0xB000),
        (0, 0, 3, 0xB000),
        (0, 1, 2, 0xB000),
        (0, 3, 0, 0xA702),
    ],
)
def test_the_end_of_a_retrieve(completed: int, failed: int, warning: int, status: int) -> None:
    """PS3.4 §C.4.2.1.5: no Remaining in a final response, the others always."""
    progress = Progress(remaining=0, completed=completed, failed=failed, warning=warning)
    assert retrieve_answer(progress, cancelled=False, failed_list=None) == Answer(
        status,
        {
            "number_of_completed_suboperations": completed,
            "number_of_failed_suboperations": failed,
            "number_of_warning_suboperations": warning,
        },
    )


def test_a_cancelled_retrieve_says_what_was_not_begun() -> None:
    progress = Progress(remaining=5, completed=2, failed=1)
    answer = retrieve_answer(progress, cancelled=True, failed_list=b"list")
    assert (answer.status, answer.identifier) == (Status.CANCEL, b"list")
    assert answer.fields["number_of_remaining_suboperations"] == 5


def test_counts_that_do_not_fit_are_left_out() -> None:
    fields = counts(Progress(remaining=0x10000, completed=0xFFFF), with_remaining=True)
    assert fields["number_of_remaining_suboperations"] is None
    assert fields["number_of_completed_suboperations"] == 0xFFFF
