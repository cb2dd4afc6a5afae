"""Which SOP classes are served as which service."""

from __future__ import annotations

import pytest
from pydicom import uid as pydicom_uids
from pynetdicom import AllStoragePresentationContexts, sop_class

from pacsd.dataset.transfer_syntaxes import STORAGE_TRANSFER_SYNTAXES, is_unknown_transfer_syntax
from pacsd.model import QueryModel, Service
from pacsd.query.information_models import FIND_MODELS, GET_MODELS, MOVE_MODELS
from pacsd.scp.service_table import service_of
from pacsd.scp.sop_classes import STORAGE_SOP_CLASSES, is_registered

STORAGE_IN_THE_REGISTRY = {
    uid
    for uid, (_, kind, _, _, keyword) in pydicom_uids.UID_dictionary.items()
    if kind == "SOP Class" and keyword.rstrip("Trial").endswith(("Storage", "StorageForPresentation"))
}
NOT_STORED = {
    "1.2.840.10008.1.20.1": "Storage Commitment Push Model",
    "1.2.840.10008.1.20.2": "Storage Commitment Pull Model",
    "1.2.840.10008.1.3.10": "Media Storage Directory Storage",
    "1.2.840.10008.4.2": "Storage Service Class",
    "1.2.840.10008.5.1.4.1.1.201.1.1": "Storage Management",
    "1.2.840.10008.5.1.4.31": "Modality Worklist FIND",
    "1.2.840.10008.3.1.2.3.3": "Modality Performed Procedure Step",
}


@pytest.mark.parametrize("uid", sorted(STORAGE_IN_THE_REGISTRY - set(NOT_STORED)))
def test_every_storage_class_of_the_registry_is_stored(uid: str) -> None:
    assert service_of(uid, accept_unknown=False) is Service.STORE


def test_every_storage_class_of_pynetdicom_is_stored() -> None:
    assert {str(context.abstract_syntax) for context in AllStoragePresentationContexts} <= STORAGE_SOP_CLASSES


@pytest.mark.parametrize("uid", NOT_STORED, ids=NOT_STORED.values())
@pytest.mark.parametrize("accept_unknown", [False, True])
def test_what_only_sounds_like_storage_is_not_served(uid: str, accept_unknown: bool) -> None:
    assert service_of(uid, accept_unknown=accept_unknown) is None


def test_the_registry_holds_no_other_storage_class() -> None:
    """A new edition of the registry that names one otherwise shall be looked at."""
    names = {pydicom_uids.UID(uid).name for uid in STORAGE_SOP_CLASSES if pydicom_uids.UID(uid).keyword}
    assert len(names) > 190
    assert [name for name in names if "Storage" not in name] == []
    assert [name for name in names if "Commitment" in name or "Directory" in name] == []


@pytest.mark.parametrize(
    ("uid", "service"),
    [
        (sop_class.Verification, Service.ECHO),
        (sop_class.PatientRootQueryRetrieveInformationModelFind, Service.FIND),
        (sop_class.StudyRootQueryRetrieveInformationModelFind, Service.FIND),
        (sop_class.PatientRootQueryRetrieveInformationModelMove, Service.MOVE),
        (sop_class.StudyRootQueryRetrieveInformationModelMove, Service.MOVE),
        (sop_class.PatientRootQueryRetrieveInformationModelGet, Service.GET),
        (sop_class.StudyRootQueryRetrieveInformationModelGet, Service.GET),
        (sop_class.PatientStudyOnlyQueryRetrieveInformationModelFind, Service.FIND),
        (sop_class.PatientStudyOnlyQueryRetrieveInformationModelMove, Service.MOVE),
        (sop_class.PatientStudyOnlyQueryRetrieveInformationModelGet, Service.GET),
    ],
)
def test_query_retrieve_and_verification(uid: str, service: Service) -> None:
    assert service_of(uid, accept_unknown=False) is service
    assert is_registered(uid)


def test_models_have_their_roots() -> None:
    for models, verb in ((FIND_MODELS, "Find"), (MOVE_MODELS, "Move"), (GET_MODELS, "Get")):
        assert models == {
            getattr(sop_class, f"PatientRootQueryRetrieveInformationModel{verb}"): QueryModel.PATIENT_ROOT,
            getattr(sop_class, f"StudyRootQueryRetrieveInformationModel{verb}"): QueryModel.STUDY_ROOT,
            getattr(
                sop_class, f"PatientStudyOnlyQueryRetrieveInformationModel{verb}"
            ): QueryModel.PATIENT_STUDY_ONLY,
        }


@pytest.mark.parametrize(
    "uid", ["1.2.3.4", "1.3.12.2.1107.5.9.1", "1.2.840.10008.5.1.4.1.1.9999", "1.2.840.113619.4.30"]
)
def test_unknown_classes_are_stored_only_where_wanted(uid: str) -> None:
    assert service_of(uid, accept_unknown=False) is None
    assert service_of(uid, accept_unknown=True) is Service.STORE


@pytest.mark.parametrize(
    "uid", ["1.2.840.10008.1.9999", "1.2.840.10008.5.1.4.9999.1", "1.2.40.0.13.1.5.1.4.1.2.2.1.1"]
)
def test_an_unknown_class_that_can_be_no_storage_is_never_stored(uid: str) -> None:
    assert not is_registered(uid)
    assert service_of(uid, accept_unknown=True) is None


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.840.10008.1.2.4.110",
        "1.2.840.10008.1.2.4.111",
        "1.2.840.10008.1.2.4.112",
        "1.2.840.10008.1.2.8.1",
    ],
)
def test_the_newest_transfer_syntaxes_are_taken_in_storage(uid: str) -> None:
    """JPEG XL and Deflated Image Frame Compression (PS3.6 Table A-1)."""
    assert uid in STORAGE_TRANSFER_SYNTAXES
    assert not is_unknown_transfer_syntax(uid)


def test_a_makers_transfer_syntax_is_unknown_and_a_registered_one_never_is() -> None:
    assert is_unknown_transfer_syntax("1.2.840.113619.5.2")
    assert is_unknown_transfer_syntax("1.2.3.4")
    assert not any(map(is_unknown_transfer_syntax, pydicom_uids.UID_dictionary))


def test_all_transfer_syntaxes_of_data_sets_are_taken_in_storage() -> None:
    known = {str(uid) for uid in pydicom_uids.AllTransferSyntaxes}
    streams = {uid for uid in known if "SMPTE" in pydicom_uids.UID(uid).keyword}
    papyrus = {"1.2.840.10008.1.20"}
    assert known - streams - papyrus <= STORAGE_TRANSFER_SYNTAXES
    for no_data_set in (*streams, *papyrus, "1.2.840.10008.1.2.6.1", "1.2.840.10008.1.2.6.2"):
        assert no_data_set not in STORAGE_TRANSFER_SYNTAXES
